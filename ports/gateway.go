package ports

import (
	"context"
	"errors"
	"io"
	"time"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/domain/xapp"
)

// TwitterGateway is X.
type TwitterGateway interface {
	TokenEndpoint
	ActionEndpoint
}

// XApp is a developer app of X with its secrets opened.
type XApp struct {
	ID           xapp.ID
	ClientID     string
	ClientSecret secret.Text // empty for a public client
	Bearer       secret.Text
	APIKey       string
	APISecret    secret.Text
}

// Tokens is what X's token endpoint gave.
type Tokens struct {
	Access  secret.Text
	Refresh secret.Text // empty if X gave none
	Scopes  oauth.Scopes
	TTL     time.Duration
}

// AuthorizeRequest is what the user is asked at X.
type AuthorizeRequest struct {
	Redirect  string
	Scopes    oauth.Scopes
	State     string
	Challenge string // S256
}

// ErrUnsent marks failures before any byte reached X: whatever was asked has
// not happened, and asking again is safe.
var ErrUnsent = errors.New("nothing was sent to X")

// ErrUndone marks failures of a call with an idempotency key whose key was free:
// X has performed neither it nor an earlier one with the key.
var ErrUndone = errors.New("not done by X")

// ErrRejected marks X's refusal of a code or a refresh token.
var ErrRejected = errors.New("refused by X")

// TokenEndpoint is X as an OAuth 2.0 authorization server. None of its methods
// repeats a call: refresh tokens and codes work once.
type TokenEndpoint interface {
	// AuthorizeURL is where the user's browser is sent.
	AuthorizeURL(x XApp, r AuthorizeRequest) string

	// Exchange turns an authorization code into tokens. A refused code is
	// fault.Invalid with ErrRejected in its chain; X refusing the developer app
	// itself is fault.Upstream; X asked too often is fault.Limited; no usable
	// answer is fault.Unavailable, with ErrUnsent in its chain if nothing was sent.
	Exchange(ctx context.Context, x XApp, code, verifier secret.Text, redirect string) (Tokens, error)

	// Refresh turns a refresh token into new tokens. A refused token is
	// fault.Forbidden with ErrRejected in its chain; the rest is as for Exchange.
	Refresh(ctx context.Context, x XApp, refresh secret.Text) (Tokens, error)

	// Revoke asks X to forget a token. A token X does not know is no error.
	Revoke(ctx context.Context, x XApp, token secret.Text) error

	// AppToken returns the X App's own bearer: the one it has, or the one X
	// gives for its API key and secret. Neither is fault.Forbidden.
	AppToken(ctx context.Context, x XApp) (secret.Text, error)
}

// Checked returns a context whose calls of X are checked at the last moment.
func Checked(ctx context.Context, check func() error) context.Context {
	return context.WithValue(ctx, checkKey{}, check)
}

// Check returns nil if a call with the context may be sent now. A gateway asks
// before each try; after an error it sends nothing. Then what came of an earlier try
// stands, and if there was none, ErrUnsent is in the chain of its own error.
func Check(ctx context.Context) error {
	if check, ok := ctx.Value(checkKey{}).(func() error); ok {
		return check()
	}
	return nil
}

type checkKey struct{}

// A Call is one action to be performed at X.
type Call struct {
	Action xapi.Action
	Params map[string]string // of the path, decoded
	Query  string            // encoded
	Type   string            // of the body
	Accept string
	Length int64     // of the body; -1 if not known
	Body   io.Reader // nil for none
	XApp   xapp.ID
	App    client.AppID // on whose account; empty: Perch's own
	Token  secret.Text  // empty for a public action
	Fresh  bool         // X gave the token just now, because it refused another for this call
}

// A Reply is what X answered.
type Reply struct {
	Status      int
	Header      map[string][]string // those a client may see, in canonical spelling
	Length      int64               // of the body; -1 if not known
	Body        io.ReadCloser       // never nil; the receiver closes it
	Whole       []byte              // the body, where it was read to its end; nil where it still comes
	Windows     []quota.Window
	Wait        time.Duration // for which X asks to be left alone (Retry-After), a day at most; 0: it does not ask
	Transaction string        // X's x-transaction-id
	Lost        int           // answers of X that were lost before: it may have performed the call so many times more
}

// ActionEndpoint is X API v2.
type ActionEndpoint interface {
	// Do performs the action and returns X's answer, whatever its status.
	// An error means that there is none: fault.Unavailable, with ErrUnsent in
	// its chain if nothing was sent, also because X would not have answered;
	// fault.Limited with ErrUnsent where X refuses for a while what the X App
	// asks; fault.Upstream for an answer that cannot be used, of which the reply
	// still holds the status; or the fault with which reading the call's body
	// failed. Reply.Lost is set beside an error too. The context governs Do and the reply's body until it is closed;
	// its deadline ends a write that X has been asked, but its end does not.
	Do(ctx context.Context, c Call) (Reply, error)
}
