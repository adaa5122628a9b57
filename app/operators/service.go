// Package operators knows who may run this Perch, lets them in, and sees to it
// that what they do is written down.
package operators

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/operator"
	"perch/domain/secret"
	"perch/ports"
)

// Root is the operator who comes with the founding token: the one that settings
// give. It is an owner and is not stored.
const Root operator.ID = "root"

// digestLabel keeps digests of operators' tokens apart from those of other secrets.
const digestLabel = "operator"

// prefix is how operators' tokens begin.
const prefix = "op_"

// maxToken bounds what is hashed: our own tokens are 29 bytes long.
const maxToken = 100

// uses knows when credentials were last used.
type uses interface {
	Last(ctx context.Context, ids []string) (map[string]time.Time, error)
}

// Parts is what the service is made of.
type Parts struct {
	Operators ports.Operators
	Uses      uses
	Keyring   ports.Keyring
	Observer  ports.Observer
	Founding  secret.Text     // empty: turned off
	Mark      func(id string) // is told of each use of a token, and must be quick; nil: nobody is
}

// Service manages operators.
type Service struct {
	store     ports.Operators
	uses      uses
	ring      ports.Keyring
	observer  ports.Observer
	mark      func(id string)
	founded   bool // the founding token lets in
	founding  [sha256.Size]byte
	strangers strangers
	turn      sync.Mutex // one change of who may enter at a time
}

// New returns the service. Close tells what it still holds back.
func New(p Parts) *Service {
	if p.Mark == nil {
		p.Mark = func(string) {}
	}
	return &Service{
		store: p.Operators, uses: p.Uses, ring: p.Keyring, observer: p.Observer, mark: p.Mark,
		founded: !p.Founding.Empty(), founding: sha256.Sum256([]byte(p.Founding.Reveal())),
	}
}

// Authenticate returns the operator whose token it is. A token that is unknown,
// expired or revoked, or that is none, is fault.Unauthenticated, with one
// sentence for all of them. While the store is down there is no operator but Root.
func (s *Service) Authenticate(ctx context.Context, token secret.Text) (operator.Operator, error) {
	text := token.Reveal()
	if s.isFounding(text) {
		return operator.Operator{ID: Root, Name: "the founding token", Role: operator.Owner}, nil
	}
	if !strings.HasPrefix(text, prefix) || len(text) > maxToken {
		return operator.Operator{}, badToken(nil)
	}
	digests, err := s.ring.Digests(ctx, token, digestLabel)
	if err != nil {
		return operator.Operator{}, err
	}
	o, err := s.store.ByDigest(ctx, digests)
	switch {
	case errors.Is(err, fault.NotFound):
		return operator.Operator{}, badToken(err)
	case err != nil:
		return operator.Operator{}, err
	case !o.Good(time.Now()):
		return operator.Operator{}, badToken(nil)
	}
	s.mark(string(o.ID))
	return o, nil
}

// isFounding compares digests, so that the time tells nothing, not even a length.
func (s *Service) isFounding(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(sum[:], s.founding[:]) == 1 && s.founded
}

func badToken(cause error) error {
	return fault.New(fault.Unauthenticated, "this is no operator's token, or it has expired or was revoked; "+
		"check it, or ask an owner of this Perch for a new one").Named("bad-admin-token").Because(cause)
}

// Permit refuses an operator whose role does not cover the needed one.
func Permit(by operator.Operator, needed operator.Role) error {
	if by.Role.Covers(needed) {
		return nil
	}
	return fault.New(fault.Forbidden, "this takes the role %s, and yours is %s; ask an owner of this Perch",
		needed, by.Role).Named("role-too-low").With("role", string(by.Role)).With("needed_role", string(needed))
}

// Get returns the operator, or fault.NotFound.
func (s *Service) Get(ctx context.Context, id operator.ID) (operator.Operator, error) {
	o, err := s.store.Get(ctx, id)
	if errors.Is(err, fault.NotFound) {
		return o, fault.New(fault.NotFound, "no operator has the ID %q", id)
	}
	return o, err
}

// List returns up to n operators after the given one.
func (s *Service) List(ctx context.Context, after operator.ID, n int) ([]operator.Operator, error) {
	return s.store.List(ctx, after, n)
}

// LastUsed returns when the tokens of those of the operators were last used
// that ever were. It may be behind by as long as uses are gathered.
func (s *Service) LastUsed(ctx context.Context, of ...operator.Operator) (map[string]time.Time, error) {
	ids := make([]string, len(of))
	for i, o := range of {
		ids[i] = string(o.ID)
	}
	return s.uses.Last(ctx, ids)
}
