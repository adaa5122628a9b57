// Package quotas admits calls: within our own limits and X's windows.
package quotas

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"perch/domain/client"
	"perch/domain/quota"
	"perch/ports"
)

// Service counts calls.
type Service struct {
	store   ports.QuotaStore
	rules   []quota.Rule // of the house, but for addresses
	address []quota.Rule
	windows bool // X's are kept
	now     func() time.Time
	learned lessons
	crowd   crowd
	tenants tenants
	flights flights
}

// New returns the service. The rules are the house's; client applications may
// have others in their place. With windows X's are kept too.
func New(s ports.QuotaStore, rules []quota.Rule, windows bool, now func() time.Time) *Service {
	one := &Service{store: s, windows: windows, now: now}
	for _, r := range rules {
		if r.Subject == quota.Address {
			one.address = append(one.address, r)
		} else {
			one.rules = append(one.rules, r)
		}
	}
	return one
}

// A bill is everything that one call is charged: first by our rules, then by X's
// windows, then by the application's parts of those.
type bill struct {
	at      time.Time
	app     client.AppID
	session bool // asks
	rules   []quota.Rule
	windows []window
	parts   []part
	charges []quota.Charge

	borrowing bool // the application has used its share of a window
}

func (s *Service) bill(ctx context.Context, who ports.Caller, call ports.Call) (*bill, error) {
	rules, err := s.rulesFor(who, call.Action)
	if err != nil {
		return nil, err
	}
	b := &bill{at: s.now(), app: who.App.ID, session: who.Session(), rules: rules, windows: s.windowsOf(who, call)}
	for _, r := range rules {
		id, _ := whose(r.Subject, who)
		b.charges = append(b.charges, charge(r, id))
	}
	for _, w := range b.windows {
		b.charges = append(b.charges, w.charge(who))
	}
	for i, w := range b.windows {
		if !w.common() {
			continue
		}
		s.meet(ctx, w, b.app, b.at)
		if p, ok := s.crowd.part(w, b.at); ok {
			if p.lone && s.tenants.alone(ctx, xAppOf(call), b.at) {
				p = p.undivided()
			}
			p.shared, p.charge = len(rules)+i, len(b.charges)
			b.parts = append(b.parts, p)
			b.charges = append(b.charges, p.ask(b.app, b.at))
		}
	}
	return b, nil
}

// of returns what the window gave.
func (b *bill) of(w window, v quota.Verdict) (quota.Grip, bool) {
	i := slices.IndexFunc(b.windows, func(o window) bool { return o.key == w.key })
	if i < 0 {
		return quota.Grip{}, false
	}
	return v.Grips[len(b.rules)+i], true
}

// Enter counts the call in all that counts it, or in nothing: then it says whose
// limit it was. What a call used that never reached X is given back.
func (s *Service) Enter(ctx context.Context, who ports.Caller, call ports.Call) (ports.Settle, error) {
	b, err := s.bill(ctx, who, call)
	if err != nil {
		return nil, err
	}
	v, err := s.spend(ctx, b)
	if err != nil {
		return nil, err
	}
	s.flights.begin(b.windows)
	return func(ctx context.Context, reply *ports.Reply, err error) {
		s.flights.end(b.windows)
		if errors.Is(err, ports.ErrUnsent) {
			s.giveBack(ctx, b, v)
			s.tell(b, v.Returned(), reply)
			return
		}
		s.lost(ctx, b, reply.Lost)
		a := answer{who, call, b, v, reply, err, s.now()}
		if notes := s.heard(ctx, a); len(notes) > 0 {
			_ = s.store.Note(ctx, s.now(), notes) // what is not noted is heard again
			if a.refused() {
				s.hold(ctx, a)
			}
		}
		s.tell(b, v, reply)
	}, nil
}

// spend charges everything at once. An application that has used its share of a
// window asks once more, for what time has freed of the others'.
func (s *Service) spend(ctx context.Context, b *bill) (quota.Verdict, error) {
	if len(b.charges) == 0 {
		return quota.Verdict{Allowed: true}, nil
	}
	ctx, done := patient(ctx)
	defer done()
	v, err := s.store.Spend(ctx, b.at, b.charges)
	if err == nil && !v.Allowed && b.beyond(v) {
		v, err = s.store.Spend(ctx, b.at, b.charges)
	}
	if err != nil {
		return v, err
	}
	for i, w := range b.windows {
		s.crowd.sees(w, v.Grips[len(b.rules)+i].Decision)
	}
	if !v.Allowed {
		return v, b.refusal(v)
	}
	for i, w := range b.windows {
		if reset := v.Grips[len(b.rules)+i].Reset; w.turns(b.at, reset) {
			s.giveBack(context.WithoutCancel(ctx), b, v)
			return v, b.standing(turning(w, v.Grips[len(b.rules)+i].Limit, b.at, reset), v.Returned())
		}
	}
	return v, nil
}

// beyond changes the charges of an application that has used its share, if
// nothing else refuses it: it may go on while the window is used up no faster
// than time passes.
func (b *bill) beyond(v quota.Verdict) bool {
	for i := range len(b.rules) + len(b.windows) {
		if !v.Grips[i].Allowed {
			return false
		}
	}
	b.borrowing = true
	for _, p := range b.parts {
		if !v.Grips[p.charge].Allowed {
			shared := &b.charges[p.shared]
			b.charges[p.charge].Max = max(v.Grips[p.shared].Limit, p.share())
			if pace := p.pace(); shared.Share == 0 || pace < shared.Share {
				shared.Share = pace
			}
		}
	}
	return true
}

func (s *Service) giveBack(ctx context.Context, b *bill, v quota.Verdict) {
	if back := v.Returns(b.charges); len(back) > 0 {
		_ = s.store.Refund(ctx, back) // what is not given back is free again when its window ends
	}
}

// lost counts in X's windows so many calls more, of which X's answer was lost. Where
// fewer are left, it takes those.
func (s *Service) lost(ctx context.Context, b *bill, n int) {
	if n == 0 {
		return
	}
	for _, c := range b.charges[len(b.rules):] {
		c.Cost, c.Least, c.Share = int64(n), 1, 0
		_, _ = s.store.Spend(ctx, s.now(), []quota.Charge{c}) // what is not counted X says with its next answer
	}
}

// tell adds to the reply what is left of our limits, also to one that stands beside
// an error.
func (s *Service) tell(b *bill, v quota.Verdict, reply *ports.Reply) {
	for name, value := range heads(standings(b.rules, v, s.now())) {
		if reply.Header == nil {
			reply.Header = map[string][]string{}
		}
		reply.Header[name] = []string{value}
	}
}

// flights are the calls that are under way, by the windows that count them.
type flights struct {
	mu  sync.Mutex
	all map[string]int64
}

func (f *flights) begin(all []window) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]int64{}
	}
	for _, w := range all {
		f.all[w.key]++
	}
}

func (f *flights) end(all []window) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range all {
		if f.all[w.key]--; f.all[w.key] <= 0 {
			delete(f.all, w.key)
		}
	}
}

func (f *flights) of(w window) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[w.key]
}
