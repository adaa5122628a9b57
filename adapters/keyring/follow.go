package keyring

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// glanceEvery is how often the file is looked at while boxes are sealed, so
	// it is also how long after a rotation the old key may still seal.
	glanceEvery = 2 * time.Second

	// seekEvery is how often the file is read for an unknown key although it
	// looks as it did: some file systems are late to tell.
	seekEvery = time.Second
)

// A follower reads a ring's file again when it has changed.
type follower struct {
	path    string
	log     *slog.Logger
	glanced atomic.Int64 // when, in nanoseconds since 1970
	turn    sync.Mutex
	seen    fs.FileInfo // of the file as it was last read; nil: it could not be
	read    time.Time   // when that was
	told    string      // of what is wrong with it
}

// Follow has the ring notice changes of its file from now on: within seconds
// when it seals, and when a box names a key that it does not know. A file that
// is no whole ring, or the ring of another Perch, changes nothing; the log is
// told once. Follow must be called before the ring is used.
func (r *Ring) Follow(log *slog.Logger) {
	if r.path == "" {
		return
	}
	now := time.Now()
	r.follow = &follower{path: r.path, log: log, seen: r.read, read: now}
	r.follow.glanced.Store(now.UnixNano())
}

// glance looks at the file if nobody has for a while.
func (f *follower) glance(ring *atomic.Pointer[keys]) {
	now := time.Now()
	last := f.glanced.Load()
	if now.UnixNano()-last < int64(glanceEvery) || !f.glanced.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	f.turn.Lock()
	defer f.turn.Unlock()
	if f.changed() {
		f.load(ring)
	}
}

// seek looks for a key in the file. Callers that come together read it once.
func (f *follower) seek(ring *atomic.Pointer[keys], key string) {
	f.turn.Lock()
	defer f.turn.Unlock()
	if _, ok := ring.Load().opens[key]; ok {
		return
	}
	if f.changed() || time.Since(f.read) >= seekEvery {
		f.load(ring)
	}
}

// changed reports whether the file looks other than when it was read. Right
// after a change another one may leave the same traces.
func (f *follower) changed() bool {
	now, err := os.Stat(f.path)
	if err != nil || f.seen == nil {
		return (err == nil) != (f.seen != nil)
	}
	return !os.SameFile(now, f.seen) || now.Size() != f.seen.Size() || now.Mode() != f.seen.Mode() ||
		!now.ModTime().Equal(f.seen.ModTime()) ||
		f.read.Sub(f.seen.ModTime()) < time.Second && time.Since(f.read) >= seekEvery
}

func (f *follower) load(ring *atomic.Pointer[keys]) {
	f.read = time.Now()
	before := ring.Load()
	next, seen, err := read(f.path)
	if err == nil && !next.succeeds(before) {
		err = errors.New("its peppers are others, so it is the keyset of another Perch")
	}
	f.seen = seen
	if err != nil {
		f.complain(err)
		return
	}
	f.told = ""
	ring.Store(next.after(before))
	if next.primary != before.primary || !slices.Equal(next.list, before.list) {
		f.log.Info("read the changed keyset file", "file", f.path, "primary", next.primary, "keys", len(next.list))
	}
}

// complain tells the log, once for each state of the file.
func (f *follower) complain(err error) {
	state := err.Error()
	if f.seen != nil {
		state += f.seen.ModTime().String()
	}
	if state != f.told {
		f.log.Error("the keyset file cannot be used; Perch goes on with the keys it has, but would not start again. "+
			"Restore the file", "file", f.path, "error", err)
	}
	f.told = state
}

// succeeds reports whether k can be what became of older keys: every pepper is
// still there.
func (k *keys) succeeds(older *keys) bool {
	const probe = "the same peppers make the same digests"
	has, err := k.digests(probe)
	if err != nil {
		return false
	}
	had, err := older.digests(probe)
	return err == nil && !slices.ContainsFunc(had, func(d string) bool { return !slices.Contains(has, d) })
}
