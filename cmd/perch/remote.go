package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"perch/cmd/internal/config"
	"perch/domain/client"
	"perch/domain/secret"
)

// remote says which Perch to speak to, and how to show what it answers.
type remote struct {
	Server         string      `env:"PERCH_ADMIN_URL" placeholder:"URL" help:"Where operators reach Perch. Without it, what PERCH_ADMIN_LISTEN says, or else http://127.0.0.1:8081."`
	AdminToken     secret.Text `env:"PERCH_ADMIN_TOKEN" placeholder:"TOKEN" help:"An operator's token, or the founding one. Better in the variable or a file: command lines can be seen by others."`
	AdminTokenFile string      `env:"PERCH_ADMIN_TOKEN_FILE" placeholder:"FILE" help:"A file that holds the token; the flag wins over PERCH_ADMIN_TOKEN. Without either, ./perch.admin-token."`
	CAFile         string      `name:"ca-file" env:"PERCH_ADMIN_CA_FILE" placeholder:"FILE" help:"Certificates in PEM of authorities that vouch for Perch, besides those this machine trusts."`
	InsecureHTTP   bool        `name:"insecure-http" env:"PERCH_ADMIN_INSECURE_HTTP" help:"Send the token over plain HTTP to another machine. Whoever is on the way can read it."`
	JSON           bool        `name:"json" help:"Answer in JSON, for scripts."`
}

// An operator speaks to the operators' API of a Perch.
type operator struct {
	base   string
	token  secret.Text
	client *http.Client
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 16 << 20

// open returns an operator; it connects to nothing yet.
func (r remote) open(p *program) (*operator, error) {
	server, err := r.server(p)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, config.Mistakes{{Variable: "PERCH_ADMIN_URL", Say: "is no absolute URL, as http://127.0.0.1:8081"}}
	}
	if base.Scheme == "http" && !r.InsecureHTTP && !here(base.Hostname()) {
		return nil, misuse("the token would travel to " + base.Host + " in the open; use https://, or say --insecure-http " +
			"(PERCH_ADMIN_INSECURE_HTTP=true) if nobody else can read what is on the way")
	}
	token, err := r.token(p)
	if err != nil {
		return nil, err
	}
	secure, err := r.transit(p)
	if err != nil {
		return nil, err
	}
	return &operator{
		base:  strings.TrimSuffix(server, "/"),
		token: token,
		client: &http.Client{
			Transport:     through(secure),
			Timeout:       time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// here reports whether the host is this machine itself.
func here(host string) bool {
	addr, err := netip.ParseAddr(host)
	return client.Loopback(host) || err == nil && addr.Unmap().IsLoopback()
}

// server is where the operators' door is. Without PERCH_ADMIN_URL it is where
// perch serve with the same variables opens it.
func (r remote) server(p *program) (string, error) {
	if r.Server != "" {
		return r.Server, nil
	}
	scheme, listen := "http://", p.settings.Lookup("PERCH_ADMIN_LISTEN")
	if p.settings.Lookup("PERCH_TLS_CERT_FILE") != "" {
		scheme = "https://"
	}
	switch listen {
	case "":
		return scheme + "127.0.0.1:8081", nil
	case config.Off:
		return "", misuse("PERCH_ADMIN_LISTEN (off) gives operators no way into this Perch; set it to an address, as " +
			"127.0.0.1:8081, and start Perch again, or name another Perch with --server or PERCH_ADMIN_URL")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return "", misuse("PERCH_ADMIN_LISTEN (" + listen + ") does not tell where operators reach Perch; " +
			"say it with --server or PERCH_ADMIN_URL")
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port), nil
}

// token is the operator's token. What was said on the command line wins over
// variables, and a variable over the usual file.
func (r remote) token(p *program) (secret.Text, error) {
	file, off := r.AdminTokenFile, r.AdminToken.Reveal() == config.Off
	fileFlag := file != "" && file != p.settings.Lookup("PERCH_ADMIN_TOKEN_FILE")
	tokenFlag := !r.AdminToken.Equal(secret.New(p.settings.Lookup("PERCH_ADMIN_TOKEN")))
	switch {
	case tokenFlag && fileFlag:
		return secret.Text{}, misuse("--admin-token and --admin-token-file are both given; keep one")
	case !r.AdminToken.Empty() && !fileFlag && !off:
		return r.AdminToken, nil
	case file != "":
		return p.ownToken(file)
	case off:
		return secret.Text{}, misuse("PERCH_ADMIN_TOKEN is off, so the founding token lets nobody in; give an operator's " +
			"token with --admin-token-file or PERCH_ADMIN_TOKEN_FILE")
	}
	file = config.DefaultAdminTokenFile
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return secret.Text{}, config.Mistakes{{Variable: "PERCH_ADMIN_TOKEN", Say: "is not set, and there is no " + file +
			" here; set it, or run this where perch serve runs"}}
	}
	return p.ownToken(file)
}

// A problem is why Perch refused (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Status int    `json:"status"`
	server string // who refused
}

// is reports whether the problem's type ends with the slug.
func (p problem) is(slug string) bool { return strings.HasSuffix(p.Type, ":"+slug) }

func (p problem) Error() string {
	say := p.Detail
	if say == "" {
		say = p.Title
	}
	switch {
	case p.is("no-such-grant"): // Perch speaks of what clients call
		say = "there is no such grant, or it is another client application's; perch grants list shows whose each is"
	case p.Status == http.StatusUnauthorized:
		say += "; " + p.server + " was asked (--server names another), with the token from " +
			"--admin-token-file, PERCH_ADMIN_TOKEN or " + config.DefaultAdminTokenFile
	}
	return fmt.Sprintf("%s (status %d)", printable(say), p.Status)
}

// errNoAnswer marks calls that Perch did not answer at all.
var errNoAnswer = errors.New("no Perch answers")

// call sends in as JSON, if there is any, and reads the answer into out.
func (o *operator) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, o.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+o.token.Reveal())
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := o.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w at %s (%s); start it with perch serve, or name another with --server",
			errNoAnswer, o.base, inWords(err))
	}
	defer func() { _ = res.Body.Close() }()
	return o.read(res, out)
}

func (o *operator) read(res *http.Response, out any) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the answer of %s broke off (%s); look whether it was done before doing it again",
			o.base, inWords(err))
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		refusal := problem{}
		if json.Unmarshal(text, &refusal) != nil || refusal.Detail+refusal.Title == "" {
			refusal.Title = "whoever listens at " + o.base + " did not answer as Perch does; check --server"
		}
		refusal.Status, refusal.server = res.StatusCode, o.base
		return refusal
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the answer of %s is not what Perch answers; check --server", o.base)
	}
	return nil
}

// list reads all pages of a list.
func (o *operator) list(ctx context.Context, path string, query url.Values) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	query.Set("limit", "200")
	for {
		var page struct {
			Data []json.RawMessage `json:"data"`
			Next string            `json:"next"`
		}
		if err := o.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if page.Next == "" || page.Next == query.Get("after") {
			return all, nil
		}
		query.Set("after", page.Next)
	}
}
