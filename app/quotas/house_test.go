package quotas_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/adapters/xhttp"
	"perch/adapters/xhttp/xsim"
	"perch/app/actions"
	"perch/app/quotas"
	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapi"
	"perch/domain/xapp"
	"perch/ports"
)

// A world is X in a box behind its real gateway, with Perches in front that all
// have one store and one clock.
type world struct {
	t       testing.TB
	at      atomic.Int64 // nanoseconds
	x       *xsim.Sim
	perches []*actions.Service
	quotas  []*quotas.Service
	store   ports.QuotaStore
	gateway *xhttp.Gateway

	mu     sync.Mutex
	tokens map[user.ID]token
}

type token struct {
	text secret.Text
	at   time.Time
}

// newWorld has so many users and Perches. Without a store it has one in memory.
func newWorld(t testing.TB, users, perches int, store ports.QuotaStore, rules ...string) *world {
	t.Helper()
	w := &world{t: t, store: store, tokens: map[user.ID]token{}}
	w.at.Store(time.Now().Add(-72 * time.Hour).Truncate(time.Second).UnixNano()) // a day of the world is over by now
	if store != nil {
		w.at.Store(time.Now().Truncate(time.Second).UnixNano()) // the store has a clock too
	}
	people := make([]xsim.User, users)
	for i := range people {
		people[i] = xsim.User{ID: string(userID(i)), Username: fmt.Sprintf("user%d", i), Name: "A user"}
	}
	w.x = xsim.New(xsim.Options{Users: people, Now: w.now})
	server := httptest.NewServer(w.x)
	t.Cleanup(func() { w.x.Close(); server.Close() })
	gateway, err := xhttp.New(xhttp.Config{APIURL: server.URL, AuthorizeURL: server.URL})
	must(t, err)
	t.Cleanup(gateway.Close)
	w.gateway = gateway
	if store == nil {
		m := memory.Open()
		t.Cleanup(func() { _ = m.Close() })
		w.store = m.Quota()
	}
	ours, err := quota.ParseRules(rules)
	must(t, err)
	for range perches {
		q := quotas.New(w.own(), ours, true, w.now)
		w.quotas = append(w.quotas, q)
		w.perches = append(w.perches, actions.New(actions.Parts{
			Grants: w, XApps: w, X: gateway, Observer: silence{}, Tolls: actions.Tolls(q),
		}))
	}
	return w
}

// blocky is a store of which each Perch takes blocks.
type blocky struct{ ports.QuotaStore }

// own is what one Perch counts in.
func (w *world) own() ports.QuotaStore {
	if _, ok := w.store.(blocky); !ok {
		return w.store
	}
	b := quotas.NewBlocks(w.store)
	w.t.Cleanup(func() { must(w.t, b.Close()) })
	return b
}

type silence struct{}

func (silence) Observe(context.Context, audit.Event) {}

func userID(i int) user.ID { return user.ID(fmt.Sprintf("15000000000000%05d", i)) }

func (w *world) now() time.Time          { return time.Unix(0, w.at.Load()).UTC() }
func (w *world) advance(d time.Duration) { w.at.Add(int64(d)) }

// Warm returns the grant of the user whose ID is the grant's.
func (w *world) Warm(_ context.Context, app client.AppID, id oauth.GrantID) (oauth.Grant, error) {
	return oauth.Grant{ID: id, App: app, XApp: xapp.Default, User: user.User{ID: user.ID(id)}, Scopes: oauth.Everything}, nil
}

// Access returns a token that is good for a while.
func (w *world) Access(_ context.Context, g oauth.Grant) (secret.Text, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.tokens[g.User.ID]
	if !ok || w.now().Sub(t.at) > 90*time.Minute {
		issued, err := w.x.Issue(xsim.DefaultApp().ClientID, string(g.User.ID), oauth.Everything.List())
		if err != nil {
			return secret.Text{}, err
		}
		t = token{secret.New(issued.Access), w.now()}
		w.tokens[g.User.ID] = t
	}
	return t.text, nil
}

func (w *world) Distrust(context.Context, oauth.Grant) (oauth.Grant, error) {
	return oauth.Grant{}, errors.New("X refused a good token")
}

func (w *world) Get(context.Context, xapp.ID) (ports.XApp, error) {
	return ports.XApp{ID: xapp.Default, Bearer: secret.New(xsim.DefaultApp().Bearer)}, nil
}

// A wish is a call that somebody wants.
type wish struct {
	app    int
	user   int // negative: the X App itself
	action string
	body   string
	batch  bool
}

func appID(i int) client.AppID { return client.AppID(fmt.Sprintf("app_%d", i)) }

// request is the wish as a Perch gets it.
func (w *world) request(v wish) actions.Request {
	act, ok := xapi.ByID(v.action)
	if !ok {
		w.t.Errorf("no action %s", v.action)
	}
	r := actions.Request{
		Actor: "key_" + string(appID(v.app)), AppOnly: v.user < 0, Batch: v.batch,
		App:  client.App{ID: appID(v.app), XApp: xapp.Default, Status: client.Active, Actions: []string{xapi.Everything}},
		Call: ports.Call{Action: act, Params: map[string]string{"id": string(userID(max(v.user, 0)))}},
	}
	if v.user >= 0 {
		r.Grant = oauth.GrantID(userID(v.user))
	}
	if v.body != "" {
		r.Call.Body, r.Call.Length = strings.NewReader(v.body), int64(len(v.body))
	}
	return r
}

// ask has one of the Perches perform the wish.
func (w *world) ask(perch int, v wish) (ports.Reply, error) {
	reply, err := w.perches[perch%len(w.perches)].Do(w.t.Context(), w.request(v))
	if err == nil {
		_, _ = io.Copy(io.Discard, reply.Body)
		_ = reply.Body.Close()
	}
	return reply, err
}

// all has the wishes performed, some at the same time, and tells how each ended.
func (w *world) all(wishes []wish, ended func(v wish, reply ports.Reply, err error)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(16, len(wishes)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(wishes)); i = next.Add(1) - 1 {
				reply, err := w.ask(int(i), wishes[i])
				ended(wishes[i], reply, err)
			}
		})
	}
	wg.Wait()
}

// refusals counts X's replies of 429 in its ledger, and all its replies.
func (w *world) refusals() (refused, asked int) {
	for _, e := range w.x.Ledger() {
		if e.Type == "call" {
			asked++
			if e.Details["status"] == "429" {
				refused++
			}
		}
	}
	return refused, asked
}

// jain is the fairness index of Jain, Chiu and Hawe: 1 where all have the same.
func jain(of []int64) float64 {
	var sum, squares float64
	for _, n := range of {
		sum += float64(n)
		squares += float64(n) * float64(n)
	}
	return sum * sum / (float64(len(of)) * math.Max(squares, 1))
}

func isLimit(err error, slug string) bool {
	return fault.KindOf(err) == fault.Limited && fault.SlugOf(err) == slug
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// caller is one who acts for the first user.
func (w *world) caller(app int) ports.Caller {
	return ports.Caller{
		Actor: "key_1", App: client.App{ID: appID(app), XApp: xapp.Default}, Grant: "grant_1", User: userID(0),
	}
}

func (w *world) call(action string) ports.Call {
	w.t.Helper()
	act, ok := xapi.ByID(action)
	if !ok {
		w.t.Fatalf("no action %s", action)
	}
	return ports.Call{Action: act, XApp: xapp.Default}
}

// broken is a store that cannot be reached.
type broken struct{}

func (broken) Spend(context.Context, time.Time, []quota.Charge) (quota.Verdict, error) {
	return quota.Verdict{}, fault.New(fault.Unavailable, "no way to the store")
}

func (broken) Refund(context.Context, []quota.Return) error {
	return fault.New(fault.Unavailable, "no way to the store")
}

func (broken) Note(context.Context, time.Time, []quota.Note) error {
	return fault.New(fault.Unavailable, "no way to the store")
}
