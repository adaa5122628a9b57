package httpapi

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"perch/app/sessions"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// metadataView is the authorization server's metadata (RFC 8414 section 2).
type metadataView struct {
	Issuer           string   `json:"issuer"`
	Authorize        string   `json:"authorization_endpoint"`
	Token            string   `json:"token_endpoint"`
	Revoke           string   `json:"revocation_endpoint"`
	JWKS             string   `json:"jwks_uri"`
	Scopes           []string `json:"scopes_supported"`
	ResponseTypes    []string `json:"response_types_supported"`
	ResponseModes    []string `json:"response_modes_supported"`
	GrantTypes       []string `json:"grant_types_supported"`
	Challenges       []string `json:"code_challenge_methods_supported"`
	TokenAuth        []string `json:"token_endpoint_auth_methods_supported"`
	RevokeAuth       []string `json:"revocation_endpoint_auth_methods_supported"`
	NamesIssuer      bool     `json:"authorization_response_iss_parameter_supported"`
	ProofSignatures  []string `json:"dpop_signing_alg_values_supported"`
	ServiceDocuments string   `json:"service_documentation,omitempty"`
}

func (s *Server) metadata(r *request) error {
	at := s.cfg.PublicURL
	auth := []string{"none", "client_secret_basic", "client_secret_post"}
	r.c.Set(fiber.HeaderCacheControl, "public, max-age=300")
	r.json(plainJSON, metadataView{
		Issuer: at, Authorize: at + "/oauth/authorize", Token: at + "/oauth/token",
		Revoke: at + "/oauth/revoke", JWKS: at + "/oauth/jwks",
		Scopes: oauth.Everything.List(), ResponseTypes: []string{"code"}, ResponseModes: []string{"query"},
		GrantTypes: []string{"authorization_code", "refresh_token"}, Challenges: []string{"S256"},
		TokenAuth: auth, RevokeAuth: auth, NamesIssuer: true,
		ProofSignatures: s.services.Sessions.Algorithms(),
	})
	return nil
}

func (s *Server) jwks(r *request) error {
	keys, err := s.services.Sessions.JWKS(r.ctx)
	if err != nil {
		return err
	}
	r.c.Set(fiber.HeaderCacheControl, "public, max-age=300")
	r.c.Set(fiber.HeaderContentType, plainJSON)
	r.c.Response().SetBodyRaw(keys)
	return nil
}

// authorize begins a sign-in: the browser is bound by a cookie and sent to X.
func (s *Server) authorize(r *request) error {
	q, err := once(r.query)
	if err != nil {
		return err
	}
	to, err := s.services.Sessions.Authorize(r.ctx, sessions.AuthorizeRequest{
		ResponseType: q.Get("response_type"), ClientID: q.Get("client_id"), Redirect: q.Get("redirect_uri"),
		Scope: q.Get("scope"), State: q.Get("state"),
		Challenge: q.Get("code_challenge"), ChallengeMethod: q.Get("code_challenge_method"),
		JKT:  q.Get("dpop_jkt"),
		From: r.addr,
	})
	if err != nil {
		return err
	}
	return s.toX(r, to)
}

// extend begins to ask for more of what a user has allowed: a link that a
// refused request was given is opened.
func (s *Server) extend(r *request) error {
	q, err := once(r.query)
	if err != nil {
		return err
	}
	to, err := s.services.Sessions.Extend(r.ctx, sessions.ExtendRequest{
		Ticket: q.Get("ticket"), Redirect: q.Get("redirect_uri"), State: q.Get("state"),
		From: r.addr,
	})
	if err != nil {
		return err
	}
	return s.toX(r, to)
}

// callback ends a sign-in: X has sent the browser back.
func (s *Server) callback(r *request) error {
	q, err := once(r.query)
	if err != nil {
		return err
	}
	state, code, refused := q.Get("state"), q.Get("code"), q.Get("error")
	if state == "" || (code == "") == (refused == "") || len(state)+len(code) > 4000 {
		return fault.New(fault.Invalid, "X's answer is incomplete; go back to the application and connect again").
			Named("bad-callback")
	}
	cookie := s.unbind(r, state)
	to, err := s.services.Sessions.Callback(r.ctx, oauth.Callback{
		State: state, Code: secret.New(code), Error: refused, Cookie: cookie, Held: s.sessionCookies(r),
	})
	if err != nil {
		return err
	}
	if to.URL == "" {
		return s.donePage(r)
	}
	if to.Held != nil {
		s.hold(r, *to.Held)
	}
	r.redirect(to.URL)
	return nil
}

func (r *request) redirect(to string) {
	r.c.Status(http.StatusFound)
	r.c.Set(fiber.HeaderLocation, to)
}

// once reads a query in which no parameter comes twice (RFC 6749 section 3.1).
func once(query string) (url.Values, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the parameters are not well-formed; percent-encode their values").
			Named("invalid-request")
	}
	for name, values := range q {
		if len(values) > 1 {
			return nil, fault.New(fault.Invalid, "the parameter %q comes twice", clip(name, 40)).
				Named("invalid-request")
		}
	}
	return q, nil
}

// cookieName names the cookie of one sign-in, so that several can be under way
// in one browser.
func (s *Server) cookieName(state string) string {
	name := "perch_auth_" + oauth.Digest(state)[:8]
	if s.secure() {
		return "__Host-" + name
	}
	return name
}

// bind gives the browser the cookie of a sign-in.
func (s *Server) bind(r *request, state string, value secret.Text) {
	s.setCookie(r, s.cookieName(state), value.Reveal(), int(oauth.AuthorizationTTL.Seconds()))
}

// unbind takes the cookie of a sign-in back and returns what it held.
func (s *Server) unbind(r *request, state string) secret.Text {
	name := s.cookieName(state)
	value := strings.Clone(r.c.Cookies(name))
	s.setCookie(r, name, "", -1)
	return secret.New(value)
}

func (s *Server) setCookie(r *request, name, value string, maxAge int) {
	path := "/oauth/callback"
	if s.secure() {
		path = "/" // as __Host- wants it
	}
	cookie := http.Cookie{ //nolint:gosec // plain http is for loopback, where Secure cookies may be refused
		Name: name, Value: value, Path: path, MaxAge: maxAge,
		HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode,
	}
	r.c.Response().Header.Add(fiber.HeaderSetCookie, cookie.String())
}
