package httpapi

import (
	"strings"

	"perch/domain/fault"
	"perch/domain/session"
)

// Headers and schemes of RFC 6750 and RFC 9449.
const (
	dpopHeader   = "DPoP"
	nonceHeader  = "DPoP-Nonce"
	dpopScheme   = "DPoP"
	bearerScheme = "Bearer"
)

// giveNonce tells a client that makes DPoP proofs which nonce the next ones must
// hold. Without one the client is asked again when it has made a proof.
func (s *Server) giveNonce(r *request) {
	if nonce, err := s.services.Sessions.Nonce(r.ctx); err == nil {
		r.c.Set(nonceHeader, nonce)
	}
}

// challenge is what a refused request is told in WWW-Authenticate, in the scheme
// in which its credential came; "" for nothing (RFC 6750 section 3, RFC 9449
// section 7.1).
func (s *Server) challenge(r *request, p problem) string {
	scheme, _, _ := strings.Cut(r.header("Authorization"), " ")
	bound := strings.EqualFold(scheme, dpopScheme)
	switch slug := p.fault.Slug; {
	case slug == insufficientScope:
		return s.challengeOf(bound, "insufficient_scope", plainly(p.fault.Extra["missing_scope"]))
	case p.fault.Kind != fault.Unauthenticated:
		return ""
	case slug == session.BadProof:
		return s.challengeOf(true, "invalid_dpop_proof", "")
	case slug == session.UseNonce:
		return s.challengeOf(true, "use_dpop_nonce", "")
	case slug == noCredential, slug == noSession:
		return s.challengeOf(false, "", "")
	}
	return s.challengeOf(bound, "invalid_token", "")
}

func (s *Server) challengeOf(bound bool, code, scope string) string {
	text := bearerScheme + ` realm="Perch"`
	if bound {
		text = dpopScheme + ` realm="Perch"`
	}
	if code != "" {
		text += `, error="` + code + `"`
	}
	if scope != "" {
		text += `, scope="` + scope + `"`
	}
	if bound {
		text += `, algs="` + strings.Join(s.services.Sessions.Algorithms(), " ") + `"`
	}
	return text
}
