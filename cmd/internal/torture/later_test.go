package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/delivery"
	"perch/domain/fault"
)

// TestLater hands posts over while X refuses them, kills and restarts every
// replica, lets X lose some answers while more are killed, and waits until all
// have ended. At the end the ledger of X has each text once, and those of one
// user in the order in which they were handed over.
func TestLater(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1e9
	}
	binary := built(t)
	for _, s := range setups() {
		if s.replicas == 1 {
			continue
		}
		t.Run(s.store, func(t *testing.T) {
			s.replicas = 2
			newRun(t, s, binary, *seed).later(3, 8)
		})
	}
}

func (r *run) later(lines, each int) {
	r.x.Mischief(xsim.Mischief{Kind: "rate_limit_bare", Match: "createPosts"})
	users, texts := r.users()[:lines], map[string][]string{}
	for i := range each {
		for _, user := range users {
			text := fmt.Sprintf("number %d of %s", i, user)
			r.handOver(r.replicas[(i+lines)%2], user, text)
			texts[user] = append(texts[user], text)
		}
	}
	r.restart()
	r.x.ClearMischief()
	for i, m := range []xsim.Mischief{
		{Kind: "lost", Probability: 0.15}, {Kind: "torn", Probability: 0.1}, {Kind: "outage", Probability: 0.1},
		{Kind: "slow", Delay: 50 * time.Millisecond},
	} {
		m.Match, m.Seed = "createPosts", r.seed+uint64(i)
		r.x.Mischief(m)
	}
	kills := 2
	for round := 0; ; round++ {
		span := 2 * time.Second
		if round >= 12 {
			span = 10 * time.Second // this machine is busy
		}
		for end := time.Now().Add(span); time.Now().Before(end) && r.waiting() > 0; {
			time.Sleep(time.Duration(50+r.dice.IntN(200)) * time.Millisecond)
			if round < 6 {
				one := r.replicas[r.dice.IntN(2)]
				one.kill()
				kills++
				must(r.t, one.start(r.t.Context()))
			}
		}
		left := r.waiting()
		if left == 0 {
			break
		}
		if round == 60 {
			r.t.Fatalf("%d wait still", left)
		}
		r.grow(round >= 6)
	}
	r.inOrder(users, texts)
	r.t.Logf("later: store=%s replicas=2 posts=%d kills=%d seed=%d", r.s.store, lines*each, kills, r.seed)
}

// handOver has a replica take the post, as often as it takes to hear that it did.
func (r *run) handOver(one *replica, user, text string) {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"text": text})
	must(r.t, err)
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, one.public+"/2/tweets", strings.NewReader(string(body)))
	must(r.t, err)
	q.Header.Set("Authorization", "Bearer "+r.key)
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Perch-Grant", r.grant(user))
	q.Header.Set("Prefer", "respond-async")
	reply, err := r.client.Do(q)
	must(r.t, err)
	defer func() { _ = reply.Body.Close() }()
	if reply.StatusCode != http.StatusAccepted {
		r.t.Fatalf("%q is not taken: %d", text, reply.StatusCode)
	}
}

func (r *run) deliveries() []delivery.Delivery {
	r.t.Helper()
	all, err := r.store.Deliveries().List(r.t.Context(), delivery.Filter{}, "", 1000)
	must(r.t, err)
	return all
}

func (r *run) waiting() (n int) {
	for _, d := range r.deliveries() {
		if d.Waits() {
			n++
		}
	}
	return n
}

func (r *run) restart() {
	for _, one := range r.replicas {
		one.kill()
		must(r.t, one.start(r.t.Context()))
	}
}

// grow has time pass for everything that waits for it: the turns and the calls of
// those who died, and the waits between attempts. From some time on X is well.
func (r *run) grow(well bool) {
	for _, one := range r.replicas {
		one.kill()
	}
	if well {
		r.x.ClearMischief()
	}
	user := map[string]string{}
	for _, u := range r.users() {
		user[r.grant(u)] = u
	}
	for _, d := range r.deliveries() {
		for d.Waits() {
			old := d
			d.Lease.Until, d.Next = time.Now().Add(-time.Second), old.Created
			_, err := r.store.Deliveries().Swap(r.t.Context(), old, d)
			if errors.Is(err, fault.Conflict) { // the last words of the dead may reach the store a moment later
				d, err = r.store.Deliveries().Get(r.t.Context(), d.ID)
				must(r.t, err)
				continue
			}
			must(r.t, err)
			r.age(&letter{key: d.Key, user: user[string(d.Grant)]})
			break
		}
	}
	for _, one := range r.replicas {
		must(r.t, one.start(r.t.Context()))
	}
}

func (r *run) inOrder(users []string, texts map[string][]string) {
	r.t.Helper()
	made := map[string][]string{} // by user
	for _, e := range r.x.Ledger() {
		if e.Type == "post.created" {
			made[e.User] = append(made[e.User], e.Details["text_fp"])
		}
	}
	for _, user := range users {
		var want []string
		for _, text := range texts[user] {
			want = append(want, xsim.Fingerprint(text))
		}
		if !slices.Equal(made[user], want) {
			r.t.Errorf("of %s X has made %q, want %q", user, made[user], want)
		}
	}
	for _, d := range r.deliveries() {
		if d.State != delivery.Done {
			r.t.Errorf("%s is %s: %+v", d.ID, d.State, d.Outcome)
		}
	}
}
