// Package cloudflare keeps things at Cloudflare: in D1 through a database/sql
// driver, and in Workers KV. Both speak to Cloudflare's REST API, or to the store
// Worker, which has the same paths and none of the API's limit of 1200 calls in
// five minutes.
package cloudflare

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/secret"
)

// DefaultURL is where Cloudflare's own API is.
const DefaultURL = "https://api.cloudflare.com/client/v4"

// Bounds of one call whose context has no sooner end, and of its parts.
const (
	callPatience    = 35 * time.Second // the API itself gives up after 30
	connectPatience = 5 * time.Second
	idleConns       = 32
)

// mostBytes is how much of a reply is read.
const mostBytes = 16 << 20

// Config says where the API is and who asks.
type Config struct {
	URL     string // without a slash at its end; empty for DefaultURL
	Account string
	Token   secret.Text
}

// A Client makes calls of the REST API in the name of one account. It may be used
// by several goroutines.
type Client struct {
	root  string // of the account
	token secret.Text
	http  *http.Client
}

// NewClient returns a client. The URL must be https, unless it leads to this
// machine.
func NewClient(cfg Config) (*Client, error) {
	if cfg.URL == "" {
		cfg.URL = DefaultURL
	}
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the URL of Cloudflare's API cannot be read; write it as " + DefaultURL)
	case u.Scheme != "https" && (u.Scheme != "http" || !client.Loopback(u.Hostname())):
		return nil, fmt.Errorf("the API at %s must be spoken to by https; only 127.0.0.1, [::1] and localhost "+
			"may do without", u.Host)
	case cfg.Account == "":
		return nil, errors.New("the account at Cloudflare has no ID")
	case cfg.Token.Empty():
		return nil, errors.New("there is no API token for Cloudflare")
	}
	return &Client{
		root:  strings.TrimSuffix(u.String(), "/") + "/accounts/" + url.PathEscape(cfg.Account),
		token: cfg.Token,
		http: &http.Client{
			Timeout: callPatience,
			// A token must not follow wherever a reply points to.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: connectPatience}).DialContext,
				TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
				TLSHandshakeTimeout: connectPatience,
				ForceAttemptHTTP2:   true,
				MaxIdleConnsPerHost: idleConns,
				IdleConnTimeout:     time.Minute,
			},
		},
	}, nil
}

// Close closes connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// A Call is one request to the API.
type Call struct {
	Method string
	Path   string // below the account, escaped, with a slash before and the query behind
	Type   string // of the body; empty for JSON
	Body   []byte
	Repeat bool // whether the call may be sent again where a connection was lost; GET always may
}

// Do makes the call and returns what was answered with success, whatever it is.
// Anything else is an *Error. A call that writes is sent once; one that may be
// repeated is, once, where its reply broke off.
func (c *Client) Do(ctx context.Context, call Call) ([]byte, error) {
	body, err := c.once(ctx, call)
	if errors.Is(err, io.ErrUnexpectedEOF) && (call.Repeat || call.Method == http.MethodGet) {
		return c.once(ctx, call)
	}
	return body, err
}

func (c *Client) once(ctx context.Context, call Call) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, call.Method, c.root+call.Path, bytes.NewReader(call.Body))
	if err != nil {
		return nil, fmt.Errorf("a call of Cloudflare's API cannot be made: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	if len(call.Body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	if call.Type != "" {
		r.Header.Set("Content-Type", call.Type)
	}
	if call.Repeat {
		r.Header["Idempotency-Key"] = []string{} // not sent; it tells the transport
	}
	reply, err := c.http.Do(r) // #nosec G704 -- the host is the operator's
	if err != nil {
		return nil, c.lost(err)
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(reply.Body, mostBytes+1))
	switch {
	case reply.StatusCode/100 != 2:
		return nil, c.refused(reply, body)
	case err != nil:
		return nil, c.lost(err)
	case len(body) > mostBytes:
		return nil, &Error{Status: reply.StatusCode, Say: fmt.Sprintf("the reply has more than %d bytes", mostBytes)}
	}
	return body, nil
}

// Ask makes the call and reads the result that the reply wraps into the value,
// and what it says about lists into about. Both may be nil.
func (c *Client) Ask(ctx context.Context, call Call, into, about any) error {
	body, err := c.Do(ctx, call)
	if err != nil {
		return err
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil || e.Success == nil {
		return unreadable(err)
	}
	if !*e.Success {
		return c.said(http.StatusOK, e)
	}
	if into != nil {
		err = json.Unmarshal(e.Result, into)
	}
	if err == nil && about != nil && len(e.Info) > 0 {
		err = json.Unmarshal(e.Info, about)
	}
	if err != nil {
		return unreadable(err)
	}
	return nil
}

type envelope struct {
	Success *bool           `json:"success"`
	Errors  []envelopeError `json:"errors"`
	Result  json.RawMessage `json:"result"`
	Info    json.RawMessage `json:"result_info"`
}

type envelopeError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}
