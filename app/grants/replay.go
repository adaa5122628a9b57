package grants

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/ports"
)

const (
	// replayFor bounds what one renewal may keep the others waiting.
	replayFor = 5 * time.Second
	// replayHands is how many are brought at once.
	replayHands = 8
	// replayLater is when a renewal is tried again that the vault or X cannot
	// take for reasons of their own.
	replayLater = time.Minute
)

// loose are renewals that are in no journal, and those that are put off. The
// zero value has none.
type loose struct {
	mu    sync.Mutex
	kept  map[string]ports.Renewal // by attempt: the journal could not keep them
	until map[string]time.Time     // by attempt: not to be tried before
}

func (l *loose) keep(r ports.Renewal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		l.kept = map[string]ports.Renewal{}
	}
	l.kept[r.Attempt] = r
}

func (l *loose) drop(attempt string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.kept, attempt)
	delete(l.until, attempt)
}

func (l *loose) all() []ports.Renewal {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []ports.Renewal
	for _, r := range l.kept {
		all = append(all, r)
	}
	return all
}

func (l *loose) putOff(attempt string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil {
		l.until = map[string]time.Time{}
	}
	l.until[attempt] = time.Now().Add(replayLater)
}

func (l *loose) due(attempt string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.until[attempt])
}

// Replay brings renewals to the vault that are in the journal because a process
// died, or a store was away, before the vault had them. It returns how many it
// brought, and how many stay because this vault, or X, cannot take them now. The
// error is that of a store which does not answer: try again soon, for whoever
// takes the grants over waits no longer than WaitAndSee.
func (s *Service) Replay(ctx context.Context) (brought, stay int, err error) {
	pending, err := s.journal.Pending(ctx)
	var turn sync.Mutex
	hands, all := make(chan struct{}, replayHands), sync.WaitGroup{}
	for _, r := range s.both(pending) {
		hands <- struct{}{}
		all.Go(func() {
			defer func() { <-hands }()
			end, away := s.replay(ctx, r)
			turn.Lock()
			defer turn.Unlock()
			switch {
			case away != nil:
				err = away
			case end == stays:
				stay++
			case end == taken:
				brought++
			}
		})
	}
	all.Wait()
	return brought, stay, err
}

// What becomes of a renewal that is replayed.
type replayed int

const (
	known replayed = iota // the vault had it, or it is of no use any more
	taken
	stays
)

// both are the renewals in the journal and those it could not keep.
func (s *Service) both(pending []ports.Renewal) []ports.Renewal {
	all := slices.Clone(pending)
	for _, r := range s.loose.all() {
		if !slices.ContainsFunc(pending, func(p ports.Renewal) bool { return p.Attempt == r.Attempt }) {
			all = append(all, r)
		}
	}
	return all
}

// replay brings one renewal. What the vault can never take, and what X is still
// to be told of, is put off; the reason is written down. away is the error of a
// store that does not answer.
func (s *Service) replay(ctx context.Context, r ports.Renewal) (end replayed, away error) {
	if !s.loose.due(r.Attempt) {
		return stays, nil
	}
	began, g := time.Now(), oauth.Grant{ID: r.Grant, XApp: r.XApp, User: user.User{ID: r.User}}
	limited, cancel := context.WithTimeout(ctx, replayFor)
	defer cancel()
	end, err := s.replayOnce(limited, r)
	switch {
	case err == nil && end == known:
		return known, nil
	case errors.Is(err, fault.Unavailable) && !oauth.IsRevoked(err):
		return stays, err
	case err != nil:
		s.loose.putOff(r.Attempt)
		end = stays
	}
	s.observe(ctx, "grant.replay", r.App, g, began, err)
	return end, nil
}

func (s *Service) replayOnce(ctx context.Context, r ports.Renewal) (replayed, error) {
	stored, err := s.vault.Get(ctx, r.Grant)
	if errors.Is(err, fault.NotFound) {
		return stays, fault.New(fault.NotFound, "the journal has tokens of a grant that is not in this vault; they are "+
			"kept. Point PERCH_VAULT at the vault they belong to, or remove the file from the journal").Because(err)
	}
	if err != nil {
		return stays, err
	}
	end := taken
	if stored.Access == r.Pair.Access {
		end = known
	}
	switch _, err := s.commit(ctx, stored, r); {
	case over(err):
		end = known
	case err != nil:
		return stays, err
	}
	s.loose.drop(r.Attempt)
	return end, s.journal.Drop(ctx, r.Attempt)
}

// Settle waits until refreshes that have been begun are over, or the context
// ends: a process that ends in the midst of one may lose a grant.
func (s *Service) Settle(ctx context.Context) {
	for s.underway.Load() > 0 && sleep(ctx, 10*time.Millisecond) {
	}
}
