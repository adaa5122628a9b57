package conformance

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

// How many clients are at a vault, and what each does there. They meet at few
// grants, so that nearly every call meets another.
const (
	linearClients = 32
	linearGrants  = 4
	linearTurns   = 25
	linearTTL     = 3 * time.Millisecond // of leases, so that some run out
)

// Linear checks that what 32 clients see of a vault could have come of the same
// calls one after another, each between its beginning and its end: creating,
// reading, leases taken, renewals, stale copies put back. open returns the vault
// as one or several replicas have it. Some writes fail before or after they were
// kept, and some calls are given up on the way: those may have been kept, then or
// later, and nobody is told.
func Linear(t *testing.T, open func(*testing.T) []ports.TokenVault) {
	t.Run("what clients see at once could have come one after another", func(t *testing.T) {
		seed := rand.Uint64() //nolint:gosec // dice
		history := crowd(t.Context(), open(t), seed)
		counts := tally(history)
		t.Logf("seed %d: %v", seed, counts)
		if counts[unknown] == 0 || counts[done] < linearClients*linearTurns/4 {
			t.Errorf("the history proves little: %v", counts)
		}
		switch judge(history) {
		case porcupine.Ok:
		case porcupine.Illegal:
			t.Error("no order explains what clients saw")
		case porcupine.Unknown:
			t.Error("the history is too tangled to be judged in time")
		}
	})
}

// An outcome is what a client was told.
type outcome string

const (
	done    outcome = "done"
	refused outcome = "conflict"
	absent  outcome = "not found"
	unknown outcome = "unknown"
)

// A request is what a client asked for. With a holder, a swap takes the lease.
type request struct {
	verb      string // create, get or swap
	id        oauth.GrantID
	old, next oauth.Grant
	holder    string
	now       time.Time
}

// An answer is what came back.
type answer struct {
	outcome outcome
	g       oauth.Grant
}

// judge looks for an order.
func judge(history []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(porcupine.Model{
		Partition: byGrant,
		Init:      func() any { return oauth.Grant{} },
		Step: func(state, in, out any) (bool, any) {
			return step(state.(oauth.Grant), in.(request), out.(answer))
		},
	}, settled(history), 20*time.Second)
}

// settled finds out what became of calls with an unknown outcome, for each of
// them would have left its own mark at a certain version: where that was seen the
// call was kept, where another was seen it was not. Few stay unknown, and that
// keeps the search short.
func settled(history []porcupine.Operation) []porcupine.Operation {
	type place struct {
		id      oauth.GrantID
		version int64
	}
	seen := map[place]oauth.Grant{}
	for _, op := range history {
		if out := op.Output.(answer); out.outcome == done {
			seen[place{op.Input.(request).id, out.g.Version}] = out.g
		}
	}
	var known []porcupine.Operation
	for _, op := range history {
		in := op.Input.(request)
		if op.Output.(answer).outcome == unknown {
			want := in.next
			want.Version = in.old.Version + 1
			got, ok := seen[place{in.id, want.Version}]
			switch {
			case ok && got != want:
				continue
			case ok:
				op.Output = answer{done, want}
			}
		}
		known = append(known, op)
	}
	return known
}

func byGrant(history []porcupine.Operation) [][]porcupine.Operation {
	parts := map[oauth.GrantID][]porcupine.Operation{}
	for _, op := range history {
		id := op.Input.(request).id
		parts[id] = append(parts[id], op)
	}
	all := make([][]porcupine.Operation, 0, len(parts))
	for _, part := range parts {
		all = append(all, part)
	}
	return all
}

// step is the contract: what is stored after a request, and whether the answer
// is that of a vault in which stored is. The zero grant is none.
func step(stored oauth.Grant, in request, out answer) (bool, oauth.Grant) {
	want, next := answer{outcome: done, g: stored}, stored
	switch {
	case in.verb == "create" && stored.Version == 0:
		next = in.next
		next.Version = 1
		want.g = next
	case in.verb == "create":
		want = answer{outcome: refused}
	case stored.Version == 0:
		want = answer{outcome: absent}
	case in.verb == "swap" && stored.Version != in.old.Version:
		want = answer{outcome: refused}
	case in.verb == "swap":
		next = in.next
		if in.holder != "" {
			leased, err := stored.Acquire(in.holder, in.now, linearTTL)
			if err != nil {
				return false, stored // two hold it
			}
			next = leased
		}
		next.Version = stored.Version + 1
		want.g = next
	}
	return out.outcome == unknown || out == want, next
}

func tally(history []porcupine.Operation) map[outcome]int {
	counts := map[outcome]int{}
	for _, op := range history {
		counts[op.Output.(answer).outcome]++
	}
	return counts
}

// crowd lets the clients go and returns what each of them saw.
func crowd(ctx context.Context, vaults []ports.TokenVault, seed uint64) []porcupine.Operation {
	clients, began := make([]*customer, linearClients), time.Now()
	var all sync.WaitGroup
	for i := range clients {
		c := &customer{
			vault: vaults[i%len(vaults)], id: i, name: numbered("holder", i), began: began,
			dice: rand.New(rand.NewPCG(seed, uint64(i))), //nolint:gosec // dice that repeat are the point
			seen: map[oauth.GrantID]oauth.Grant{},
		}
		clients[i] = c
		all.Go(func() {
			for turn := range linearTurns {
				c.turn(ctx, turn)
			}
		})
	}
	all.Wait()
	var history []porcupine.Operation
	for _, c := range clients {
		history = append(history, c.history...)
	}
	return history
}

// A customer is one client with its notes.
type customer struct {
	vault   ports.TokenVault
	id      int
	name    string
	began   time.Time
	dice    *rand.Rand
	seen    map[oauth.GrantID]oauth.Grant
	history []porcupine.Operation
}

// turn is one thing a client does: mostly with what is stored, at times with
// what it remembers.
func (c *customer) turn(ctx context.Context, turn int) {
	id := oauth.GrantID(numbered("g", c.dice.IntN(linearGrants)))
	g, ok := c.seen[id]
	if !ok || c.dice.IntN(4) > 0 {
		g, ok = c.ask(ctx, request{verb: "get", id: id})
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	if !ok {
		fresh := grant(string(id), c.id*linearTurns+turn, at)
		fresh.State, fresh.Lease, fresh.Retry = oauth.Active, oauth.Lease{}, time.Time{}
		c.ask(ctx, request{verb: "create", id: id, next: fresh})
		return
	}
	mark := numbered(c.name+" ", turn)
	swap := request{verb: "swap", id: id, old: g, now: now}
	leased, err := g.Acquire(mark, now, linearTTL)
	switch {
	case strings.HasPrefix(g.Lease.Holder, c.name):
		swap.next = g.Renew(oauth.Pair{Access: secret.Box(mark), Expires: at(turn)}, now)
	case err == nil:
		swap.next, swap.holder = leased, mark
	default:
		swap.next = g // a stranger puts back what it saw
		swap.next.User.Username = mark
	}
	c.ask(ctx, swap)
}

// ask makes one call and notes it. It returns what is known to be stored.
func (c *customer) ask(ctx context.Context, in request) (oauth.Grant, bool) {
	if c.dice.IntN(16) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.dice.IntN(2000))*time.Microsecond)
		defer cancel()
	}
	called := int64(time.Since(c.began))
	g, err := c.call(ctx, in)
	op := porcupine.Operation{ClientId: c.id, Input: in, Call: called, Return: int64(time.Since(c.began))}
	switch {
	case err == nil:
		op.Output = answer{done, g}
		c.seen[in.id] = g
	case errors.Is(err, fault.Conflict):
		op.Output = answer{outcome: refused}
	case errors.Is(err, fault.NotFound):
		op.Output = answer{outcome: absent}
	case in.verb == "get":
		return g, false // nothing was asked
	default:
		op.Output, op.Return = answer{outcome: unknown}, math.MaxInt64 // now, later or never
	}
	c.history = append(c.history, op)
	return g, err == nil
}

// call makes the call, with mischief on the way.
func (c *customer) call(ctx context.Context, in request) (oauth.Grant, error) {
	lost := fault.New(fault.Unavailable, "the store does not answer; try again")
	if in.verb == "get" {
		return c.vault.Get(ctx, in.id)
	}
	bad := c.dice.IntN(20)
	if bad == 0 {
		return oauth.Grant{}, lost
	}
	var g oauth.Grant
	var err error
	if in.verb == "create" {
		g, err = c.vault.Create(ctx, in.next)
	} else {
		g, err = c.vault.Swap(ctx, in.old, in.next)
	}
	if bad == 1 {
		return oauth.Grant{}, lost
	}
	return g, err
}
