package sessions

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/secret"
	"perch/domain/session"
)

// nonceLabel is what nonces are digests under. A nonce names a span of time, and
// only a Perch with the same keyring can have made it: nothing is kept, and all
// replicas agree.
const nonceLabel = "dpop.nonce"

// Algorithms are the signatures of DPoP proofs that are taken (RFC 7518).
func (s *Service) Algorithms() []string { return s.dpop.Algorithms() }

// Nonce returns what DPoP proofs must hold now (RFC 9449 section 8).
func (s *Service) Nonce(ctx context.Context) (string, error) {
	all, err := s.nonces(ctx, s.window())
	if err != nil {
		return "", err
	}
	return all[0], nil
}

// window numbers the span of time in which one nonce is given out.
func (s *Service) window() int64 { return s.now().UnixNano() / int64(session.NonceWindow) }

// nonces are those of the window, by every pepper there is; the newest first.
func (s *Service) nonces(ctx context.Context, window int64) ([]string, error) {
	return s.ring.Digests(ctx, secret.New(strconv.FormatInt(window, 10)), nonceLabel)
}

// from returns the window in which the nonce was given out.
func (s *Service) from(ctx context.Context, nonce string) (int64, error) {
	now := s.window()
	for _, window := range []int64{now, now - 1, now + 1} {
		all, err := s.nonces(ctx, window)
		if err != nil {
			return 0, err
		}
		if slices.Contains(all, nonce) {
			return window, nil
		}
	}
	return 0, fault.New(fault.Invalid, "the DPoP proof must hold the nonce that the header DPoP-Nonce gives; "+
		"make another proof with it").Named(session.UseNonce)
}

// prove reads a proof that was made for the method and the URL, lately and with
// a nonce of ours, and returns the nonce's window.
func (s *Service) prove(ctx context.Context, proof, method, url string) (session.Proof, int64, error) {
	p, err := s.dpop.Read(proof)
	if err != nil {
		return session.Proof{}, 0, err
	}
	if err := p.For(method, url, s.clock()); err != nil {
		return session.Proof{}, 0, err
	}
	window, err := s.from(ctx, p.Nonce)
	return p, window, err
}

func errReplayed() error {
	return session.ErrProof("a DPoP proof with this jti was used before; make one for each request")
}

// key returns the thumbprint of the key that tokens for the request are bound
// to, "" for none. A proof works once, whichever replica it is presented to.
func (s *Service) key(ctx context.Context, app client.App, r TokenRequest) (string, error) {
	if r.Proof == "" && app.DPoP {
		return "", session.ErrProof("tokens of this client application are bound to a key (RFC 9449); " +
			"send a proof of it in the header DPoP")
	}
	if r.Proof == "" {
		return "", nil
	}
	p, _, err := s.prove(ctx, r.Proof, "POST", r.URL)
	if err != nil {
		return "", err
	}
	used := "dpop:" + oauth.Digest(secret.Label(p.JKT, p.ID))
	once := quota.Charge{Key: used, Max: 1, Window: session.ProofTTL + session.NonceWindow}
	v, err := s.quotas.Spend(ctx, s.now(), []quota.Charge{once})
	if err == nil && !v.Allowed {
		err = errReplayed()
	}
	return p.JKT, err
}

// holds reports why the request may not use the access token with the claims:
// it is bound to a key that the request does not prove, or not bound at all
// where that is asked.
func (s *Service) holds(ctx context.Context, c session.Claims, p session.Presented) error {
	switch {
	case c.JKT == "" && !p.Bound:
		return nil
	case c.JKT == "":
		return invalidToken("the access token is not bound to a key; send it with Authorization: Bearer")
	case !p.Bound:
		return invalidToken("the access token is bound to a key (RFC 9449); " +
			"send it with Authorization: DPoP, and a proof in the header DPoP")
	case p.Proof == "":
		return unauthenticated(session.ErrProof("send a proof of the key in the header DPoP (RFC 9449)"))
	}
	proof, window, err := s.prove(ctx, p.Proof, p.Method, p.URL)
	switch {
	case err != nil:
		return unauthenticated(err)
	case proof.JKT != c.JKT:
		return invalidToken("the access token is bound to another key than the DPoP proof's")
	case !proof.Of(p.Token):
		return unauthenticated(session.ErrProof("ath of the DPoP proof is not the digest of the access token"))
	case !s.proofs.first(window, s.window(), proof):
		return unauthenticated(errReplayed())
	}
	return nil
}

func invalidToken(say string) *fault.Error {
	return fault.New(fault.Unauthenticated, "%s", say).Named("invalid-token")
}

// unauthenticated is what a fault with a proof is where an access token comes
// with it (RFC 9449 section 7.1).
func unauthenticated(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Slug != session.BadProof && f.Slug != session.UseNonce {
		return err
	}
	changed := *f
	changed.Kind = fault.Unauthenticated
	return &changed
}
