package wiring_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

func TestTwoReplicasPostOnce(t *testing.T) { lasting(t, twoReplicasPostOnce) }

func twoReplicasPostOnce(t *testing.T, e environment) {
	const keyed = "Idempotency-Key: "
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	h := openTwo(t, e, x)
	app := h[0].register(t, pageA, "")
	grant := h[0].adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	x.Mischief(xsim.Mischief{Match: "createPosts", Kind: "slow", Delay: 50 * time.Millisecond})
	for round := range 5 {
		key, body := fmt.Sprintf("%sk%d", keyed, round), fmt.Sprintf(`{"text":"round %d"}`, round)
		done := 0
		for _, a := range together(e.many(40), func(i int) answer {
			return patient(func() answer { return h[i%2].act(t, app.sk, grant, "POST", "/2/tweets", body, key) })
		}) {
			switch a.status {
			case http.StatusCreated:
				done++
			case http.StatusConflict:
			default:
				t.Errorf("round %d: %d %s", round, a.status, a.body)
			}
		}
		if posts := len(happened(x, "post.created")); done == 0 || posts != round+1 {
			t.Fatalf("round %d: %d were told that it is done, and X has %d posts", round, done, posts)
		}
	}
	h[0].leave()
	one := open(t, h[0].cfg)
	for _, house := range []*house{one, h[1]} {
		a := house.act(t, app.sk, grant, "POST", "/2/tweets", `{"text":"round 0"}`, keyed+"k0")
		if a.status != http.StatusCreated || a.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("after a restart: %d %s", a.status, a.body)
		}
	}
	if posts := len(happened(x, "post.created")); posts != 5 {
		t.Errorf("X has %d posts", posts)
	}
}
