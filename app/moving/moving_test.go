package moving_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/app/moving"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// A place is a store with keys.
type place struct {
	*moving.Service
	vault    *memory.FaultyVault
	registry ports.Registry
	ring     ports.Keyring
}

func newPlace() place {
	s, ring := memory.Open(), keyring.Ephemeral()
	vault := memory.Mischief(s.Vault())
	return place{moving.New(vault, s.Registry(), ring), vault, s.Registry(), ring}
}

// box is a parcel whose records lie open.
type box []struct{ kind, record string }

func (b *box) Put(kind string, record []byte) error {
	*b = append(*b, struct{ kind, record string }{kind, string(record)})
	return nil
}

var now = time.Date(2026, 11, 25, 12, 0, 0, 1000, time.UTC)

func (p place) grant(t *testing.T, id string, edit func(*oauth.Grant)) oauth.Grant {
	t.Helper()
	g := oauth.Grant{
		ID: oauth.GrantID(id), App: "app", XApp: xapp.Default, User: user.User{ID: user.ID(id)}, State: oauth.Active,
		Scopes: "tweet.read", Generation: 3, Expires: now, Created: now, Updated: now,
	}
	for kind, into := range map[string]*secret.Box{oauth.AccessLabel: &g.Access, oauth.RefreshLabel: &g.Refresh} {
		sealed, err := p.ring.Seal(t.Context(), secret.New(kind+id), g.Label(kind))
		if err != nil {
			t.Fatal(err)
		}
		*into = sealed
	}
	if edit != nil {
		edit(&g)
	}
	g, err := p.vault.Create(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// settled is a place with an application, a key and what it needs.
func settled(t *testing.T) place {
	t.Helper()
	p := newPlace()
	_, errX := p.registry.XApps().Create(t.Context(), xapp.App{ID: xapp.Default, ClientID: "X1"})
	_, errA := p.registry.Apps().Create(t.Context(), client.App{ID: "app", XApp: xapp.Default, Status: client.Active})
	_, errK := p.registry.Keys().Create(t.Context(), apikey.Key{ID: "key", App: "app", Digest: "d"})
	if err := errors.Join(errX, errA, errK); err != nil {
		t.Fatal(err)
	}
	return p
}

// exported is all there is, and what stayed behind.
func (p place) exported(t *testing.T, o moving.Order) (box, moving.Exported, []string) {
	t.Helper()
	var b box
	var left []string
	o.Left = func(id oauth.GrantID, why string) { left = append(left, string(id)+" "+why) }
	done, err := p.Export(t.Context(), o, b.Put)
	if err != nil {
		t.Fatal(err)
	}
	return b, done, left
}

// take takes all records in and returns what became of the grants.
func (p place) take(t *testing.T, b box, replace bool) map[string]moving.Outcome {
	t.Helper()
	a := p.Arrive(replace)
	for _, r := range b {
		if err := a.Look(t.Context(), r.kind, []byte(r.record)); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]moving.Outcome{}
	for _, r := range b {
		o, err := a.Keep(t.Context(), r.kind, []byte(r.record))
		if err != nil {
			o.Note = err.Error()
		}
		if r.kind == moving.KindGrant {
			out[o.ID] = o
		}
	}
	return out
}

func TestEachThingComesAfterThoseItNeeds(t *testing.T) {
	p := settled(t)
	p.grant(t, "g1", nil)
	var kinds []string
	for _, app := range []client.AppID{"", "app"} {
		b, done, _ := p.exported(t, moving.Order{App: app})
		for _, r := range b {
			kinds = append(kinds, r.kind)
		}
		if done.Grants != 1 || done.Apps != 1 || done.Keys != 1 || done.XApps != 1 || !done.Changed.Equal(now) {
			t.Errorf("exported %+v", done)
		}
	}
	one := []string{"source", "xapp", "app", "key", "grant"}
	if diff := cmp.Diff(append(one, one...), kinds); diff != "" {
		t.Error(diff)
	}
}

func TestWhatStaysBehind(t *testing.T) {
	p := settled(t)
	p.grant(t, "good", nil)
	p.grant(t, "shut", func(g *oauth.Grant) { g.Refresh = "AAAA" })
	p.grant(t, "busy", func(g *oauth.Grant) { g.Lease = oauth.Lease{Holder: "h", Until: time.Now().Add(time.Minute)} })
	p.grant(t, "untold", func(g *oauth.Grant) { g.State = oauth.Revoked })
	b, done, left := p.exported(t, moving.Order{})
	if done.Grants != 2 || done.Left != 2 || done.Untold != 1 || len(left) != 2 ||
		!strings.HasPrefix(left[0], "busy is being refreshed") || !strings.HasPrefix(left[1], "shut does not open") {
		t.Errorf("exported %+v, left %q", done, left)
	}
	for _, r := range b {
		if strings.Contains(r.record, `"untold"`) && strings.Contains(r.record, "_token") {
			t.Errorf("a revoked grant takes its tokens along: %s", r.record)
		}
	}
	// Nobody who is told to stop goes on.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Export(ctx, moving.Order{}, new(box).Put); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

// A grant that is refreshed after it was read would be dead where it arrives.
func TestAnExportWhileSomebodyRefreshes(t *testing.T) {
	p := settled(t)
	old := p.grant(t, "g1", nil)
	busy := func(int) {
		current, err := p.vault.Get(t.Context(), "g1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.vault.Swap(t.Context(), current, current.Renew(oauth.Pair{Access: old.Access}, now)); err != nil {
			t.Error(err)
		}
	}
	_, err := p.Export(t.Context(), moving.Order{At: busy}, new(box).Put)
	if !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "stop every Perch") {
		t.Errorf("got %v", err)
	}
}

// A store that does not answer is asked again; whether it has written what it
// did not confirm makes no difference.
func TestAStoreThatDoesNotAnswer(t *testing.T) {
	for name, fail := range map[string]func(*memory.FaultyVault){
		"before": func(v *memory.FaultyVault) { v.FailBefore(1) },
		"after":  func(v *memory.FaultyVault) { v.FailAfter(1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, to := settled(t), newPlace()
				from.grant(t, "g", nil)
				b, _, _ := from.exported(t, moving.Order{})
				fail(to.vault)
				if o := to.take(t, b, false)["g"]; !o.Verified || o.Note != "" {
					t.Errorf("got %+v", o)
				}
			})
		})
	}
}

// What somebody else writes at the same time is noticed when it is read back.
func TestWhatIsReadBackIsCompared(t *testing.T) {
	from, to := settled(t), newPlace()
	from.grant(t, "g", nil)
	b, _, _ := from.exported(t, moving.Order{})
	a := moving.New(meddler{to.vault}, to.registry, to.ring).Arrive(false)
	for _, r := range b {
		o, err := a.Keep(t.Context(), r.kind, []byte(r.record))
		if r.kind == moving.KindGrant && (!errors.Is(err, fault.Conflict) || o.Verified) {
			t.Errorf("got %+v, %v", o, err)
		}
	}
}

// A meddler changes each grant once it is written.
type meddler struct{ ports.TokenVault }

func (m meddler) Create(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	g, err := m.TokenVault.Create(ctx, g)
	if err != nil {
		return g, err
	}
	return m.Swap(ctx, g, g.Postpone(time.Hour, now))
}

func TestReplacing(t *testing.T) {
	for name, c := range map[string]struct {
		here func(*oauth.Grant)
		say  string
		want moving.Result
	}{
		"an older one":       {func(g *oauth.Grant) { g.Generation = 2 }, "", moving.Imported},
		"a newer one":        {func(g *oauth.Grant) { g.Generation = 4 }, "is newer here", moving.There},
		"one that has ended": {func(g *oauth.Grant) { g.Generation, g.State = 2, oauth.Revoked }, "has been revoked here", moving.There},
		"another user's":     {func(g *oauth.Grant) { g.User.ID = "another" }, "another user's", moving.There},
		"one being refreshed": {func(g *oauth.Grant) {
			g.Generation = 2
			g.Lease = oauth.Lease{Holder: "h", Until: time.Now().Add(time.Minute)}
		}, "is being refreshed here", moving.There},
		"one with other tokens":           {func(g *oauth.Grant) { g.Access = "" }, "other tokens here", moving.There},
		"an older one that does not open": {func(g *oauth.Grant) { g.Generation = 2; g.Refresh = "AAAA" }, "", moving.Imported},
		"one that does not open":          {func(g *oauth.Grant) { g.Refresh = "AAAA" }, "other tokens here", moving.There},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := settled(t), newPlace()
			from.grant(t, "g", nil)
			before := to.grant(t, "g", c.here)
			b, _, _ := from.exported(t, moving.Order{})
			o := to.take(t, b, true)["g"]
			if o.Result != c.want || !strings.Contains(o.Note, c.say) || (c.say == "") != (o.Note == "") {
				t.Errorf("got %+v", o)
			}
			after, err := to.vault.Get(t.Context(), "g")
			if err != nil || (after == before) != (c.want == moving.There) || o.Verified != (c.want == moving.Imported) {
				t.Errorf("it is %+v, %v; verified: %v", after, err, o.Verified)
			}
		})
	}
}

func TestWhatNobodyKnowsIsRefused(t *testing.T) {
	for kind, record := range map[string]string{
		"page": `{}`, "grant": `{"id":"CANARY","state":"active","colour":"red"}`, "xapp": `["CANARY"]`,
		"app": `"CANARY"`, "key": `{"CANARY":1}`, "source": `{"CANARY":1}`,
	} {
		a := newPlace().Arrive(false)
		look := a.Look(t.Context(), kind, []byte(record))
		_, keep := a.Keep(t.Context(), kind, []byte(record))
		for _, err := range []error{look, keep} {
			if kind == "source" && err == nil {
				continue // it is only looked at
			}
			if !errors.Is(err, fault.Invalid) || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
	a := newPlace().Arrive(false)
	if err := a.Look(t.Context(), "grant", []byte(`{"state":"dreaming"}`)); !errors.Is(err, fault.Invalid) {
		t.Errorf("an unknown state: %v", err)
	}
}

func TestARevokedKeyIsTold(t *testing.T) {
	p := settled(t)
	k, err := p.registry.Keys().Get(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	b, _, _ := p.exported(t, moving.Order{})
	for i, r := range b {
		b[i].record = strings.Replace(r.record, `"digest":"d"`, `"digest":"d","revoked":"2026-01-02T03:04:05Z"`, 1)
	}
	a := p.Arrive(true)
	for _, r := range b {
		if err := a.Look(t.Context(), r.kind, []byte(r.record)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range b {
		o, err := a.Keep(t.Context(), r.kind, []byte(r.record))
		if err != nil || (r.kind == "key") != strings.Contains(o.Note, "perch keys revoke key") {
			t.Errorf("%s: %+v, %v", r.kind, o, err)
		}
	}
	if after, err := p.registry.Keys().Get(t.Context(), "key"); err != nil || !reflect.DeepEqual(after, k) {
		t.Errorf("the key became %+v, %v", after, err)
	}
}
