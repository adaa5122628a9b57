package clients

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/secret"
)

// digestLabel keeps digests of API keys apart from those of other secrets.
const digestLabel = "apikey"

// maxKey bounds what is hashed: our own keys are 29 bytes long.
const maxKey = 100

// IssueKey makes a key for the application and returns it with its text, which
// is not kept and cannot be shown again.
func (s *Service) IssueKey(ctx context.Context, k apikey.Key) (apikey.Key, secret.Text, error) {
	if err := s.checkKey(ctx, k); err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	text := k.Kind.Prefix() + rand.Text()
	digests, err := s.ring.Digests(ctx, secret.New(text), digestLabel)
	if err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	k.ID = apikey.ID("key_" + strings.ToLower(rand.Text()))
	k.Hint, k.Digest = apikey.Hint(text), digests[0]
	k.Created, k.Revoked = time.Now().UTC().Truncate(time.Microsecond), time.Time{}
	k, err = s.keys.Create(ctx, k)
	if err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	return k, secret.New(text), nil
}

func (s *Service) checkKey(ctx context.Context, k apikey.Key) error {
	if _, err := s.Get(ctx, k.App); err != nil {
		return err
	}
	switch {
	case k.Kind != apikey.Publishable && k.Kind != apikey.Secret:
		return fault.New(fault.Invalid, "a key is publishable or secret, not %q", k.Kind)
	case k.Kind == apikey.Publishable && (len(k.Grants) > 0 || k.AppOnly):
		return fault.New(fault.Invalid, "a publishable key only starts sign-ins; "+
			"only a secret key can be bound to a grant or act app-only")
	case !k.Expires.IsZero() && k.Expires.Before(time.Now()):
		return fault.New(fault.Invalid, "the key would have expired already; choose a later time")
	}
	return nil
}

// Keys returns up to n keys of the application after the given one.
func (s *Service) Keys(ctx context.Context, app client.AppID, after apikey.ID, n int) ([]apikey.Key, error) {
	return s.keys.List(ctx, app, after, n)
}

// RevokeKey ends a key. Revoking it again changes nothing.
func (s *Service) RevokeKey(ctx context.Context, id apikey.ID) (apikey.Key, error) {
	for {
		old, err := s.keys.Get(ctx, id)
		if errors.Is(err, fault.NotFound) {
			return old, fault.New(fault.NotFound, "no API key has the ID %q", id)
		}
		if err != nil || !old.Revoked.IsZero() {
			return old, err
		}
		next := old
		next.Revoked = time.Now().UTC().Truncate(time.Microsecond)
		next, err = s.keys.Swap(ctx, old, next)
		if !errors.Is(err, fault.Conflict) {
			return next, err
		}
	}
}

// Authenticate returns the active application and the good key that the text
// stands for. Anything else is fault.Unauthenticated, with one sentence for all
// reasons but suspension.
func (s *Service) Authenticate(ctx context.Context, text secret.Text) (client.App, apikey.Key, error) {
	kind, ok := apikey.KindOf(text.Reveal())
	if !ok || len(text.Reveal()) > maxKey {
		return client.App{}, apikey.Key{}, badKey(nil)
	}
	key, err := s.byText(ctx, text)
	if errors.Is(err, fault.NotFound) {
		return client.App{}, apikey.Key{}, badKey(err)
	}
	if err != nil {
		return client.App{}, apikey.Key{}, err
	}
	if !key.Good(time.Now()) || key.Kind != kind {
		return client.App{}, apikey.Key{}, badKey(nil)
	}
	app, err := s.apps.Get(ctx, key.App)
	if errors.Is(err, fault.NotFound) {
		return client.App{}, apikey.Key{}, badKey(err)
	}
	if err != nil {
		return client.App{}, apikey.Key{}, err
	}
	if app.Status != client.Active {
		return client.App{}, apikey.Key{}, fault.New(fault.Forbidden,
			"this client application is suspended; ask the operator of this Perch").Named("app-suspended")
	}
	return app, key, nil
}

func (s *Service) byText(ctx context.Context, text secret.Text) (apikey.Key, error) {
	digests, err := s.ring.Digests(ctx, text, digestLabel)
	if err != nil {
		return apikey.Key{}, err
	}
	return s.keys.ByDigest(ctx, digests)
}

func badKey(cause error) error {
	return fault.New(fault.Unauthenticated, "the API key is unknown, expired or revoked; "+
		"check it, or ask the operator of this Perch for a new one").Named("bad-api-key").Because(cause)
}
