package clients

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// nobody is the ID of no application.
const nobody client.AppID = "app_nobody"

// Authenticate returns the active application and the good key that the text
// stands for, if it may be used from the address. A wrong key is
// fault.Unauthenticated, in one sentence for all reasons, and fault.Limited
// where too many came from there; suspension and a wrong address are
// fault.Forbidden.
//
// Time does not tell which keys there are: a key that this replica does not know
// to be right is answered some milliseconds after it came, whatever it is, and the
// store is asked for one key and for one application in any case.
func (s *Service) Authenticate(
	ctx context.Context, text secret.Text, from netip.Addr,
) (client.App, apikey.Key, error) {
	digests, err := s.digests(ctx, text.Reveal())
	if err != nil {
		return client.App{}, apikey.Key{}, err
	}
	if err := s.wrongs.await(ctx, from, digests[0]); err != nil {
		return client.App{}, apikey.Key{}, err
	}
	varied := rand.N(unknownVaries) // #nosec G404 -- noise, not a secret
	known, answer := s.wrongs.known(digests[0]), time.NewTimer(unknownTakes+varied)
	defer answer.Stop()
	app, key, err := s.look(ctx, text, digests, from)
	if known && err == nil {
		return app, key, nil
	}
	select {
	case <-answer.C:
		return app, key, err
	case <-ctx.Done():
		return client.App{}, apikey.Key{}, ended(ctx)
	}
}

// unknownTakes is how long it takes at least to answer a key that is not known to
// be right. It is more than a store nearby takes; where one takes longer, the same
// questions to it take the same time. What differs all the same by microseconds is
// lost in how much it varies.
const (
	unknownTakes  = 5 * time.Millisecond
	unknownVaries = 10 * time.Millisecond
)

// look asks the store what the key is.
func (s *Service) look(
	ctx context.Context, text secret.Text, digests []string, from netip.Addr,
) (client.App, apikey.Key, error) {
	key, err := s.keys.ByDigest(ctx, digests)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return client.App{}, apikey.Key{}, err
	}
	kind, _ := apikey.KindOf(text.Reveal())
	right := err == nil && key.Kind == kind && key.Good(time.Now())
	id := key.App
	if !right {
		id, _ = s.usual.Load().(client.AppID) // as warm as that of a right key
	}
	app, err := s.apps.Get(ctx, id)
	switch {
	case err != nil && !errors.Is(err, fault.NotFound):
		return client.App{}, apikey.Key{}, err
	case err != nil || !right:
		return client.App{}, apikey.Key{}, s.wrong(from, digests[0])
	case app.Status != client.Active:
		return client.App{}, apikey.Key{}, fault.New(fault.Forbidden,
			"this client application is suspended; ask the operator of this Perch").Named("app-suspended")
	case !key.From(from):
		return client.App{}, apikey.Key{}, fault.New(fault.Forbidden, "this key may not be used from this address; "+
			"call from one it is for, or ask the operator of this Perch to add this one").Named("key-address-not-allowed")
	}
	if s.usual.Load() != app.ID {
		s.usual.Store(app.ID)
	}
	s.wrongs.good(digests[0])
	s.uses.Mark(string(key.ID))
	return app, key, nil
}

// wrong counts a wrong key and says that it is one.
func (s *Service) wrong(from netip.Addr, digest string) error {
	if wait := s.wrongs.wrong(from, digest); wait > 0 {
		return fault.New(fault.Limited, "the API key is unknown, expired or revoked, and so were others from this "+
			"address lately; check it before trying again (right keys are let in meanwhile)").
			Named("too-many-wrong-keys").After(wait)
	}
	return fault.New(fault.Unauthenticated, "the API key is unknown, expired or revoked; "+
		"check it, or ask the operator of this Perch for a new one").Named("bad-api-key")
}

// digestLabel keeps digests of API keys apart from those of other secrets.
const digestLabel = "apikey"

// maxKey bounds what is hashed with the pepper: our own keys are 29 bytes long.
const maxKey = 100

// digests are those of a key with the text. A text that is longer than any key
// counts by its hash, and takes the same way.
func (s *Service) digests(ctx context.Context, text string) ([]string, error) {
	if len(text) > maxKey {
		text = "long:" + oauth.Digest(text)
	}
	return s.ring.Digests(ctx, secret.New(text), digestLabel)
}
