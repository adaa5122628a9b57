// Package uses knows when credentials were last used, without a write for each
// use: what is noted stays in memory until it is flushed, many at once.
package uses

import (
	"context"
	"sync"
	"time"

	"perch/ports"
)

// most is how many credentials are noted between two flushes. The uses of others
// are lost, until they are used again.
const most = 50_000

// Uses notes when credentials were last used. Others that share the store do so
// too; the latest use counts.
type Uses struct {
	store ports.Uses

	mu    sync.Mutex
	noted map[string]time.Time
}

// New returns uses that are kept in the store.
func New(s ports.Uses) *Uses { return &Uses{store: s, noted: map[string]time.Time{}} }

// Mark notes that the credential with the ID is used now. It is quick, and
// writes nothing.
func (u *Uses) Mark(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.note(id, time.Now())
}

func (u *Uses) note(id string, at time.Time) {
	before, ok := u.noted[id]
	if !ok && len(u.noted) >= most || at.Before(before) {
		return
	}
	u.noted[id] = at
}

// Flush writes what was noted. What could not be written is noted on.
func (u *Uses) Flush(ctx context.Context) error {
	u.mu.Lock()
	noted := u.noted
	u.noted = map[string]time.Time{}
	u.mu.Unlock()
	if len(noted) == 0 {
		return nil
	}
	err := u.store.Note(ctx, noted)
	if err == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, at := range noted {
		u.note(id, at)
	}
	return err
}

// Last returns when those of the credentials that were ever used were last: here
// to the moment, elsewhere up to the last flush there.
func (u *Uses) Last(ctx context.Context, ids []string) (map[string]time.Time, error) {
	last, err := u.store.Last(ctx, ids)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		if at, ok := u.noted[id]; ok && at.After(last[id]) {
			last[id] = at.UTC().Truncate(time.Microsecond)
		}
	}
	return last, nil
}
