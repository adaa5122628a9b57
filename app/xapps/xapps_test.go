package xapps_test

import (
	"errors"
	"strings"
	"testing"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/app/xapps"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

func newService(t *testing.T, byDefault ports.XApp) (*xapps.Service, ports.Registry) {
	t.Helper()
	store := memory.Open()
	t.Cleanup(func() { _ = store.Close() })
	r := store.Registry()
	return xapps.New(r.XApps(), r.Apps(), keyring.Ephemeral(), byDefault), r
}

func full() ports.XApp {
	return ports.XApp{
		ID: "theirs", ClientID: "c", ClientSecret: secret.New("canary-1"), Bearer: secret.New("canary-2"),
		APIKey: "k", APISecret: secret.New("canary-3"),
	}
}

func TestSecretsAreSealedAndOpened(t *testing.T) {
	s, r := newService(t, ports.XApp{})
	if _, err := s.Add(t.Context(), "Theirs", full()); err != nil {
		t.Fatal(err)
	}
	stored, err := r.XApps().Get(t.Context(), "theirs")
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range []secret.Box{stored.ClientSecret, stored.Bearer, stored.APISecret} {
		if box.Empty() || strings.Contains(string(box), "canary") {
			t.Errorf("stored as %q", box)
		}
	}
	got, err := s.Get(t.Context(), "theirs")
	if err != nil || !got.ClientSecret.Equal(secret.New("canary-1")) || !got.Bearer.Equal(secret.New("canary-2")) ||
		!got.APISecret.Equal(secret.New("canary-3")) || got.ClientID != "c" || got.APIKey != "k" {
		t.Errorf("%+v: %v", got, err)
	}
	swapped := stored
	swapped.Bearer = stored.ClientSecret
	if _, err := r.XApps().Swap(t.Context(), stored, swapped); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "theirs"); err == nil {
		t.Error("a box opens in another's place")
	}
}

func TestTheDefaultComesFromSettings(t *testing.T) {
	s, _ := newService(t, ports.XApp{ClientID: "d"})
	if got, err := s.Get(t.Context(), xapp.Default); err != nil || got.ClientID != "d" || got.ID != xapp.Default {
		t.Errorf("%+v: %v", got, err)
	}
	none, _ := newService(t, ports.XApp{})
	if _, err := none.Get(t.Context(), xapp.Default); !errors.Is(err, fault.NotFound) {
		t.Error(err)
	}
	if err := s.Remove(t.Context(), xapp.Default); !errors.Is(err, fault.Conflict) {
		t.Error(err)
	}
}

func TestWhatIsNoXApp(t *testing.T) {
	s, _ := newService(t, ports.XApp{ClientID: "d"})
	if _, err := s.Add(t.Context(), "first", full()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*ports.XApp){
		"the default's ID": func(x *ports.XApp) { x.ID = xapp.Default },
		"an ID taken":      func(*ports.XApp) {},
		"a strange ID":     func(x *ports.XApp) { x.ID = "A/B" },
		"no client ID":     func(x *ports.XApp) { x.ID, x.ClientID = "y", "" },
		"half a key pair":  func(x *ports.XApp) { x.ID, x.APISecret = "y", secret.Text{} },
	} {
		x := full()
		spoil(&x)
		if _, err := s.Add(t.Context(), "name", x); err == nil {
			t.Errorf("%s is added", name)
		}
	}
}

func TestAnXAppInUseStays(t *testing.T) {
	s, r := newService(t, ports.XApp{})
	if _, err := s.Add(t.Context(), "Theirs", full()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apps().Create(t.Context(), client.App{ID: "app_1", Name: "n", XApp: "theirs"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "theirs"); !errors.Is(err, fault.Conflict) {
		t.Error(err)
	}
	if err := s.Remove(t.Context(), "nobodys"); !errors.Is(err, fault.NotFound) {
		t.Error(err)
	}
}
