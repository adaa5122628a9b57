package wiring_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// X is slow, and more callers come than could be served in time: those who would
// wait in vain are told so at once and when to come again. X is asked nothing for
// them, so that the same calls are made later, each once.
func TestAnOverloadedHouseSaysWhenToComeAgain(t *testing.T) {
	const callers, lasts, turns = 120, 2 * time.Second, 75 // so many calls fit into the 150 seconds that one has, at most
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	var asked atomic.Int64
	var holding atomic.Bool
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	at, _ := serveX(t, &tap{x: x, arrived: func(r *http.Request) {
		if r.URL.Path != "/2/tweets" {
			return
		}
		if asked.Add(1); holding.CompareAndSwap(true, false) {
			arrived <- struct{}{}
			<-release
		}
	}})
	goOn := sync.OnceFunc(func() { close(release) })
	t.Cleanup(goOn)
	cfg := settings(t, environments()[0], at)
	cfg.X.Calls = 1
	h := open(t, cfg)
	app := h.register(t, pageA, "")
	grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	post := func(i int) answer {
		return h.act(t, app.sk, grant, "POST", "/2/tweets", fmt.Sprintf(`{"text":"number %d"}`, i),
			fmt.Sprintf("Idempotency-Key: k%d", i))
	}
	x.Mischief(xsim.Mischief{Match: "createPosts", Kind: "slow", Delay: lasts, Times: 1})
	want(t, http.StatusCreated, post(callers)) // from which is known how long one takes
	holding.Store(true)
	first := make(chan answer, 1)
	go func() { first <- post(callers + 1) }()
	<-arrived

	var answered atomic.Int64
	all := make(chan []answer, 1)
	go func() {
		all <- together(callers, func(i int) answer {
			defer answered.Add(1)
			return post(i)
		})
	}()
	eventually(t, "some are told to come again", func() bool { return answered.Load() >= callers-turns })
	if n := asked.Load(); n != 2 {
		t.Errorf("X was asked %d times while its first answer was awaited", n-1)
	}
	goOn()
	want(t, http.StatusCreated, <-first)
	for i, a := range <-all {
		if a.status == http.StatusCreated {
			continue
		}
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if a.status != http.StatusServiceUnavailable || a.problem() != "overloaded" || err != nil || wait < 60 {
			t.Errorf("who comes too many gets %d, Retry-After %q: %s", a.status, a.header.Get("Retry-After"), a.body)
		}
		a = post(i)
		if want(t, http.StatusCreated, a); a.header.Get("Idempotency-Replayed") != "" {
			t.Error("what was not sent is said to have been done")
		}
	}
	if n, made := asked.Load(), len(happened(x, "post.created")); n != callers+2 || made != callers+2 {
		t.Errorf("for %d calls X was asked %d times and made %d posts", callers+2, n, made)
	}
}
