package deliveries_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/adapters/sqlstore"
	"perch/adapters/xhttp"
	"perch/adapters/xhttp/xsim"
	"perch/app/actions"
	"perch/app/clock"
	"perch/app/deliveries"
	"perch/app/grants"
	"perch/app/replays"
	"perch/app/xapps"
	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/domain/xapp"
	"perch/ports"
)

// A world is X in a box and a store, on one clock that stands still.
type world struct {
	t     *testing.T
	clock *watch
	x     *xsim.Sim
	away  atomic.Bool // X cuts every connection before it has read anything
	url   string
	ring  *keyring.Ring
	grant map[string]oauth.GrantID // by line
	app   client.App
}

// A storeClock is a store whose clock is the world's.
type storeClock struct{ *watch }

func (c storeClock) Now(context.Context) (time.Time, error) { return c.watch.Now(), nil }

func newWorld(t *testing.T) *world {
	w := &world{t: t, clock: &watch{now: noon}, ring: keyring.Ephemeral(), grant: map[string]oauth.GrantID{}}
	w.x = xsim.New(xsim.Options{Now: w.clock.Now})
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if w.away.Load() {
			panic(http.ErrAbortHandler)
		}
		w.x.ServeHTTP(out, r)
	}))
	t.Cleanup(s.Close)
	w.url = s.URL
	w.app = client.App{ID: "app_1", Name: "a", XApp: xapp.Default, Status: client.Active, Actions: []string{"createPosts"}}
	return w
}

// A replica is one Perch in the world.
type replica struct {
	*deliveries.Service
	*testing.T
	world *world
	once  *replays.Service
}

// gateway is X as one replica sees it.
type gateway struct {
	*xhttp.Gateway
	do func(ctx context.Context, c ports.Call, next func() (ports.Reply, error)) (ports.Reply, error)
}

func (g gateway) Do(ctx context.Context, c ports.Call) (ports.Reply, error) {
	next := func() (ports.Reply, error) { return g.Gateway.Do(ctx, c) }
	if g.do == nil {
		return next()
	}
	return g.do(ctx, c, next)
}

// resolver joins what the house's wiring joins.
type resolver struct{ *replays.Service }

func (r resolver) Resolve(
	ctx context.Context, who ports.Caller, key string, look func(context.Context, ports.Call) (ports.Reply, error),
) error {
	parsed, err := idempotency.ParseKey(key)
	if err != nil {
		return err
	}
	_, err = r.Service.Resolve(ctx, replays.Holder{App: who.App.ID, Grant: who.Grant, User: who.User}, parsed.Segment(), look)
	return err
}

func (w *world) replica(s *sqlstore.Store, do func(context.Context, ports.Call, func() (ports.Reply, error)) (ports.Reply, error)) *replica {
	w.t.Helper()
	return w.replicaAt(s, w.clock.Now, do)
}

// replicaAt is a replica with a clock of its own.
func (w *world) replicaAt(
	s *sqlstore.Store, now func() time.Time, do func(context.Context, ports.Call, func() (ports.Reply, error)) (ports.Reply, error),
) *replica {
	w.t.Helper()
	x, err := xhttp.New(xhttp.Config{APIURL: w.url, AuthorizeURL: w.url, Rest: time.Millisecond})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(x.Close)
	sim, registry, h := xsim.DefaultApp(), s.Registry(), newHouse(w.t)
	if _, err := registry.Apps().Create(w.t.Context(), w.app); err != nil && !errors.Is(err, fault.Conflict) {
		w.t.Fatal(err)
	}
	xs := xapps.New(registry.XApps(), registry.Apps(), w.ring, ports.XApp{
		ClientID: sim.ClientID, ClientSecret: secret.New(sim.ClientSecret), Bearer: secret.New(sim.Bearer),
	})
	gs := grants.New(grants.Parts{
		Vault: s.Vault(), Pending: s.Authorizations(), Keyring: w.ring, X: x, XApps: xs, Journal: memory.NewJournal(),
		Breaker: xhttp.NewBreakers(time.Second, h), Clock: clock.New(storeClock{w.clock}, w.clock.Now),
		Sessions: s.Sessions(), Observer: h, Callback: "http://127.0.0.1/oauth/callback",
	})
	w.connect(gs)
	once := replays.New(replays.Parts{Replies: s.Replies(), Queue: s.Deliveries(), Keyring: w.ring, Now: now, Issuer: "https://perch.example"})
	w.t.Cleanup(once.Close)
	as := actions.New(actions.Parts{
		Grants: gs, XApps: xs, X: gateway{x, do}, Observer: h, Replays: once, Apps: registry.Apps(), Resolver: resolver{once},
		Now: now,
	})
	return &replica{T: w.t, world: w, once: once, Service: deliveries.New(deliveries.Parts{
		Store: s.Deliveries(), Queue: s.DeliveryQueue(), Replies: s.Replies(), Actions: as, Keyring: w.ring, Observer: h, Now: now,
		Room: delivery.Room{Line: 50, App: 120},
	})}
}

// connect makes a grant for each line, the first time.
func (w *world) connect(gs *grants.Service) {
	w.t.Helper()
	for i, line := range []string{"a", "b"} {
		if w.grant[line] != "" {
			continue
		}
		token, err := w.x.Issue(xsim.DefaultApp().ClientID, w.x.Users()[i].ID, oauth.Everything.List())
		if err != nil {
			w.t.Fatal(err)
		}
		g, err := gs.Import(w.t.Context(), w.app.ID, xapp.Default, grants.Import{
			Access: secret.New(token.Access), Refresh: secret.New(token.Refresh), Scopes: oauth.Everything,
			Expires: w.clock.Now().Add(2 * time.Hour), Replace: true,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		w.grant[line] = g.ID
	}
}

func (r *replica) post(line string, i int) delivery.Delivery {
	r.Helper()
	q := request(string(r.world.grant[line]), fmt.Sprintf(`{"text":"%s%d"}`, line, i))
	d, err := r.Accept(r.Context(), q)
	if err != nil {
		r.Fatal(err)
	}
	return d
}

// pass lets time pass in steps of half a minute while the replica works.
func (r *replica) pass(d time.Duration) {
	r.Helper()
	for ; d > 0; d -= 30 * time.Second {
		r.world.clock.advance(30 * time.Second)
		if _, err := r.Work(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
}

// posts are the texts that X has of every user, the oldest first. It also checks
// that X has executed no more than made them.
func (w *world) posts() (texts []string) {
	w.t.Helper()
	for i := range w.grant {
		user := w.x.Users()[map[string]int{"a": 0, "b": 1}[i]].ID
		token, err := w.x.Issue(xsim.DefaultApp().ClientID, user, oauth.Everything.List())
		if err != nil {
			w.t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/2/users/"+user+"/tweets?max_results=100", nil)
		r.Header.Set("Authorization", "Bearer "+token.Access)
		answer := httptest.NewRecorder()
		w.x.ServeHTTP(answer, r)
		var page struct {
			Data []struct {
				Text string `json:"text"`
			} `json:"data"`
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil || answer.Code != http.StatusOK {
			w.t.Fatal(answer.Code, answer.Body, err)
		}
		for _, post := range slices.Backward(page.Data) {
			if len(post.Text) == 2 { // the box has some of its own
				texts = append(texts, post.Text)
			}
		}
	}
	executed := 0
	for _, e := range w.x.Ledger() {
		if e.Type == "call" && e.Object == "createPosts" && e.Details["executed"] == "true" {
			executed++
		}
	}
	if executed != len(texts) {
		w.t.Errorf("X has executed %d posts, and %d are there", executed, len(texts))
	}
	return texts
}

func (r *replica) ended(all []delivery.Delivery, want delivery.State) {
	r.Helper()
	for _, d := range all {
		got, err := r.Get(r.Context(), "", d.ID)
		if err != nil || got.State != want {
			text, _ := json.Marshal(got)
			r.Errorf("%s, %v; want %s", text, err, want)
		}
	}
}

// The whole way to X in a box: an hour in which X is away in one of the ways it
// can be, a restart, and a death.
func TestPostsOutliveABadDayOfX(t *testing.T) {
	bad := map[string]func(w *world) (back func()){
		"connections are cut": func(w *world) func() {
			w.away.Store(true)
			return func() { w.away.Store(false) }
		},
		"503": func(w *world) func() {
			w.x.Mischief(xsim.Mischief{Kind: "outage"})
			return w.x.ClearMischief
		},
		"posts are made and answers lost": func(w *world) func() {
			w.x.Mischief(xsim.Mischief{Kind: "lost", Match: "createPosts"})
			return w.x.ClearMischief
		},
		"429": func(w *world) func() {
			w.x.Mischief(xsim.Mischief{Kind: "rate_limit", Match: "createPosts"})
			return w.x.ClearMischief
		},
	}
	for _, kind := range kinds() {
		for what, begin := range bad {
			if kind == "postgres" && (what == "503" || what == "connections are cut") {
				continue // the gateway's patience takes its time; once is enough
			}
			t.Run(kind+", "+what, func(t *testing.T) {
				t.Parallel()
				open, w := opener(t, kind), newWorld(t)
				first, _ := open().(*sqlstore.Store)
				r := w.replica(first, nil)
				back := begin(w)
				var all []delivery.Delivery
				for i := range 3 {
					all = append(all, r.post("a", i), r.post("b", i))
				}
				r.pass(30 * time.Minute)
				if err := first.Close(); err != nil {
					t.Fatal(err)
				}
				second, _ := open().(*sqlstore.Store)
				r = w.replica(second, nil)
				r.pass(30 * time.Minute)
				back()
				r.pass(30 * time.Minute)
				r.ended(all, delivery.Done)
				inOrder(t, w.posts(), 3, "a", "b")
			})
		}
	}
}

func TestAReplicaThatDiesWhileItSendsSendsNothingTwice(t *testing.T) {
	for _, kind := range kinds() {
		for what, asked := range map[string]bool{"after X was asked": true, "before X was asked": false} {
			t.Run(kind+", "+what, func(t *testing.T) {
				t.Parallel()
				open, w := opener(t, kind), newWorld(t)
				grave, buried := make(chan struct{}), make(chan struct{})
				dying := make(chan struct{}, 10)
				s, _ := open().(*sqlstore.Store)
				doomed := w.replica(s, func(_ context.Context, _ ports.Call, next func() (ports.Reply, error)) (ports.Reply, error) {
					if asked {
						if reply, err := next(); err == nil {
							_ = reply.Body.Close()
						}
					}
					dying <- struct{}{}
					<-grave // nothing of it is ever written down
					return ports.Reply{}, fault.New(fault.Unavailable, "dead")
				})
				other, _ := open().(*sqlstore.Store)
				heir := w.replica(other, nil)
				var all []delivery.Delivery
				for i := range 3 {
					all = append(all, doomed.post("a", i), heir.post("b", i))
				}
				go func() {
					defer close(buried)
					_, _ = doomed.Work(context.Background())
				}()
				t.Cleanup(func() { close(grave); <-buried })
				<-dying
				<-dying
				heir.pass(time.Minute)
				heir.ended(all[:2], delivery.Sending)
				heir.pass(20 * time.Minute)
				heir.ended(all, delivery.Done)
				inOrder(t, w.posts(), 3, "a", "b")
			})
		}
	}
}

func TestWhatTheApplicationMayNotReadIsResolvedAllTheSame(t *testing.T) {
	w := newWorld(t)
	if act, _ := xapi.ByID("getUsersPosts"); w.app.Permits(act) {
		t.Fatal("the application may read")
	}
	s, _ := opener(t, "sqlite")().(*sqlstore.Store)
	r := w.replica(s, nil)
	w.x.Mischief(xsim.Mischief{Kind: "lost", Match: "createPosts", Times: 1})
	d := r.post("a", 0)
	r.pass(15 * time.Minute)
	r.ended([]delivery.Delivery{d}, delivery.Done)
	if got := w.posts(); !slices.Equal(got, []string{"a0"}) {
		t.Errorf("X has %q", got)
	}
}
