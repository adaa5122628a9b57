package clients_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
)

// between does something before a key is created or swapped.
type between struct {
	ports.APIKeys
	create func()
	swap   func() error
}

func (b *between) Create(ctx context.Context, k apikey.Key) (apikey.Key, error) {
	if do := b.create; do != nil {
		b.create = nil
		do()
	}
	return b.APIKeys.Create(ctx, k)
}

func (b *between) Swap(ctx context.Context, old, next apikey.Key) (apikey.Key, error) {
	if do := b.swap; do != nil {
		b.swap = nil
		if err := do(); err != nil {
			return apikey.Key{}, err
		}
	}
	return b.APIKeys.Swap(ctx, old, next)
}

// goodKeys are the application's keys that are good.
func (h house) goodKeys(t *testing.T, app client.AppID) []apikey.Key {
	t.Helper()
	all, err := h.Keys(t.Context(), app, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var good []apikey.Key
	for _, k := range all {
		if k.Good(time.Now()) {
			good = append(good, k)
		}
	}
	return good
}

func TestAKeyThatIsChangedWhileRotatedHasNoSuccessor(t *testing.T) {
	narrow := func(h house, ctx context.Context, id apikey.ID) error {
		_, err := h.ChangeKey(ctx, id, func(k apikey.Key) apikey.Key {
			k.Grants, k.Actions = []oauth.GrantID{"g"}, []string{"read"}
			return k
		})
		return err
	}
	for name, c := range map[string]struct {
		change func(house, context.Context, apikey.ID) error
		left   string // what the good keys are bound to
	}{
		"narrowed": {narrow, "[g]"},
		"revoked": {func(h house, ctx context.Context, id apikey.ID) error {
			_, err := h.RevokeKey(ctx, id)
			return err
		}, ""},
		"rotated": {func(h house, ctx context.Context, id apikey.ID) error {
			_, _, err := h.RotateKey(ctx, id, 0)
			return err
		}, "[]"},
	} {
		for when, overlap := range map[string]time.Duration{"at once": 0, "in an hour": time.Hour} {
			t.Run(name+", to end "+when, func(t *testing.T) {
				h := newHouse(t)
				r := h.store.Registry()
				keys := &between{APIKeys: r.Keys()}
				app := h.register(t, client.App{})
				k, _ := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
				keys.create = func() {
					if err := c.change(h, t.Context(), k.ID); err != nil {
						t.Fatal(err)
					}
				}
				got, text, err := h.Through(r.Apps(), keys).RotateKey(t.Context(), k.ID, overlap)
				if fault.KindOf(err) != fault.Conflict || fault.SlugOf(err) != "key-changed" || !text.Empty() || got.ID != "" {
					t.Errorf("%+v, %v", got, err)
				}
				left := ""
				for _, k := range h.goodKeys(t, app.ID) {
					left += fmt.Sprint(k.Grants)
				}
				if left != c.left {
					t.Errorf("the good keys are bound to %s, want %s", left, c.left)
				}
			})
		}
	}
}

func TestARotationThatFailedLeavesNoKeyThoughNobodyWaits(t *testing.T) {
	h := newHouse(t)
	r := h.store.Registry()
	keys := &between{APIKeys: r.Keys()}
	app := h.register(t, client.App{})
	k, _ := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
	ctx, hangUp := context.WithCancel(t.Context())
	keys.swap = func() error { hangUp(); return fault.New(fault.Unavailable, "the store is gone") }
	_, text, err := h.Through(r.Apps(), keys).RotateKey(ctx, k.ID, 0)
	if !errors.Is(err, fault.Unavailable) || !text.Empty() {
		t.Errorf("%v", err)
	}
	if good := h.goodKeys(t, app.ID); len(good) != 1 || good[0].ID != k.ID {
		t.Errorf("%+v", good)
	}
}

func TestAKeyThatWasRotatedWithoutOverlapIsRevoked(t *testing.T) {
	h := newHouse(t)
	app := h.register(t, client.App{})
	k, text := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret, Expires: time.Now().Add(time.Hour)})
	if _, _, err := h.RotateKey(t.Context(), k.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, err := h.ChangeKey(t.Context(), k.ID, func(k apikey.Key) apikey.Key {
		k.Expires = time.Time{}
		return k
	})
	if fault.SlugOf(err) != "key-revoked" {
		t.Errorf("more time for it: %v", err)
	}
	if _, _, err := h.Authenticate(t.Context(), text, someAddress()); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("the old key: %v", err)
	}
}
