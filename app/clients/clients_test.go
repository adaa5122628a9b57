package clients_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/app/clients"
	"perch/app/uses"
	"perch/app/xapps"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/ports"
)

type house struct {
	*clients.Service
	xapps *xapps.Service
	store *memory.Store
}

func newHouse(t *testing.T) house {
	t.Helper()
	store, ring := memory.Open(), keyring.Ephemeral()
	t.Cleanup(func() { _ = store.Close() })
	r := store.Registry()
	xs := xapps.New(r.XApps(), r.Apps(), ring, ports.XApp{ClientID: "x"})
	return house{clients.New(r.Apps(), r.Keys(), ring, xs, uses.New(store.Uses())), xs, store}
}

func (h house) register(t *testing.T, a client.App) client.App {
	t.Helper()
	a.Name = "test"
	a, err := h.Register(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (h house) issue(t *testing.T, k apikey.Key) (apikey.Key, secret.Text) {
	t.Helper()
	k, text, err := h.IssueKey(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return k, text
}

func TestAKeyIsKnownByItsTextAlone(t *testing.T) {
	h := newHouse(t)
	app := h.register(t, client.App{})
	for _, kind := range []apikey.Kind{apikey.Publishable, apikey.Secret} {
		k, text := h.issue(t, apikey.Key{App: app.ID, Kind: kind})
		if !strings.HasPrefix(text.Reveal(), kind.Prefix()) || len(text.Reveal()) != 29 {
			t.Errorf("a %s key has %d characters", kind, len(text.Reveal()))
		}
		got, found, err := h.Authenticate(t.Context(), text, netip.Addr{})
		if err != nil || got.ID != app.ID || found.ID != k.ID {
			t.Errorf("%s: %v", kind, err)
		}
		for _, kept := range []string{k.Digest, k.Hint, string(k.ID)} {
			if strings.Contains(kept, text.Reveal()[3:]) {
				t.Errorf("the key is kept in %q", kept)
			}
		}
		if _, _, err := h.Authenticate(t.Context(), secret.New(k.Digest), netip.Addr{}); !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("the stored digest is taken for a key: %v", err)
		}
	}
}

func TestWhatIsNoGoodKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		app := h.register(t, client.App{})
		revoked, revokedText := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
		if _, err := h.RevokeKey(t.Context(), revoked.ID); err != nil {
			t.Fatal(err)
		}
		_, expired := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret, Expires: time.Now().Add(time.Minute)})
		time.Sleep(time.Minute)
		_, good := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
		for name, text := range map[string]string{
			"nothing": "", "no prefix": "x", "unknown": "sk_ABCDEFGHIJKLMNOPQRSTUVWXYZ", "revoked": revokedText.Reveal(),
			"expired": expired.Reveal(), "another case": strings.ToLower(good.Reveal()), "longer": good.Reveal() + "A",
			"the other kind": "pk_" + good.Reveal()[3:], "SQL": "sk_' OR 1=1--", "a NUL": "sk_\x00", "not UTF-8": "sk_\xff",
			"a megabyte": "sk_" + strings.Repeat("A", 1<<20),
		} {
			if _, _, err := h.Authenticate(t.Context(), secret.New(text), someAddress()); fault.SlugOf(err) != "bad-api-key" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := h.Authenticate(t.Context(), good, netip.Addr{}); err != nil {
			t.Error(err)
		}
	})
}

func TestAStoreThatDoesNotAnswerIsNobody(t *testing.T) {
	h := newHouse(t)
	app := h.register(t, client.App{})
	_, text := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, _, err := h.Authenticate(ctx, text, netip.Addr{})
	if err == nil || errors.Is(err, fault.Unauthenticated) || got.ID != "" {
		t.Errorf("identity %q: %v", got.ID, err)
	}
}

func TestASuspendedApplicationsKeysAreRefused(t *testing.T) {
	h := newHouse(t)
	app := h.register(t, client.App{})
	_, text := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
	_, err := h.Change(t.Context(), app.ID, func(a client.App) client.App { a.Status = client.Suspended; return a })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Authenticate(t.Context(), text, netip.Addr{}); fault.SlugOf(err) != "app-suspended" {
		t.Error(err)
	}
}

func TestAnApplicationFromBeforeARuleCanBeSuspended(t *testing.T) {
	h := newHouse(t)
	app := h.register(t, client.App{})
	odd := app
	odd.RedirectURIs = []string{"https://app.example/a/../b"}
	if _, err := h.store.Registry().Apps().Swap(t.Context(), app, odd); err != nil {
		t.Fatal(err)
	}
	change := func(edit func(*client.App)) error {
		_, err := h.Change(t.Context(), app.ID, func(a client.App) client.App { edit(&a); return a })
		return err
	}
	if err := change(func(a *client.App) { a.Name = "other" }); !errors.Is(err, fault.Invalid) {
		t.Errorf("with the odd redirect URI it is renamed: %v", err)
	}
	if err := change(func(a *client.App) { a.Status, a.Name = client.Suspended, "other" }); !errors.Is(err, fault.Invalid) {
		t.Errorf("suspended and renamed: %v", err)
	}
	if err := change(func(a *client.App) { a.Status = client.Suspended }); err != nil {
		t.Errorf("suspended: %v", err)
	}
	if err := change(func(a *client.App) { a.Status = client.Active }); !errors.Is(err, fault.Invalid) {
		t.Errorf("active again: %v", err)
	}
}

func TestKeysThatMakeNoSenseAreNotIssued(t *testing.T) {
	h := newHouse(t)
	app := h.register(t, client.App{})
	for name, k := range map[string]apikey.Key{
		"of no application":        {App: "app_x", Kind: apikey.Secret},
		"of no kind":               {App: app.ID},
		"publishable and bound":    {App: app.ID, Kind: apikey.Publishable, Grants: []oauth.GrantID{"g"}},
		"publishable and app-only": {App: app.ID, Kind: apikey.Publishable, AppOnly: true},
		"expired already":          {App: app.ID, Kind: apikey.Secret, Expires: time.Now().Add(-time.Second)},
	} {
		if _, _, err := h.IssueKey(t.Context(), k); err == nil {
			t.Errorf("a key %s is issued", name)
		}
	}
}

func TestChangeKeepsWhatMayNotChange(t *testing.T) {
	h := newHouse(t)
	app := h.register(t, client.App{})
	got, err := h.Change(t.Context(), app.ID, func(a client.App) client.App {
		a.ID, a.XApp, a.Created, a.Name = "app_x", "other", time.Time{}, "new"
		return a
	})
	if err != nil || got.ID != app.ID || got.XApp != app.XApp || !got.Created.Equal(app.Created) || got.Name != "new" {
		t.Errorf("%+v: %v", got, err)
	}
	_, err = h.Change(t.Context(), app.ID, func(a client.App) client.App { a.Origins = []client.Origin{"*"}; return a })
	if !errors.Is(err, fault.Invalid) {
		t.Error(err)
	}
	if _, err := h.Register(t.Context(), client.App{Name: "n", XApp: "nowhere"}); !errors.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

// TestOnlyWordsForMessagesAskForMessages: X lets nobody follow an account's
// activity without them.
func TestOnlyWordsForMessagesAskForMessages(t *testing.T) {
	h := newHouse(t)
	words := []string{"everything", "read", "post", "engage", "messages"}
	for _, tag := range xapi.Tags() {
		words = append(words, "tag:"+tag)
	}
	var private []string
	for _, word := range words {
		asked := h.register(t, client.App{Actions: []string{word}}).Scopes
		if slices.ContainsFunc(asked, func(scope string) bool { return strings.HasPrefix(scope, "dm.") }) {
			private = append(private, word)
		}
	}
	if diff := cmp.Diff([]string{"messages", "tag:Account Activity", "tag:Chat", "tag:Direct Messages"}, private); diff != "" {
		t.Error(diff)
	}
}

func TestScopesOfAnApplication(t *testing.T) {
	h := newHouse(t)
	const everything = "like.read like.write media.write offline.access tweet.read tweet.write users.read"
	const messages = "dm.read dm.write media.write offline.access tweet.read users.read"
	for _, c := range []struct{ actions, want string }{
		{"", everything},
		{"everything", everything},
		{"read", "like.read offline.access tweet.read users.read"},
		{"post", "media.write offline.access tweet.read tweet.write users.read"},
		{"engage", "like.write offline.access tweet.read tweet.write users.read"},
		{"read,post,engage", everything},
		{"messages", messages},
		{"tag:Direct Messages", "dm.read dm.write offline.access tweet.read users.read"},
		{"tag:Chat", messages},
		{"read,messages", "dm.read dm.write like.read media.write offline.access tweet.read users.read"},
		{"getUsersMe", "offline.access tweet.read users.read"},
		{"getUsersBookmarks", "bookmark.read offline.access tweet.read users.read"},
		{"hidePostsReply", "offline.access tweet.moderate.write tweet.read users.read"},
		{"initializeMediaUpload", "media.write offline.access tweet.read users.read"},
		{"tag:Lists", "list.read list.write offline.access tweet.read users.read"},
		{"tag:Users", "like.read like.write offline.access tweet.read tweet.write users.read"},
		{"getRules", "offline.access"},
	} {
		var actions []string
		if c.actions != "" {
			actions = strings.Split(c.actions, ",")
		}
		if got := strings.Join(h.register(t, client.App{Actions: actions}).Scopes, " "); got != c.want {
			t.Errorf("%q may ask for %q, want %q", c.actions, got, c.want)
		}
	}
	asked := h.register(t, client.App{Actions: []string{"read"}, Scopes: []string{"dm.read"}}).Scopes
	if got := strings.Join(asked, " "); got != "dm.read" {
		t.Errorf("what an operator names: %q", got)
	}
	for _, scope := range []string{"tweet.wirte", "", "a b"} {
		if _, err := h.Register(t.Context(), client.App{Name: "n", Scopes: []string{scope}}); !errors.Is(err, fault.Invalid) {
			t.Errorf("scope %q: %v", scope, err)
		}
	}
	if _, err := h.Register(t.Context(), client.App{Name: "n\x1b[2J"}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a name that controls the terminal: %v", err)
	}
}
