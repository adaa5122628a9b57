package spending_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/cloudflare"
	"perch/adapters/sqlstore"
	"perch/adapters/xhttp"
	"perch/adapters/xhttp/xsim"
	"perch/app/actions"
	"perch/app/spending"
	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/spend"
	"perch/domain/xapi"
	"perch/domain/xapp"
	"perch/migrations"
	"perch/ports"
	"perch/ports/conformance"
	"perch/ports/conformance/pgtest"
	"perch/ports/conformance/workerd"
)

// A chain is several replicas of actions with money in front of X in a box, on
// one database.
type chain struct {
	t        *testing.T
	x        *xsim.Sim
	store    *sqlstore.Store // as seen from outside
	replicas []*branch
	users    []string
	tokens   map[oauth.GrantID]string // by grant, which is named as its user

	mu    sync.Mutex
	posts []string // that were made
	said  atomic.Int64
}

// A branch is one replica.
type branch struct {
	*actions.Service
	till *spending.Service
}

// databases open a store of its own for each call, all on one new database.
func databases() map[string]func(t *testing.T) func() *sqlstore.Store {
	on := func(t *testing.T, s migrations.Schema, open func(context.Context) (*sqlstore.Store, error)) func() *sqlstore.Store {
		return func() *sqlstore.Store {
			store, err := open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			if _, err := s.Apply(t.Context(), store.DB()); err != nil {
				t.Fatal(err)
			}
			return store
		}
	}
	return map[string]func(t *testing.T) func() *sqlstore.Store{
		"sqlite": func(t *testing.T) func() *sqlstore.Store {
			dsn := "sqlite:" + filepath.Join(t.TempDir(), "perch.db")
			return on(t, migrations.SQLite(), func(ctx context.Context) (*sqlstore.Store, error) { return sqlstore.Open(ctx, dsn) })
		},
		"postgres": func(t *testing.T) func() *sqlstore.Store {
			dsn := pgtest.URL(t)
			return on(t, migrations.Postgres(), func(ctx context.Context) (*sqlstore.Store, error) { return sqlstore.Open(ctx, dsn) })
		},
		"d1": func(t *testing.T) func() *sqlstore.Store {
			p := workerd.D1(t)
			return on(t, migrations.D1(), func(ctx context.Context) (*sqlstore.Store, error) {
				db, err := cloudflare.OpenD1(cloudflare.Config{URL: p.URL, Account: p.Account, Token: secret.New(p.Token)}, p.ID)
				if err != nil {
					return nil, err
				}
				return sqlstore.OnD1(ctx, db)
			})
		},
	}
}

func newChain(t *testing.T, replicas int, open func() *sqlstore.Store, now func() time.Time) *chain {
	t.Helper()
	users := []xsim.User{}
	for i := range 20 {
		id := fmt.Sprint(1_700_000_000_000_000_000 + i)
		users = append(users, xsim.User{ID: id, Username: fmt.Sprintf("u%d", i), Name: "U"})
	}
	k := &chain{t: t, x: xsim.New(xsim.Options{Users: users, Now: now}), store: open(), tokens: map[oauth.GrantID]string{}}
	server := httptest.NewServer(k.x)
	t.Cleanup(server.Close)
	box := httptest.NewRecorder()
	k.x.ServeHTTP(box, httptest.NewRequest("POST", "/_sim/settings", strings.NewReader(`{"windows":false}`)))
	if box.Code != 200 {
		t.Fatal(box.Body)
	}
	for _, u := range users {
		k.users = append(k.users, u.ID)
	}
	for range replicas {
		gateway, err := xhttp.New(xhttp.Config{APIURL: server.URL, AuthorizeURL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		own := open()
		till := spending.New(spending.Parts{Budgets: own.Budgets(), Usage: own.Usage(), Observer: &till{}, Now: now})
		k.replicas = append(k.replicas, &branch{till: till, Service: actions.New(actions.Parts{
			Grants: k, X: gateway, Observer: nobody{}, Tolls: actions.Tolls(till),
		})})
	}
	return k
}

type nobody struct{}

func (k *chain) Warm(_ context.Context, app client.AppID, id oauth.GrantID) (oauth.Grant, error) {
	return oauth.Grant{ID: id, App: app, XApp: xapp.Default, Scopes: oauth.Everything, State: oauth.Active}, nil
}

func (k *chain) Access(_ context.Context, g oauth.Grant) (secret.Text, error) {
	return secret.New(k.tokens[g.ID]), nil
}

func (k *chain) Distrust(_ context.Context, g oauth.Grant) (oauth.Grant, error) { return g, nil }

// random is a read or a post at random: some ask for the same resources, one in
// twenty posts has a link.
func (k *chain) random(dice *rand.Rand) ports.Call {
	user := k.users[dice.IntN(len(k.users))]
	act := func(id, query, body string, params map[string]string) ports.Call {
		a, _ := xapi.ByID(id)
		c := ports.Call{Action: a, Query: query, Params: params}
		if body != "" {
			c.Body, c.Length, c.Type = strings.NewReader(body), int64(len(body)), "application/json"
		}
		return c
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch n := dice.IntN(20); {
	case n == 0:
		return act("createPosts", "", fmt.Sprintf(`{"text":"see example.com/%d"}`, k.said.Add(1)), nil)
	case n < 8:
		return act("createPosts", "", fmt.Sprintf(`{"text":"post %d"}`, k.said.Add(1)), nil)
	case n < 10:
		return act("getUsersByIds", "ids="+user+","+k.users[dice.IntN(len(k.users))], "", nil)
	case n < 12:
		return act("getUsersPosts", "max_results=5", "", map[string]string{"id": user})
	case n < 14:
		return act("searchPostsRecent", "query=post", "", nil)
	case n < 18 && len(k.posts) > 0:
		return act("getPostsById", "expansions=author_id", "", map[string]string{"id": k.posts[dice.IntN(len(k.posts))]})
	case n < 19:
		return act("getPostsById", "", "", map[string]string{"id": "1"}) // there is none
	}
	return act("getUsersMe", "", "", nil)
}

// do makes a random call and reports whether a budget kept it out for good. Where
// calls under way are in the way, a client waits a little.
func (k *chain) do(dice *rand.Rand, b *branch, app client.App) bool {
	grant := oauth.GrantID(k.users[dice.IntN(len(k.users))])
	reply, err := b.Do(k.t.Context(), actions.Request{App: app, Grant: grant, Call: k.random(dice)})
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Slug == "budget-spent" {
		if f.Wait <= time.Second {
			k.wait(b)
		}
		return f.Wait > time.Second
	}
	if errors.Is(err, fault.Unavailable) && errors.Is(err, ports.ErrUnsent) {
		k.wait(b) // the database took too long, on a busy machine
		return false
	}
	if err != nil {
		k.t.Error(err)
		return true
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(reply.Body)
	if err != nil || reply.Status >= 400 && reply.Status != 404 {
		k.t.Errorf("%d %s %v", reply.Status, text, err)
	}
	if _, id, ok := strings.Cut(string(text), `"id":"`); ok && reply.Status == 201 {
		k.mu.Lock()
		k.posts = append(k.posts, id[:strings.IndexByte(id, '"')])
		k.mu.Unlock()
	}
	return false
}

// wait is a moment in which the replica brings what the database did not take in
// time, which holds money that others wait for.
func (k *chain) wait(b *branch) {
	time.Sleep(50 * time.Millisecond)
	_ = b.till.Flush(k.t.Context()) // what is not taken now is brought again
}

func (nobody) Observe(context.Context, audit.Event) {}

// flush has every replica write what it knows.
func (k *chain) flush() {
	k.t.Helper()
	for _, b := range k.replicas {
		if err := b.till.Flush(k.t.Context()); err != nil {
			k.t.Error(err)
		}
	}
}

// spent is what the store says: by the usage of the application, and by its
// budget of the day.
func (k *chain) spent(app client.AppID, day spend.Day) (usage, budget money.Micros) {
	k.t.Helper()
	lines, err := k.store.Usage().List(k.t.Context(), spend.Query{From: day, To: day, App: app, Most: 1})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, l := range lines {
		usage += l.Cost
	}
	st, err := k.store.Budgets().Standing(k.t.Context(), []spend.Account{{App: app, Period: int64(day)}})
	if err != nil || st[0].Reserved != 0 || st[0].Lost != 0 {
		k.t.Errorf("the budget of %s stands at %+v, %v", app, st, err)
	}
	return usage, st[0].Spent
}

// dearest is the most that one call has cost.
func (k *chain) dearest() (most money.Micros) {
	for _, e := range k.x.Ledger() {
		if e.Type == "bill" {
			var micros int64
			_, _ = fmt.Sscan(e.Details["micros"], &micros)
			most = max(most, money.Micros(micros))
		}
	}
	return most
}

// Four replicas at full speed: by X's own ledger a budget is never passed by
// more than one call, and what Perch says was spent is what X billed, to the
// millionth of a dollar; on one day and, when resources cost anew, on the next.
// Another application of the same X App, which has no budget, pays for resources
// that are then free for the first.
func TestFourReplicasKeepABudgetAndAgreeWithX(t *testing.T) {
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			conformance.Verified(t, name)
			callers, days, patience := 8, 2, 10
			if name == "d1" {
				callers, days, patience = 2, 1, 3
			}
			var now atomic.Pointer[time.Time]
			noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) // a month ends on the way
			now.Store(&noon)
			k := newChain(t, 4, database(t), func() time.Time { return *now.Load() })
			for range days {
				k.busyDay(callers, patience, spend.DayOf(*now.Load()))
				next := now.Load().Add(24 * time.Hour)
				now.Store(&next)
			}
		})
	}
}

// busyDay has the callers of each replica spend until they were refused so often,
// and compares.
func (k *chain) busyDay(callers, patience int, day spend.Day) {
	k.t.Helper()
	everything := []string{xapi.Everything}
	tight := client.App{ID: "tight", XApp: xapp.Default, Actions: everything, Budget: money.Budget{Day: money.USD}}
	free := client.App{ID: "free", XApp: xapp.Default, Actions: everything}
	for _, user := range k.users { // tokens of X live for two hours
		token, err := k.x.Issue(xsim.DefaultApp().ClientID, user, oauth.Everything.List())
		if err != nil {
			k.t.Fatal(err)
		}
		k.tokens[oauth.GrantID(user)] = token.Access
	}
	before, _ := k.x.Billed()
	var all sync.WaitGroup
	var calls, refused atomic.Int64
	for i, b := range k.replicas {
		for j := range callers {
			all.Go(func() {
				dice := rand.New(rand.NewPCG(uint64(i), uint64(j)+uint64(day)))
				for out := 0; out < patience; {
					calls.Add(1)
					if k.do(dice, b, tight) {
						out++
						refused.Add(1)
					}
					if j == 0 && out == 0 {
						k.do(dice, b, free)
					}
				}
			})
		}
	}
	all.Wait()
	k.flush()
	usage, budget := k.spent(tight.ID, day)
	others, _ := k.spent(free.ID, day)
	total, _ := k.x.Billed()
	billed := money.Micros(total.Micros - before.Micros)
	k.t.Logf("%s: %d calls, %d refused; X billed %s, of which %s to the budget of 1.00; the dearest call cost %s",
		day, calls.Load(), refused.Load(), billed, budget, k.dearest())
	if usage != budget || usage+others != billed {
		k.t.Errorf("the usage is %s and %s, the budget's spending %s; X billed %s", usage, others, budget, billed)
	}
	if budget > money.USD+k.dearest() || budget < 90*money.USD/100 {
		k.t.Errorf("%s of 1.00 was spent, and one call cost %s at most", budget, k.dearest())
	}
}
