package xapps_test

import (
	"context"
	"errors"
	"strings"
	"sync"
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

func to[T any](v T) *T { return &v }

func TestChangeChangesWhatIsGivenAlone(t *testing.T) {
	s, r := newService(t, ports.XApp{})
	before, err := s.Add(t.Context(), "Theirs", full())
	if err != nil {
		t.Fatal(err)
	}
	changed, err := s.Change(t.Context(), "theirs", xapps.Change{
		Name: to("Ours"), ClientSecret: to(secret.New("canary-4")), Bearer: to(secret.Text{}),
	})
	if err != nil || changed.Name != "Ours" || changed.ID != before.ID || changed.ClientID != before.ClientID ||
		!changed.Created.Equal(before.Created) || !changed.Bearer.Empty() || changed.APISecret != before.APISecret {
		t.Errorf("%+v: %v", changed, err)
	}
	got, err := s.Get(t.Context(), "theirs")
	if err != nil || got.ClientSecret.Reveal() != "canary-4" || !got.Bearer.Empty() ||
		got.APIKey != "k" || got.APISecret.Reveal() != "canary-3" {
		t.Errorf("%+v: %v", got, err)
	}
	if _, err = s.Change(t.Context(), "theirs", xapps.Change{APIKey: to("k2"), APISecret: to(secret.New("canary-5"))}); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Get(t.Context(), "theirs"); err != nil || got.APIKey != "k2" || got.APISecret.Reveal() != "canary-5" {
		t.Errorf("%+v: %v", got, err)
	}
	if _, err = s.Change(t.Context(), "theirs", xapps.Change{APIKey: to(""), APISecret: to(secret.Text{})}); err != nil {
		t.Fatal(err)
	}
	stored, err := r.XApps().Get(t.Context(), "theirs")
	if err != nil || stored.APIKey != "" || !stored.APISecret.Empty() || strings.Contains(string(stored.ClientSecret), "canary") {
		t.Errorf("%+v: %v", stored, err)
	}
}

func TestWhatIsNoChange(t *testing.T) {
	s, _ := newService(t, ports.XApp{ClientID: "d"})
	before, err := s.Add(t.Context(), "Theirs", full())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]xapps.Change{
		"no name":            {Name: to("")},
		"a name of two":      {Name: to("a\nb")},
		"a secret of two":    {ClientSecret: to(secret.New("a b"))},
		"a bearer and more":  {Bearer: to(secret.New("a\n"))},
		"a key alone":        {APIKey: to("k2")},
		"a secret alone":     {APISecret: to(secret.New("s"))},
		"no key, a secret":   {APIKey: to(""), APISecret: to(secret.New("s"))},
		"a key, no secret":   {APIKey: to("k2"), APISecret: to(secret.Text{})},
		"a key beyond ASCII": {APIKey: to("ké"), APISecret: to(secret.New("s"))},
	} {
		if _, err := s.Change(t.Context(), "theirs", c); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Change(t.Context(), "nobodys", xapps.Change{}); !errors.Is(err, fault.NotFound) {
		t.Errorf("nobody's: %v", err)
	}
	if _, err := s.Change(t.Context(), xapp.Default, xapps.Change{}); !errors.Is(err, fault.Conflict) {
		t.Errorf("the settings' own: %v", err)
	}
	for name, spoil := range map[string]func(*ports.XApp){
		"a client ID with a space":    func(x *ports.XApp) { x.ClientID = "a b" },
		"a client secret in two rows": func(x *ports.XApp) { x.ClientSecret = secret.New("a\r\nb") },
		"an API key beyond ASCII":     func(x *ports.XApp) { x.APIKey = "ké" },
	} {
		x := full()
		x.ID = "other"
		spoil(&x)
		if _, err := s.Add(t.Context(), "name", x); !errors.Is(err, fault.Invalid) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	after, err := s.List(t.Context(), "", 10)
	if err != nil || len(after) != 1 || after[0] != before {
		t.Errorf("something changed: %+v, %v", after, err)
	}
}

// turnstile lets the first two reads pass together, so that one of two changes
// comes too late.
type turnstile struct {
	ports.XApps
	both sync.WaitGroup
	once [2]sync.Once
}

func (r *turnstile) Get(ctx context.Context, id xapp.ID) (xapp.App, error) {
	x, err := r.XApps.Get(ctx, id)
	for i := range r.once {
		passed := false
		r.once[i].Do(func() { passed = true; r.both.Done() })
		if passed {
			r.both.Wait()
			break
		}
	}
	return x, err
}

func TestChangesAtOnceAreBothKept(t *testing.T) {
	store := memory.Open()
	t.Cleanup(func() { _ = store.Close() })
	slow := &turnstile{XApps: store.Registry().XApps()}
	slow.both.Add(2)
	s := xapps.New(slow, store.Registry().Apps(), keyring.Ephemeral(), ports.XApp{})
	if _, err := s.Add(t.Context(), "Theirs", full()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, c := range []xapps.Change{{Name: to("Ours")}, {Bearer: to(secret.New("canary-6"))}} {
		wg.Go(func() {
			if _, err := s.Change(t.Context(), "theirs", c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := s.List(t.Context(), "", 1)
	got, errGet := s.Get(t.Context(), "theirs")
	if err := errors.Join(err, errGet); err != nil || list[0].Name != "Ours" || got.Bearer.Reveal() != "canary-6" {
		t.Errorf("%+v %+v: %v", list, got, err)
	}
}

func TestWhyAnXAppStays(t *testing.T) {
	s, r := newService(t, ports.XApp{})
	if _, err := s.Add(t.Context(), "Theirs", full()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apps().Create(t.Context(), client.App{ID: "app_1", Name: "n", XApp: "theirs"}); err != nil {
		t.Fatal(err)
	}
	err := s.Remove(t.Context(), "theirs")
	for _, say := range []string{"perch apps change app_1 --status=suspended", "perch xapps change theirs"} {
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%v does not say %q", err, say)
		}
	}
}
