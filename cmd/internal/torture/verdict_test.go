package torture

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/oauth"
)

func progress(s setup, killed, refreshes int) string {
	return fmt.Sprintf("torture: %s and %d replicas: %d of %d kills, %d refreshes\n",
		s.store, s.replicas, killed, *kills, refreshes)
}

// patience is how long a grant may take to work when everything has come to
// rest: a lease, and whoever takes it over.
const patience = 90 * time.Second

// verdict compares what Perch can do with what X has seen.
func (r *run) verdict(killed int) tally {
	y := tally{kills: killed, refreshes: r.refreshes(), grants: len(r.grants)}
	dead := r.dead()
	ledger := r.x.Ledger()
	issued, replaced := map[string]string{}, map[string]string{} // by the refresh token spent: the access token got, the family
	doomed := map[string]bool{}                                  // families that a replay ended
	for _, e := range ledger {
		switch e.Type {
		case "token.refreshed":
			issued[e.Details["old_refresh_fp"]] = e.Details["access_fp"]
			replaced[e.Details["old_refresh_fp"]] = e.Object
		case "call":
			r.reached[e.Details["access_fp"]] = true // it was used, so it was kept
		}
	}
	presented := r.presented()
	for _, e := range ledger {
		if e.Type != "token.replayed" || doomed[e.Details["family"]] {
			continue
		}
		spent := e.Details["refresh_fp"]
		doomed[e.Details["family"]] = true
		if r.alive(presented[spent]) {
			y.twice++
			r.t.Errorf("a living holder presented %s twice: %+v", spent, presented[spent])
			continue
		}
		if r.reached[issued[spent]] {
			y.lost++
			r.t.Errorf("what X gave for %s was on a disk of Perch, and %s is dead", spent, replaced[spent])
			continue
		}
		y.residual++
	}
	for user, why := range dead {
		if fs := r.families(user); len(fs) == 0 || !doomed[fs[len(fs)-1]] {
			y.lost++
			r.t.Errorf("the grant of %s does not work: %s", user, why)
		}
	}
	y.revokedUsed = r.usedAfterwards()
	return y
}

// dead returns the users whose grants do not come to work, and why.
func (r *run) dead() map[string]string {
	var mu sync.Mutex
	var all sync.WaitGroup
	dead := map[string]string{}
	for i, user := range r.users() {
		all.Go(func() {
			if why := r.deadFor(user, r.replicas[i%len(r.replicas)]); why != "" {
				mu.Lock()
				defer mu.Unlock()
				dead[user] = why
			}
		})
	}
	all.Wait()
	return dead
}

// deadFor asks until the user's grant works, or is certain not to.
func (r *run) deadFor(user string, one *replica) (why string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		status := r.act(r.t.Context(), one, user)
		g, err := r.vault.Get(r.t.Context(), oauth.GrantID(r.grant(user)))
		if status == http.StatusOK || g.State == oauth.Revoked {
			return ""
		}
		why = fmt.Sprintf("status %d, state %s, failures %d, lease %v, error %v", status, g.State, g.Failures, g.Lease, err)
		if r.replayed(user) {
			return why
		}
	}
	return why
}

// replayed reports whether X saw a spent token of the user's last consent.
func (r *run) replayed(user string) bool {
	fs := r.families(user)
	return len(fs) > 0 && slices.ContainsFunc(r.x.Ledger(), func(e xsim.Entry) bool {
		return e.Type == "token.replayed" && e.Details["family"] == fs[len(fs)-1]
	})
}

// presented are the presentations of each refresh token, in order.
func (r *run) presented() map[string][]presentation {
	all := map[string][]presentation{}
	for _, w := range r.witnesses {
		w.mu.Lock()
		for _, p := range w.presented {
			all[p.fingerprint] = append(all[p.fingerprint], p)
		}
		w.mu.Unlock()
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b presentation) int { return a.at.Compare(b.at) })
	}
	return all
}

// alive reports whether whoever presented the token first still lived when it
// was presented again.
func (r *run) alive(list []presentation) bool {
	if len(list) < 2 {
		return false
	}
	for _, one := range r.replicas {
		if one.name == list[0].by {
			at, died := one.diedAt(list[0].life)
			return !died || at.After(list[1].at)
		}
	}
	return true
}

// onTheWay is how long after a revocation calls may still arrive at X: other
// replicas may let one in for two seconds, and on a busy machine it takes its time.
const onTheWay = 2*time.Second + haste

// usedAfterwards counts calls at X with tokens of grants whose revocation had
// been confirmed before.
func (r *run) usedAfterwards() (n int) {
	family := map[string]string{}
	for _, e := range r.x.Ledger() {
		switch e.Type {
		case "token.issued", "token.refreshed":
			family[e.Details["access_fp"]] = e.Object
		case "call":
			if at, ended := r.ended[family[e.Details["access_fp"]]]; ended && e.Details["status"] == "200" &&
				e.At.After(at.Add(onTheWay)) {
				n++
			}
		}
	}
	return n
}
