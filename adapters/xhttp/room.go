package xhttp

import (
	"context"
	"errors"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/ports"
)

// A room has places for calls that are under way. Others wait, first come, first
// served, unless they would wait in vain.
type room struct {
	places   chan struct{}
	patience time.Duration // of calls without a deadline

	mu      sync.Mutex
	waiting int
	usual   time.Duration // that a call takes, lately
}

func newRoom(places int, patience time.Duration) *room {
	return &room{places: make(chan struct{}, places), patience: patience}
}

// enter takes a place and returns how to leave it, once. Where none would come
// free before the context's deadline it refuses at once.
func (r *room) enter(ctx context.Context) (leave func(), err error) {
	select {
	case r.places <- struct{}{}:
		return r.leaver(), nil
	default:
	}
	expected, left := r.join(), r.patience
	defer r.quit()
	if until, ok := ctx.Deadline(); ok {
		left = time.Until(until)
	}
	if expected > left {
		return nil, overloaded(expected, nil)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case r.places <- struct{}{}:
		return r.leaver(), nil
	case <-timer.C:
		return nil, overloaded(expected, context.DeadlineExceeded)
	case <-ctx.Done():
		return nil, overloaded(expected, ctx.Err())
	}
}

func overloaded(wait time.Duration, why error) error {
	return fault.New(fault.Unavailable, "more calls of this kind are under way at X than may be, and this one would not "+
		"get its turn in time; nothing was sent, so it is safe to try again").
		Named("overloaded").After(max(wait, time.Second)).Because(errors.Join(ports.ErrUnsent, why))
}

// join queues up and returns how long that is likely to take.
func (r *room) join() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting++
	return r.usual * time.Duration(r.waiting) / time.Duration(cap(r.places))
}

func (r *room) quit() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
}

func (r *room) leaver() func() {
	began := time.Now()
	return sync.OnceFunc(func() {
		<-r.places
		r.mu.Lock()
		defer r.mu.Unlock()
		r.usual += (time.Since(began) - r.usual) / 8
	})
}
