package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
)

// torture runs the storm while the killer does its work, lets everything come to
// rest and counts.
func (r *run) torture() tally {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	var storm sync.WaitGroup
	for i := range 16 {
		storm.Go(func() { r.call(ctx, rand.New(rand.NewPCG(r.seed, uint64(i)))) })
	}
	for _, task := range []func(context.Context){r.expire, r.timePasses, r.heal, r.leave} {
		storm.Go(func() { task(ctx) })
	}
	killed := r.kill()
	cancel()
	storm.Wait()
	for _, one := range r.replicas {
		one.kill()
		r.look(one)
		must(r.t, one.start(r.t.Context()))
	}
	calm, rest := context.WithCancel(r.t.Context())
	storm.Go(func() { r.timePasses(calm) })
	defer storm.Wait()
	defer rest()
	return r.verdict(killed)
}

// users lists the users, who never change.
func (r *run) users() []string {
	var all []string
	for _, u := range r.x.Users() {
		all = append(all, u.ID)
	}
	return all
}

// call acts for one user after the other, at one replica or another.
func (r *run) call(ctx context.Context, dice *rand.Rand) {
	users := r.users()
	for ctx.Err() == nil {
		hasty, leave := context.WithTimeout(ctx, haste)
		if r.act(hasty, r.replicas[dice.IntN(len(r.replicas))], users[dice.IntN(len(users))]) == 0 {
			time.Sleep(10 * time.Millisecond) // a dead replica
		}
		leave()
	}
}

// haste is how long those in the storm wait for an answer.
const haste = 3 * time.Second

// expire makes access tokens run out in the eyes of Perch, so that they are
// refreshed without an end.
func (r *run) expire(ctx context.Context) {
	r.each(ctx, 30*time.Millisecond, func(g oauth.Grant, now time.Time) oauth.Grant {
		if g.Unsettled() || g.State != oauth.Active || !g.Fresh(now) || now.Sub(g.Updated) < 300*time.Millisecond {
			return g
		}
		return g.Stale(now)
	})
}

// timePasses ends leases whose holders are certain to have died: a living one is
// through in less.
func (r *run) timePasses(ctx context.Context) {
	r.each(ctx, 500*time.Millisecond, func(g oauth.Grant, now time.Time) oauth.Grant {
		if left := g.Lease.Until.Sub(now); g.Unsettled() && left > 0 && left < 18*time.Second {
			g.Lease.Until = now
		}
		return g
	})
}

// heal has users connect again whose grants X refuses: their tokens were lost on
// the way.
func (r *run) heal(ctx context.Context) {
	r.each(ctx, time.Second, func(g oauth.Grant, _ time.Time) oauth.Grant {
		if g.State == oauth.Suspect && g.Failures > 0 {
			r.consent.Lock()
			defer r.consent.Unlock()
			r.connect(string(g.User.ID))
		}
		return g
	})
}

// each looks at every grant over and over, and stores what edit makes of it.
func (r *run) each(ctx context.Context, pause time.Duration, edit func(oauth.Grant, time.Time) oauth.Grant) {
	for ctx.Err() == nil {
		list, err := r.vault.List(ctx, "", "", 1000)
		if err != nil && !errors.Is(err, fault.Unavailable) {
			r.t.Error(err)
		}
		for _, g := range list {
			next := edit(g, time.Now().UTC().Truncate(time.Microsecond))
			if next != g {
				_, _ = r.vault.Swap(ctx, g, next) // whoever was quicker
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// leave has some users revoke their grants, and connect again.
func (r *run) leave(ctx context.Context) {
	dice, users := rand.New(rand.NewPCG(r.seed, 99)), r.users()
	for ctx.Err() == nil {
		r.leaves(ctx, users[dice.IntN(len(users)/4)], r.replicas[dice.IntN(len(r.replicas))])
		time.Sleep(100 * time.Millisecond)
	}
}

func (r *run) leaves(ctx context.Context, user string, one *replica) {
	r.consent.Lock()
	defer r.consent.Unlock()
	families := r.families(user)
	hasty, leave := context.WithTimeout(ctx, haste)
	defer leave()
	if r.revoke(hasty, one, user) {
		r.mu.Lock()
		for _, f := range families {
			if _, known := r.ended[f]; !known {
				r.ended[f] = time.Now()
			}
		}
		r.mu.Unlock()
		time.Sleep(200 * time.Millisecond)
	}
	if ctx.Err() == nil {
		r.connect(user)
	}
}

// families are the consents that X has of the user.
func (r *run) families(user string) []string {
	var all []string
	for _, e := range r.x.Ledger() {
		if e.Type == "token.issued" && e.User == user {
			all = append(all, e.Object)
		}
	}
	return all
}

// kill kills replicas at random moments, looks at what they left, and starts
// them again after a while.
func (r *run) kill() (killed int) {
	said := time.Now()
	for killed < *kills {
		before := r.refreshes()
		for range 100 { // on a busy machine it takes a while until there is a storm
			if time.Sleep(time.Duration(r.dice.IntN(300)) * time.Millisecond); r.refreshes() > before {
				break
			}
		}
		one := r.replicas[r.dice.IntN(len(r.replicas))]
		one.kill()
		killed++
		r.look(one)
		time.Sleep(time.Duration(r.dice.IntN(200)) * time.Millisecond)
		must(r.t, one.start(r.t.Context()))
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			_, _ = os.Stderr.WriteString(progress(r.s, killed, r.refreshes()))
		}
	}
	return killed
}

func (r *run) refreshes() (n int) {
	for _, e := range r.x.Ledger() {
		if e.Type == "token.refreshed" {
			n++
		}
	}
	return n
}

// look notes what a dead replica has on its disk.
func (r *run) look(one *replica) {
	left, err := one.left(r.t.Context())
	if err != nil {
		r.t.Error(err)
	}
	for _, renewal := range left {
		r.seen(oauth.Grant{ID: renewal.Grant, App: renewal.App}, renewal.Pair.Access)
	}
}
