package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"perch/adapters/keyring"
	"perch/adapters/sqlstore"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
)

func TestAResealThatIsStoppedSaysSoAndGoesOn(t *testing.T) {
	const many = 1500
	t.Chdir(t.TempDir())
	perch(t, nil, "", "migrate").says(t, exitDone)
	perch(t, nil, "", "keyset", "new").says(t, exitDone)
	ring, err := keyring.Open("perch.keyset.json")
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlstore.Open(t.Context(), "sqlite:./perch.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	for i := range many {
		g := oauth.Grant{ID: oauth.GrantID(fmt.Sprintf("grant_%04d", i)), App: "app", User: user.User{ID: user.ID(fmt.Sprint(i))}, State: oauth.Active}
		if g.Access, err = ring.Seal(t.Context(), secret.New("CANARY"), g.Label(oauth.AccessLabel)); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Vault().Create(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	perch(t, nil, "", "keyset", "rotate").says(t, exitDone)

	endless(t, store.DB(), "UPDATE", "grant_0700")
	r, stop := started(t, nil, "keyset", "reseal")
	eventually(t, "some are resealed", func() bool {
		g, err := store.Vault().Get(context.Background(), "grant_0050")
		return err == nil && ring.KeyOf(g.Access) != ring.Primary()
	})
	stop()
	r.says(t, exitFailed, "stopped after", "run it again to go on")
	if strings.Contains(r.err.String(), fmt.Sprintf("after %d were", many)) {
		t.Fatal("it was not stopped half way")
	}
	if _, err := store.DB().Exec("DROP TRIGGER endless"); err != nil {
		t.Fatal(err)
	}
	perch(t, nil, "", "keyset", "reseal").says(t, exitDone, fmt.Sprintf("grants: %d looked at, %d boxes under", many, many))
	perch(t, nil, "", "keyset", "reseal").says(t, exitDone, "\n0 were resealed")
}
