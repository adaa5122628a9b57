package xhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/ports"
)

// A bell keeps the alerts it is told.
type bell struct {
	mu   sync.Mutex
	rang []string
}

func (b *bell) Observe(_ context.Context, e audit.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rang = append(b.rang, strings.TrimSpace(e.Verb+" "+e.Target))
}

func (b *bell) heard(t *testing.T, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := cmp.Diff(want, b.rang); d != "" {
		t.Errorf("alerts (-want +got):\n%s", d)
	}
	b.rang = nil
}

func guarded(rest time.Duration, calls int) (*guard, *bell) {
	b := &bell{}
	return newGuard(Config{Observer: b, Rest: rest, Calls: calls, Uploads: 1}.withDefaults()), b
}

// pass sends a call through the guard, to an X that answers with the status and
// the body, or not at all.
func (g *guard) pass(t *testing.T, c ports.Call, status int, body string) (ports.Reply, error) {
	t.Helper()
	p, err := g.enter(t.Context(), c)
	if err != nil {
		return ports.Reply{}, err
	}
	defer p.close()
	r := ports.Reply{Status: status, Header: http.Header{}, Whole: []byte(body), Body: io.NopCloser(strings.NewReader(body))}
	if status == 0 {
		err = fault.New(fault.Unavailable, "X did not answer").Named("x-no-answer")
	}
	return g.settle(t.Context(), c, p, r, err)
}

// refused fails the test unless err is a refusal before anything was sent.
func refused(t *testing.T, err error, slug string, wait time.Duration) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Slug != slug || !errors.Is(err, ports.ErrUnsent) || f.Wait.Round(time.Second) != wait {
		t.Errorf("got %v, want %s after %v", err, slug, wait)
	}
}

func TestAllCallsTogetherAreRepeatedByATenthOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gateway{repeats: newBudget()}
		for name, err := range map[string]error{
			"no answer": fault.New(fault.Unavailable, "").Named("x-no-answer"), "unreachable": ports.ErrUnsent, "503": nil,
		} {
			const calls = 1000
			asked := 0
			for range calls {
				_, _ = g.steady(t.Context(), readMe(t), func() (ports.Reply, *outgoing, error) {
					asked++
					return ports.Reply{Status: http.StatusServiceUnavailable, Body: http.NoBody}, &outgoing{}, err
				})
			}
			t.Logf("%s: %d calls, X was asked %d times", name, calls, asked)
			if asked > calls*11/10+atOnce || asked <= calls {
				t.Errorf("%s: for %d calls X was asked %d times", name, calls, asked)
			}
		}
	})
}

func TestABreakerOpensForItsGroupAloneAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := guarded(15*time.Second, 10)
		for i, status := range []int{500, 0, 503, 502, 504} {
			if _, err := g.pass(t, readMe(t), status, ""); errors.Is(err, ports.ErrUnsent) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		b.heard(t, "x.breaker.open reads")
		time.Sleep(5 * time.Second)
		_, err := g.pass(t, readMe(t), 200, "{}")
		refused(t, err, "x-breaker-open", 10*time.Second)
		if _, err := g.pass(t, posting(t), 201, "{}"); err != nil {
			t.Errorf("a post, though only reads fail: %v", err)
		}
		other := readMe(t)
		other.XApp = "another"
		if _, err := g.pass(t, other, 200, "{}"); err != nil {
			t.Errorf("a read of another X App: %v", err)
		}
		for _, status := range []int{503, 200} {
			time.Sleep(16 * time.Second)
			probe, err := g.enter(t.Context(), readMe(t))
			if err != nil {
				t.Fatal(err)
			}
			_, err = g.pass(t, readMe(t), 200, "{}")
			refused(t, err, "x-breaker-open", 15*time.Second)
			_, _ = g.settle(t.Context(), readMe(t), probe, ports.Reply{Status: status, Whole: []byte{}}, nil)
			probe.close()
		}
		b.heard(t, "x.breaker.close reads")
		if _, err := g.pass(t, readMe(t), 200, "{}"); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsNotXsFaultOpensNothing(t *testing.T) {
	g, b := guarded(15*time.Second, 10)
	gone, leave := context.WithCancel(t.Context())
	leave()
	ours := fault.New(fault.Unavailable, "").Named("x-no-answer")
	for range 20 {
		for _, status := range []int{400, 403, 404, 409, 429} {
			if _, err := g.pass(t, posting(t), status, "{}"); err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range []struct {
			ctx context.Context
			err error
		}{
			{gone, ours}, {t.Context(), fault.New(fault.Invalid, "the body broke off")}, {t.Context(), io.ErrUnexpectedEOF},
		} {
			p, err := g.enter(t.Context(), posting(t))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = g.settle(v.ctx, posting(t), p, ports.Reply{}, v.err)
			p.close()
		}
	}
	b.heard(t, "x.rate_limit.open writes") // which refuses nothing here
}

func TestATroubleOfAnXAppIsNotAskedForAgainAndAgain(t *testing.T) {
	const capped = `{"title":"UsageCapExceeded","type":"https://api.x.com/2/problems/usage-capped"}`
	list := ports.Call{Action: action(t, "createLists"), Token: secret.New("x")}
	for name, v := range map[string]struct {
		status  int
		body    string
		slug    string
		verb    string
		wait    time.Duration
		meets   []ports.Call // it too
		spares  []ports.Call
		refuses bool
	}{
		"a usage cap": {429, capped, "x-usage-cap", "x.usage_cap.WORD reads", time.Hour,
			[]ports.Call{readMe(t)}, []ports.Call{posting(t)}, true},
		"no credits": {402, "", "x-out-of-credits", "x.out_of_credits.WORD", 5 * time.Minute,
			[]ports.Call{readMe(t), posting(t), list}, []ports.Call{finalizing(t)}, true},
		"a rate limit": {429, "", "x-rate-limit", "x.rate_limit.WORD reads", time.Minute,
			nil, []ports.Call{readMe(t), posting(t)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, b := guarded(15*time.Second, 10)
				reply, err := g.pass(t, readMe(t), v.status, v.body)
				if err != nil || reply.Status != v.status || string(reply.Whole) != v.body ||
					reply.Header["Retry-After"][0] != fmt.Sprint(v.wait.Seconds()) {
					t.Errorf("X's answer became %+v %v", reply, err)
				}
				b.heard(t, strings.Replace(v.verb, "WORD", "open", 1))
				for _, c := range v.meets {
					_, err := g.pass(t, c, 200, "{}")
					refused(t, err, v.slug, v.wait)
				}
				for _, c := range v.spares {
					if _, err := g.pass(t, c, 200, "{}"); err != nil {
						t.Errorf("%s: %v", c.Action.ID, err)
					}
				}
				other := readMe(t)
				other.XApp = "another"
				if _, err := g.pass(t, other, 200, "{}"); err != nil {
					t.Errorf("another X App: %v", err)
				}
				time.Sleep(v.wait + time.Second)
				probe, err := g.enter(t.Context(), readMe(t))
				if err != nil {
					t.Fatal(err)
				}
				if _, err = g.enter(t.Context(), readMe(t)); (err != nil) != v.refuses {
					t.Errorf("beside a probe: %v", err)
				}
				_, _ = g.settle(t.Context(), readMe(t), probe, ports.Reply{
					Status: v.status, Whole: []byte(v.body), Header: http.Header{"Retry-After": {"7"}},
				}, nil)
				if v.refuses {
					_, err = g.pass(t, readMe(t), 200, "{}")
					refused(t, err, v.slug, 7*time.Second)
				}
				time.Sleep(8 * time.Second)
				for range 3 {
					if _, err := g.pass(t, readMe(t), 200, "{}"); err != nil {
						t.Error(err)
					}
				}
				b.heard(t, strings.Replace(v.verb, "WORD", "close", 1))
			})
		})
	}
}

// TestWhatPeoplePutRightIsFoundOut: one call a minute goes through to see.
func TestWhatPeoplePutRightIsFoundOut(t *testing.T) {
	for verb, v := range map[string]struct {
		status         int
		body, slug, at string
		wait           time.Duration
	}{
		"x.usage_cap":      {429, `{"title":"UsageCapExceeded"}`, "x-usage-cap", " reads", time.Hour},
		"x.out_of_credits": {402, "", "x-out-of-credits", "", 5 * time.Minute},
	} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				replicas := [2]*guard{}
				bells := [2]*bell{}
				for i := range replicas {
					replicas[i], bells[i] = guarded(15*time.Second, 10)
					_, _ = replicas[i].pass(t, readMe(t), v.status, v.body)
					bells[i].heard(t, verb+".open"+v.at)
				}
				// What X says to the probe of each minute, and how long the next call is to wait.
				for _, step := range []struct {
					status int
					body   string
					left   time.Duration
				}{
					{v.status, v.body, v.wait},
					{404, "{}", v.wait - time.Minute}, // nothing of the kind
					{429, "", v.wait - 2*time.Minute}, // asked too often, which is another trouble
					{200, "{}", 0},
				} {
					time.Sleep(time.Minute)
					for i, g := range replicas {
						if reply, err := g.pass(t, readMe(t), step.status, step.body); err != nil || reply.Status != step.status {
							t.Errorf("replica %d lets no probe through: %v", i, err)
						}
						_, err := g.pass(t, readMe(t), 200, "{}")
						if step.left > 0 {
							refused(t, err, v.slug, step.left)
						} else if err != nil {
							t.Errorf("replica %d: %v", i, err)
						}
					}
				}
				for _, b := range bells {
					b.heard(t, "x.rate_limit.open reads", verb+".close"+v.at,
						"x.rate_limit.close reads")
				}
			})
		})
	}
}

// TestWhoIsRefusedInAdvanceKnowsThatXWasNotAsked: unlike who was refused by X.
func TestWhoIsRefusedInAdvanceKnowsThatXWasNotAsked(t *testing.T) {
	for body, status := range map[string]int{`{"title":"UsageCapExceeded"}`: 429, "{}": 402} {
		g, _ := guarded(15*time.Second, 10)
		_, _ = g.pass(t, readMe(t), status, body)
		_, err := g.pass(t, readMe(t), 200, "{}")
		if f, ok := errors.AsType[*fault.Error](err); !ok || !errors.Is(err, ports.ErrUnsent) ||
			!strings.Contains(f.Say, "Perch has not asked X. It lets one call a minute through") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// The call was asked before the trouble began, and X's answer came while the probe
// was under way.
func TestARefusalDuringAProbeGoesBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := guarded(15*time.Second, 10)
		early, err := g.enter(t.Context(), posting(t))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = g.pass(t, posting(t), 402, "")
		time.Sleep(time.Minute)
		probe, err := g.enter(t.Context(), posting(t))
		if err != nil {
			t.Fatal(err)
		}
		settle := func(p *pass, status int) {
			_, _ = g.settle(t.Context(), posting(t), p, ports.Reply{Status: status, Header: http.Header{}, Whole: []byte{}}, nil)
			p.close()
		}
		settle(early, 402)
		settle(probe, 201)
		_, err = g.pass(t, posting(t), 201, "{}")
		refused(t, err, "x-out-of-credits", 5*time.Minute)
		b.heard(t, "x.out_of_credits.open")
	})
}

func TestAProbeThatNobodyAnswersIsNotTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := guarded(15*time.Second, 10)
		_, _ = g.pass(t, readMe(t), 402, "")
		time.Sleep(6 * time.Minute)
		for i, status := range []int{0, 503, 200, 200} {
			if _, err := g.pass(t, readMe(t), status, ""); errors.Is(err, ports.ErrUnsent) {
				t.Errorf("probe %d: %v", i, err)
			}
		}
	})
}

func TestEveryActionIsInAGroup(t *testing.T) {
	n := map[string]int{}
	for _, a := range xapi.All() {
		n[groupOf(a)]++
	}
	for _, group := range []string{uploading, streaming, messaging, reading, writing} {
		if n[group] < 3 {
			t.Errorf("%s has %d actions", group, n[group])
		}
	}
	for id, want := range map[string]string{
		"createPosts": writing, "getUsersMe": reading, "appendMediaUpload": uploading, "finalizeMediaUpload": writing,
		"streamPosts": streaming, "dmConversationsMediaDownload": uploading,
	} {
		if got := groupOf(action(t, id)); got != want {
			t.Errorf("%s is in %s", id, got)
		}
	}
}
