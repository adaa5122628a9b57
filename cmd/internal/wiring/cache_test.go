package wiring_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// A reader is a house with a cache, in front of X in a box.
type reader struct {
	*house
	t *testing.T
	x *xsim.Sim
}

func newReader(t *testing.T) reader {
	t.Helper()
	x := xsim.New(xsim.Options{})
	url, _ := serveX(t, x)
	cfg := settings(t, environments()[0], url)
	cfg.Cache = "getUsersMe=5m"
	return reader{open(t, cfg), t, x}
}

func (h reader) connect(to tenant, user string) string {
	h.t.Helper()
	return h.adopt(h.t, to, user, issue(h.t, h.x, xsim.DefaultApp().ClientID, user), time.Now().Add(time.Hour))
}

// asked is how often X has performed getUsersMe.
func (h reader) asked() int {
	return len(slices.DeleteFunc(happened(h.x, "call"), func(e xsim.Entry) bool { return e.Object != "getUsersMe" }))
}

func TestAReadIsPaidOnceAndIsForItsGrantAlone(t *testing.T) {
	h := newReader(t)
	one, two := h.register(t, pageA, ""), h.register(t, pageB, "")
	adas, graces, elsewhere := h.connect(one, ada), h.connect(one, grace), h.connect(two, ada)
	before := h.asked()
	for _, step := range []struct {
		what   string
		to     tenant
		grant  string
		header string // Cache-Control
		status int
		says   string // Cache-Status
		who    string
		asked  int // of X so far
	}{
		{"the first call", one, adas, "", 200, "perch; fwd=uri-miss; stored", "ada", 1},
		{"the same", one, adas, "", 200, "perch; hit; ttl=", "ada", 1},
		{"for another user", one, graces, "", 200, "perch; fwd=uri-miss; stored", "grace", 2},
		{"by another application", two, elsewhere, "", 200, "perch; fwd=uri-miss; stored", "ada", 3},
		{"for the first again", one, adas, "", 200, "perch; hit; ttl=", "ada", 3},
		{"with another's grant", two, adas, "", 404, "", "", 3},
		{"by nobody", tenant{sk: "sk_x"}, adas, "", 401, "", "", 3},
		{"with no-cache", one, adas, "no-cache", 200, "perch; fwd=request; stored", "ada", 4},
		{"the second user again", one, graces, "", 200, "perch; hit; ttl=", "grace", 4},
	} {
		a := h.act(t, step.to.sk, step.grant, "GET", "/2/users/me", "", "Cache-Control: "+step.header)
		if a.status != step.status || !strings.HasPrefix(a.header.Get("Cache-Status"), step.says) ||
			a.status == 200 && a.text("data.username") != step.who || h.asked()-before != step.asked {
			t.Errorf("%s: %d %q %s; X was asked %d times", step.what, a.status, a.header.Get("Cache-Status"), a.body, h.asked()-before)
		}
		limits, age := a.header.Get("X-Rate-Limit-Remaining"), a.header.Get("Age")
		if hit := strings.HasPrefix(a.header.Get("Cache-Status"), "perch; hit"); a.status == 200 && (hit != (age != "") || hit != (limits == "")) {
			t.Errorf("%s: age %q, X's limits %q", step.what, age, limits)
		}
	}
	want(t, http.StatusCreated, h.act(t, one.sk, adas, "POST", "/2/tweets", `{"text":"news"}`))
	before = h.asked()
	for _, grant := range []string{adas, adas, graces} {
		want(t, http.StatusOK, h.act(t, one.sk, grant, "GET", "/2/users/me", ""))
	}
	if n := h.asked() - before; n != 1 {
		t.Errorf("after a post by one of two users X was asked %d times", n)
	}
	want(t, http.StatusNoContent, h.act(t, one.sk, "", "DELETE", "/v1/grants/"+adas, ""))
	if a := h.act(t, one.sk, adas, "GET", "/2/users/me", ""); a.status != http.StatusForbidden || strings.Contains(a.body, "ada") {
		t.Errorf("a revoked grant is answered from memory: %d %s", a.status, a.body)
	}
}

func TestWhatIsReadAgainIsSaved(t *testing.T) {
	oneDay()
	h := newReader(t)
	to := h.register(t, pageA, "")
	grant := h.connect(to, ada)
	var costs []string
	for range 4 {
		a := h.act(t, to.sk, grant, "GET", "/2/users/me", "")
		want(t, http.StatusOK, a)
		costs = append(costs, a.header.Get("Perch-Cost"))
	}
	if got := strings.Join(costs, " "); got != "0.01 0.00 0.00 0.00" {
		t.Errorf("the calls cost %s", got)
	}
	of := h.operator(t, http.StatusOK, "GET", "/admin/v1/usage?by=action&app="+to.id, nil)
	mine := h.act(t, to.sk, grant, "GET", "/v1/usage?by=action", "")
	for who, a := range map[string]answer{"an operator": of, "the caller": mine} { // X bills a user once on a day
		got := []string{a.text("data.0.action"), a.text("total.cost"), a.text("total.saved")}
		if n := a.field("total.hits"); !slices.Equal(got, []string{"getUsersMe", "0.01", "0.00"}) || n != 3.0 || a.field("total.calls") != 1.0 {
			t.Errorf("%s sees %q and %v hits: %s", who, got, n, a.body)
		}
	}
}

func TestACrowdReadsOnce(t *testing.T) {
	h := newReader(t)
	to := h.register(t, pageA, "")
	grant := h.connect(to, ada)
	h.x.Mischief(xsim.Mischief{Match: "getUsersMe", Kind: "slow", Delay: 300 * time.Millisecond, Times: 1})
	before := h.asked()
	var done sync.WaitGroup
	for range 40 {
		done.Go(func() {
			if a := h.act(t, to.sk, grant, "GET", "/2/users/me", ""); a.status != http.StatusOK || a.text("data.username") != "ada" {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	done.Wait()
	if n := h.asked() - before; n != 1 {
		t.Errorf("forty who asked at once had X asked %d times", n)
	}
}

func TestEveryLineOfCacheControlCounts(t *testing.T) {
	h := newReader(t)
	to := h.register(t, pageA, "")
	grant := h.connect(to, ada)
	want(t, http.StatusOK, h.act(t, to.sk, grant, "GET", "/2/users/me", ""))
	for status, lines := range map[string][]string{
		"perch; hit":         {"max-age=300", "min-fresh=1"},
		"perch; fwd=request": {"max-age=300", "no-cache"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.public+"/2/users/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer " + to.sk}, "Perch-Grant": {grant}, "Cache-Control": lines}
		res, err := h.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if got := res.Header.Get("Cache-Status"); res.StatusCode != http.StatusOK || !strings.HasPrefix(got, status) {
			t.Errorf("%q: %d, Cache-Status: %s", lines, res.StatusCode, got)
		}
	}
}
