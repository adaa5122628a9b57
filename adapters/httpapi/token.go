package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"perch/app/sessions"
	"perch/domain/apikey"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/session"
)

type tokensView struct {
	Access    string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn int64  `json:"expires_in"`
	Refresh   string `json:"refresh_token"`
	Scope     string `json:"scope"`
	Grant     string `json:"grant_id"`
}

func (s *Server) token(r *request) error {
	p, id, key, err := clientCall(r)
	if err != nil {
		return err
	}
	got, err := s.services.Sessions.Token(r.ctx, sessions.TokenRequest{
		GrantType: p.Get("grant_type"), ClientID: id, ClientSecret: key, Code: p.Get("code"),
		Redirect: p.Get("redirect_uri"), Verifier: p.Get("code_verifier"), Refresh: secret.New(p.Get("refresh_token")),
		Proof: r.header(dpopHeader), URL: s.cfg.PublicURL + r.path,
		From: r.addr,
	})
	if r.has(dpopHeader) || fault.SlugOf(err) == session.BadProof {
		s.giveNonce(r)
	}
	if err != nil {
		return err
	}
	r.known = true
	r.c.Set(fiber.HeaderPragma, "no-cache")
	scheme := bearerScheme
	if got.Bound {
		scheme = dpopScheme
	}
	r.json(plainJSON, tokensView{
		Access: got.Access.Reveal(), Type: scheme, ExpiresIn: int64(got.TTL.Seconds()),
		Refresh: got.Refresh.Reveal(), Scope: string(got.Scopes), Grant: string(got.Grant),
	})
	return nil
}

// revokeToken answers as X does, which RFC 7009 leaves open.
func (s *Server) revokeToken(r *request) error {
	p, id, key, err := clientCall(r)
	if err != nil {
		return err
	}
	if p.Get("token") == "" {
		return badOAuth("token is needed")
	}
	if err := s.services.Sessions.Revoke(r.ctx, id, key, secret.New(p.Get("token")), r.addr); err != nil {
		return err
	}
	r.json(plainJSON, map[string]bool{"revoked": true})
	return nil
}

func badOAuth(format string, args ...any) error {
	return fault.New(fault.Invalid, format, args...).Named("invalid-request")
}

func badClient(say string) error {
	return fault.New(fault.Unauthenticated, "%s", say).Named("invalid-client")
}

// clientCall reads what the token and revocation endpoints are sent, and which
// client application sends it.
func clientCall(r *request) (p url.Values, id string, key secret.Text, err error) {
	if p, err = r.form(); err != nil {
		return nil, "", key, err
	}
	id, key = p.Get("client_id"), secret.New(p.Get("client_secret"))
	if v := r.header(fiber.HeaderAuthorization); v != "" {
		basicID, basicKey, ok := basic(v)
		switch {
		case !ok:
			return nil, "", key, badClient("the Authorization header must be Basic, with the publishable key as " +
				"user and the secret key as password, or be left out")
		case !key.Empty() && !key.Equal(secret.New(basicKey)), id != "" && id != basicID: // X's clients send both
			return nil, "", key, badOAuth("name and prove the client either in Authorization or in the body")
		}
		id, key = basicID, secret.New(basicKey)
	}
	if r.browser {
		if _, isKey := apikey.KindOf(key.Reveal()); isKey {
			return nil, "", key, badClient("a secret key arrived from a browser, where anybody can read it; " +
				"revoke it, and let browsers send client_id alone")
		}
	}
	return p, id, key, nil
}

// basic reads client_secret_basic (RFC 6749 section 2.3.1).
func basic(header string) (id, key string, ok bool) {
	scheme, encoded, _ := strings.Cut(header, " ")
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	id, key, ok = strings.Cut(string(b), ":")
	id, err1 := url.QueryUnescape(id)
	key, err2 := url.QueryUnescape(key)
	return id, key, ok && err1 == nil && err2 == nil
}

// form reads parameters sent as a form or as a JSON object of strings. None may
// come twice.
func (r *request) form() (url.Values, error) {
	if r.query != "" {
		return nil, badOAuth("send parameters in the body; the query is written down by proxies and browsers")
	}
	b, err := r.readAll()
	if err != nil {
		return nil, err
	}
	mediaType, _, _ := strings.Cut(r.header(fiber.HeaderContentType), ";")
	switch strings.ToLower(strings.TrimSpace(mediaType)) {
	case fiber.MIMEApplicationForm:
		return once(string(b))
	case plainJSON:
		return members(b)
	}
	return nil, badOAuth("send the parameters as application/x-www-form-urlencoded or application/json")
}

// members reads a JSON object of strings.
func members(b []byte) (url.Values, error) {
	bad := badOAuth("the body is not a JSON object of strings, each named once")
	d := json.NewDecoder(strings.NewReader(string(b)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, bad
	}
	p := url.Values{}
	for d.More() {
		name, err1 := d.Token()
		value, err2 := d.Token()
		n, ok1 := name.(string)
		v, ok2 := value.(string)
		if err1 != nil || err2 != nil || !ok1 || !ok2 || p.Has(n) {
			return nil, bad
		}
		p.Set(n, v)
	}
	if _, err := d.Token(); err != nil {
		return nil, bad
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, bad
	}
	return p, nil
}

// refuseOAuth answers with a document that is RFC 6749's error and a problem at
// once. Only a client that is not who it says gets 401.
func (s *Server) refuseOAuth(r *request, p problem, err error) {
	m := p.members(r.id)
	m["error"], m["error_description"] = sessions.ErrorCode(err), sessions.Description(err)
	switch p.status {
	case http.StatusNotFound, http.StatusConflict:
		p.status = http.StatusBadRequest
		m["status"] = p.status
	case http.StatusUnauthorized:
		r.c.Response().Header.Del(fiber.HeaderWWWAuthenticate)
		if r.has(fiber.HeaderAuthorization) {
			r.c.Set(fiber.HeaderWWWAuthenticate, `Basic realm="Perch"`)
		}
	}
	r.c.Status(p.status)
	r.known = true
	r.c.Set(fiber.HeaderPragma, "no-cache")
	contentType := plainJSON
	if r.wants(problemJSON) {
		contentType = problemJSON
	}
	r.json(contentType, m)
}
