package keyring

import (
	"context"
	"sync"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

// several boxes must be sealed with a key that a ring does not know before it is
// taken to lack that key: a single one may be damaged.
const several = 3

// lacks are the keys that boxes name and a ring does not know, with the first
// few of those boxes. The zero value has none.
type lacks struct {
	mu    sync.Mutex
	boxes map[string]map[secret.Box]bool
}

func (l *lacks) note(key string, box secret.Box) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.boxes == nil || len(l.boxes) > 16 { // more names than keys: they are not names of keys
		l.boxes = map[string]map[secret.Box]bool{}
	}
	if l.boxes[key] == nil {
		l.boxes[key] = map[secret.Box]bool{}
	}
	if len(l.boxes[key]) < several {
		l.boxes[key][box] = true
	}
}

// missing returns a key that is certain to be lacking, "" if none is.
func (l *lacks) missing(known func(key string) bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, boxes := range l.boxes {
		switch {
		case known(key):
			delete(l.boxes, key)
		case len(boxes) >= several:
			return key
		}
	}
	return ""
}

var _ ports.Pinger = (*Ring)(nil)

// Ping returns nil unless the ring lacks a key that what is stored is sealed
// with, as a replica does whose copy of the file is from before a rotation.
func (r *Ring) Ping(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	key := r.lacks.missing(func(key string) bool {
		opener, err := r.opener(key)
		return err == nil && opener != nil
	})
	if key == "" {
		return nil
	}
	return fault.New(fault.Unavailable, "the keyset lacks the key %s, with which grants are sealed; "+
		"copy the newest keyset file here", key)
}
