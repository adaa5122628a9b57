package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"perch/domain/secret"
	"perch/ports"
)

// SigningKeys is a ports.SigningKeys.
type SigningKeys struct {
	mu   sync.Mutex
	keys []ports.SigningKey // the newest first
}

var _ ports.SigningKeys = (*SigningKeys)(nil)

// NewSigningKeys returns an empty store of signing keys.
func NewSigningKeys() *SigningKeys { return &SigningKeys{} }

func (s *SigningKeys) Add(ctx context.Context, k ports.SigningKey) error {
	if err := ended(ctx); err != nil {
		return err
	}
	k.Created, k.Retires = moment(k.Created), moment(k.Retires)
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.keys, func(o ports.SigningKey) bool { return o.ID == k.ID || !o.Retires.Before(k.Retires) }) {
		return taken("signing key")
	}
	s.keys = slices.Insert(s.keys, 0, k)
	return nil
}

func (s *SigningKeys) List(ctx context.Context) ([]ports.SigningKey, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys), nil
}

func (s *SigningKeys) Reseal(ctx context.Context, id string, old, next secret.Box) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.keys, func(k ports.SigningKey) bool { return k.ID == id })
	switch {
	case i < 0:
		return missing("signing key")
	case s.keys[i].Private != old:
		return overtaken("signing key")
	}
	s.keys[i].Private = next
	return nil
}

func (s *SigningKeys) Sweep(ctx context.Context, before time.Time) (int, error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	had := len(s.keys)
	s.keys = slices.DeleteFunc(s.keys, func(k ports.SigningKey) bool { return k.Retires.Before(moment(before)) })
	return had - len(s.keys), nil
}
