package xhttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

// accessTTL is what X documents for an access token, for replies that do not say.
const accessTTL = 2 * time.Hour

// maxReply bounds what is read of the token endpoint.
const maxReply = 1 << 20

func (g *Gateway) AuthorizeURL(x ports.XApp, r ports.AuthorizeRequest) string {
	cfg := g.config(x)
	cfg.RedirectURL, cfg.Scopes = r.Redirect, r.Scopes.List()
	return cfg.AuthCodeURL(r.State,
		oauth2.SetAuthURLParam("code_challenge", r.Challenge),
		oauth2.SetAuthURLParam("code_challenge_method", "S256"))
}

func (g *Gateway) Exchange(
	ctx context.Context, x ports.XApp, code, verifier secret.Text, redirect string,
) (ports.Tokens, error) {
	cfg := g.config(x)
	cfg.RedirectURL = redirect
	var w wire
	ctx, cancel := w.watch(ctx)
	defer cancel(nil)
	tok, err := cfg.Exchange(g.through(ctx), code.Reveal(), oauth2.VerifierOption(verifier.Reveal()))
	if err != nil {
		return ports.Tokens{}, refusal{
			kind: fault.Invalid, slug: "x-code-refused", say: "X refused the authorization code; start the sign-in again",
		}.of(ctx, &w, err, code, verifier, x.ClientSecret)
	}
	return tokens(tok)
}

func (g *Gateway) Refresh(ctx context.Context, x ports.XApp, refresh secret.Text) (ports.Tokens, error) {
	var w wire
	ctx, cancel := w.watch(ctx)
	defer cancel(nil)
	// Without an access token the source is due at once, so it asks once.
	source := g.config(x).TokenSource(g.through(ctx), &oauth2.Token{RefreshToken: refresh.Reveal()})
	tok, err := source.Token()
	if err != nil {
		return ports.Tokens{}, refusal{
			kind: fault.Forbidden, slug: "x-refresh-refused",
			say: "X refused the refresh token; if this lasts, the user must connect again",
		}.of(ctx, &w, err, refresh, x.ClientSecret)
	}
	return tokens(tok)
}

func (g *Gateway) Revoke(ctx context.Context, x ports.XApp, token secret.Text) error {
	form := url.Values{"token": {token.Reveal()}}
	if x.ClientSecret.Empty() {
		form.Set("client_id", x.ClientID)
	}
	var w wire
	ctx, cancel := w.watch(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(
		ctx, http.MethodPost, g.api+"/2/oauth2/revoke", strings.NewReader(form.Encode()))
	if err != nil {
		return fault.New(fault.Internal, "").Because(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !x.ClientSecret.Empty() {
		req.SetBasicAuth(url.QueryEscape(x.ClientID), url.QueryEscape(x.ClientSecret.Reveal()))
	}
	res, err := g.tokens.Do(req)
	if err != nil {
		return w.fault(ctx, err, notKnown)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < http.StatusMultipleChoices {
		return nil
	}
	err = refusal{kind: fault.Invalid, say: "X does not know the token"}.
		of(ctx, &w, retrieveError(res), token, x.ClientSecret)
	if errors.Is(err, ports.ErrRejected) {
		return nil
	}
	return err
}

// config pins how the X App proves itself. Left to find out by itself, x/oauth2
// would present a refused token a second time in another way.
func (g *Gateway) config(x ports.XApp) *oauth2.Config {
	style := oauth2.AuthStyleInHeader
	if x.ClientSecret.Empty() {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID:     x.ClientID,
		ClientSecret: x.ClientSecret.Reveal(),
		Endpoint: oauth2.Endpoint{
			AuthURL: g.authorize, TokenURL: g.api + "/2/oauth2/token", AuthStyle: style,
		},
	}
}

// through lets x/oauth2 use our client.
func (g *Gateway) through(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, g.tokens)
}

// tokens takes the refresh token from the reply itself: x/oauth2 puts the old
// one where X gave none.
func tokens(tok *oauth2.Token) (ports.Tokens, error) {
	refresh, _ := tok.Extra("refresh_token").(string)
	scope, _ := tok.Extra("scope").(string)
	if !printable(tok.AccessToken) || !printable(refresh) {
		return ports.Tokens{}, unusable("X gave a token that cannot be used")
	}
	scopes, err := oauth.ParseScopes(scope)
	if err != nil {
		scopes = "" // better tokens without scopes than no tokens
	}
	ttl := time.Duration(tok.ExpiresIn) * time.Second
	if ttl <= 0 {
		ttl = accessTTL
	}
	return ports.Tokens{
		Access: secret.New(tok.AccessToken), Refresh: secret.New(refresh), Scopes: scopes, TTL: ttl,
	}, nil
}

// retrieveError reads a refusal as x/oauth2 does.
func retrieveError(res *http.Response) *oauth2.RetrieveError {
	refused := &oauth2.RetrieveError{Response: res}
	var body struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err == nil && json.Unmarshal(b, &body) == nil {
		refused.ErrorCode, refused.ErrorDescription = body.Code, body.Description
	}
	return refused
}
