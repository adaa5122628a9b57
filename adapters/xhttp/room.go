package xhttp

import (
	"context"
	"errors"
	"sync"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/ports"
)

// A room has places for calls that are under way. Others wait, first come, first
// served, unless they would wait in vain. One client application has half of the
// places at most, so that the slowest of them leaves room for others.
type room struct {
	all      *queue
	patience time.Duration // of calls without a deadline

	mu    sync.Mutex
	of    map[client.AppID]*queue
	usual time.Duration // that a call takes, lately
}

// A queue is who has a place, and how many wait for one.
type queue struct {
	places  chan struct{}
	waiting int
}

func newRoom(places int, patience time.Duration) *room {
	return &room{all: newQueue(places), patience: patience, of: map[client.AppID]*queue{}}
}

func newQueue(places int) *queue { return &queue{places: make(chan struct{}, places)} }

// enter takes a place for the client application and returns how to leave it,
// once. Where none would come free early enough before the context's deadline
// for a call to be done, it refuses at once.
func (r *room) enter(ctx context.Context, app client.AppID) (leave func(), err error) {
	own := r.share(app)
	if err := r.queue(ctx, own); err != nil {
		return nil, err
	}
	if err := r.queue(ctx, r.all); err != nil {
		<-own.places
		return nil, err
	}
	began := time.Now()
	return sync.OnceFunc(func() {
		<-r.all.places
		<-own.places
		r.took(time.Since(began))
	}), nil
}

// share is the client application's half.
func (r *room) share(app client.AppID) *queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	own, ok := r.of[app]
	if !ok {
		own = newQueue((cap(r.all.places) + 1) / 2)
		r.of[app] = own
	}
	return own
}

func (r *room) queue(ctx context.Context, q *queue) error {
	select {
	case q.places <- struct{}{}:
		return nil
	default:
	}
	expected, left := r.join(q), r.patience
	defer r.quit(q)
	if until, ok := ctx.Deadline(); ok {
		left = time.Until(until) - r.lately()
	}
	if expected > left {
		return overloaded(expected, nil)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case q.places <- struct{}{}:
		return nil
	case <-timer.C:
		return overloaded(expected, context.DeadlineExceeded)
	case <-ctx.Done():
		return overloaded(expected, ctx.Err())
	}
}

func overloaded(wait time.Duration, why error) error {
	return fault.New(fault.Unavailable, "more calls of this kind are under way at X than may be, and this one would not "+
		"get its turn in time; nothing was sent, so it is safe to try again").
		Named("overloaded").After(max(wait, time.Second)).Because(errors.Join(ports.ErrUnsent, why))
}

// join queues up and returns how long that is likely to take.
func (r *room) join(q *queue) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.waiting++
	return r.usual * time.Duration(q.waiting) / time.Duration(cap(q.places))
}

func (r *room) quit(q *queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.waiting--
}

// lately is how long a call takes.
func (r *room) lately() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.usual
}

func (r *room) took(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.usual == 0 {
		r.usual = d
	}
	r.usual += (d - r.usual) / 8
}
