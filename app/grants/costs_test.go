package grants_test

import (
	"slices"
	"testing"

	"perch/app/grants"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapp"
	"perch/ports"
)

// A meter knows of which grants X was asked, and how X answered.
type meter struct{ told []asked }

type asked struct {
	app    client.AppID
	grant  oauth.GrantID
	action string
	status int
}

func (m *meter) Own(app client.AppID, call ports.Call) func(oauth.GrantID, ports.Reply, error) {
	return func(g oauth.GrantID, r ports.Reply, _ error) {
		m.told = append(m.told, asked{app, g, call.Action.ID, r.Status})
	}
}

// wants fails unless X was asked of these grants since the last time.
func (m *meter) wants(t *testing.T, what string, ids ...oauth.GrantID) {
	t.Helper()
	var want []asked
	for _, id := range ids {
		want = append(want, asked{app, id, "getUsersMe", 200})
	}
	if !slices.Equal(m.told, want) {
		t.Errorf("%s: X was asked %+v, want %+v", what, m.told, want)
	}
	m.told = nil
}

func TestWhatXIsAskedIsCountedForTheGrantItLedTo(t *testing.T) {
	h := newHouse(t)
	m := &meter{}
	h.parts.Costs = m
	h.Service = grants.New(h.parts)

	in := h.issued(0)
	g, err := h.Import(t.Context(), app, xapp.Default, in)
	if err != nil {
		t.Fatal(err)
	}
	m.wants(t, "an import", g.ID)
	if _, err := h.Import(t.Context(), app, xapp.Default, in); fault.KindOf(err) != fault.Conflict {
		t.Fatal(err)
	}
	m.wants(t, "an import that is refused", "")
	in.User, in.Replace = g.User, true
	if _, err := h.Import(t.Context(), app, xapp.Default, in); err != nil {
		t.Fatal(err)
	}
	m.wants(t, "an import that says whose it is")
	if _, _, err := h.Complete(t.Context(), h.begun("approve")); err != nil {
		t.Fatal(err)
	}
	m.wants(t, "a sign-in that asks for less: whose the tokens are, and whether the old ones are good", g.ID, g.ID)
	if _, _, err := h.Complete(t.Context(), h.begun("deny")); err == nil {
		t.Fatal("a user who does not allow anything is signed in")
	}
	m.wants(t, "a sign-in that the user stops")
	c, _ := h.extending(extension(g, "mute.read"), 1, "approve")
	if _, _, err := h.Complete(t.Context(), c); fault.KindOf(err) != fault.Forbidden {
		t.Fatal(err)
	}
	m.wants(t, "an extension by another user", "")
	c, _ = h.extending(extension(g, "mute.read"), 0, "approve")
	if _, _, err := h.Complete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	m.wants(t, "an extension", g.ID)
}
