package xhttp

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// askAgain is how long X is left alone after it gave or refused a bearer: who
// asks too often is refused for asking too often.
const askAgain = time.Minute

// bearers remembers the X Apps' own bearers, one for each.
type bearers struct {
	flights singleflight.Group
	mu      sync.Mutex
	known   map[xapp.ID]bearer
}

type bearer struct {
	mark  string // digest of the API key and secret it was asked for with
	token secret.Text
	err   error // X's refusal, if it refused
	at    time.Time
}

func (g *Gateway) AppToken(ctx context.Context, x ports.XApp) (secret.Text, error) {
	if !x.Bearer.Empty() {
		return x.Bearer, nil
	}
	if x.APIKey == "" || x.APISecret.Empty() {
		return secret.Text{}, fault.New(fault.Forbidden, "this X App has neither a bearer token nor an API key "+
			"and secret to ask for one; give it either").Named("x-app-incomplete")
	}
	mark := oauth.Digest(secret.Label(string(x.ID), x.APIKey, x.APISecret.Reveal()))
	if b, ok := g.bearers.find(x.ID, mark); ok {
		return b.token, b.err
	}
	// The answer is for everybody who waits, so the first one may leave.
	answer := g.bearers.flights.DoChan(mark, func() (any, error) {
		if b, ok := g.bearers.find(x.ID, mark); ok {
			return b.token, b.err
		}
		token, err := g.askBearer(context.WithoutCancel(ctx), x)
		if err == nil || errors.Is(err, fault.Upstream) {
			g.bearers.keep(x.ID, bearer{mark: mark, token: token, err: err, at: time.Now()})
		}
		return token, err
	})
	select {
	case a := <-answer:
		token, _ := a.Val.(secret.Text)
		return token, a.Err
	case <-ctx.Done():
		return secret.Text{}, unusable("X did not give the bearer in time").Because(ctx.Err())
	}
}

func (g *Gateway) askBearer(ctx context.Context, x ports.XApp) (secret.Text, error) {
	cfg := clientcredentials.Config{
		ClientID: x.APIKey, ClientSecret: x.APISecret.Reveal(),
		TokenURL: g.api + "/oauth2/token", AuthStyle: oauth2.AuthStyleInHeader,
	}
	var w wire
	ctx, cancel := w.watch(ctx)
	defer cancel(nil)
	tok, err := cfg.Token(g.through(ctx))
	if err != nil {
		refused, ok := errors.AsType[*oauth2.RetrieveError](err)
		if ok && (refused.Response.StatusCode == http.StatusUnauthorized ||
			refused.Response.StatusCode == http.StatusForbidden) {
			return secret.Text{}, fault.New(fault.Upstream, "X refused this X App's API key or secret; "+
				"check both in X's developer console and in the settings of Perch").Named("x-app-refused")
		}
		return secret.Text{}, refusal{kind: fault.Upstream, say: "X refused this X App's API key or secret"}.
			of(ctx, &w, err, x.APISecret)
	}
	if !printable(tok.AccessToken) {
		return secret.Text{}, unusable("X gave a bearer that cannot be used")
	}
	return secret.New(tok.AccessToken), nil
}

func (b *bearers) find(id xapp.ID, mark string) (bearer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.known[id]
	if !ok || known.mark != mark || known.err != nil && time.Since(known.at) >= askAgain {
		return bearer{}, false
	}
	return known, true
}

func (b *bearers) keep(id xapp.ID, known bearer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil {
		b.known = map[xapp.ID]bearer{}
	}
	b.known[id] = known
}

// forget drops a bearer that X has refused, unless X gave it just now: then the
// trouble is X's, and asking again would only bring the same one.
func (b *bearers) forget(id xapp.ID, token secret.Text) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.known[id]
	if ok && known.token.Equal(token) && time.Since(known.at) >= askAgain {
		delete(b.known, id)
	}
}
