package memory

import (
	"context"
	"maps"
	"sync"
	"time"

	"perch/domain/oauth"
	"perch/domain/session"
	"perch/ports"
)

// Authorizations is a ports.Authorizations.
type Authorizations struct {
	mu   sync.Mutex
	rows map[string]oauth.Authorization
}

var _ ports.Authorizations = (*Authorizations)(nil)

// NewAuthorizations returns an empty store of authorizations.
func NewAuthorizations() *Authorizations {
	return &Authorizations{rows: map[string]oauth.Authorization{}}
}

func (s *Authorizations) Put(ctx context.Context, a oauth.Authorization) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.rows[a.ID]; ok {
		return taken("authorization")
	}
	a.Expires = moment(a.Expires)
	s.rows[a.ID] = a
	return nil
}

func (s *Authorizations) Take(ctx context.Context, id string, now time.Time) (oauth.Authorization, error) {
	if err := ended(ctx); err != nil {
		return oauth.Authorization{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.rows[id]
	if !ok || !moment(now).Before(a.Expires) {
		return oauth.Authorization{}, missing("authorization")
	}
	delete(s.rows, id)
	return a, nil
}

func (s *Authorizations) Sweep(ctx context.Context, now time.Time) (int, error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.rows)
	maps.DeleteFunc(s.rows, func(_ string, a oauth.Authorization) bool { return !moment(now).Before(a.Expires) })
	return before - len(s.rows), nil
}

// Codes is a ports.Codes.
type Codes struct {
	mu   sync.Mutex
	rows map[string]session.Code
	used map[string]bool
}

var _ ports.Codes = (*Codes)(nil)

// NewCodes returns an empty store of codes.
func NewCodes() *Codes { return &Codes{rows: map[string]session.Code{}, used: map[string]bool{}} }

func (s *Codes) Put(ctx context.Context, c session.Code) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.rows[c.Digest]; ok {
		return taken("code")
	}
	c.Expires = moment(c.Expires)
	s.rows[c.Digest] = c
	return nil
}

func (s *Codes) Take(ctx context.Context, digest string) (session.Code, error) {
	if err := ended(ctx); err != nil {
		return session.Code{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.rows[digest]
	switch {
	case !ok:
		return session.Code{}, missing("code")
	case s.used[digest]:
		return c, errUsed()
	}
	s.used[digest] = true
	return c, nil
}

func (s *Codes) Sweep(ctx context.Context, before time.Time) (int, error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	had := len(s.rows)
	maps.DeleteFunc(s.rows, func(digest string, c session.Code) bool {
		if !c.Expires.Before(moment(before)) {
			return false
		}
		delete(s.used, digest)
		return true
	})
	return had - len(s.rows), nil
}
