package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	Server         string      `env:"PERCH_ADMIN_URL" default:"http://127.0.0.1:8081" placeholder:"URL" help:"Where operators reach Perch."`
	AdminToken     secret.Text `env:"PERCH_ADMIN_TOKEN" placeholder:"TOKEN" help:"The operators' token. Better in the variable or a file: command lines can be seen."`
	AdminTokenFile string      `env:"PERCH_ADMIN_TOKEN_FILE" placeholder:"FILE" help:"A file that holds the operators' token. Without either, ./perch.admin-token."`
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
	base, err := url.Parse(r.Server)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, config.Mistakes{{Variable: "PERCH_ADMIN_URL", Say: "is no absolute URL, as http://127.0.0.1:8081"}}
	}
	token, err := r.token(p)
	if err != nil {
		return nil, err
	}
	if base.Scheme == "http" && !client.Loopback(base.Hostname()) {
		p.note("perch: the operators' token travels to %s unencrypted; use https outside a private network\n", base.Host)
	}
	return &operator{
		base:  strings.TrimSuffix(r.Server, "/"),
		token: token,
		client: &http.Client{
			Timeout:       time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func (r remote) token(p *program) (secret.Text, error) {
	if !r.AdminToken.Empty() {
		return r.AdminToken, nil
	}
	file := r.AdminTokenFile
	if file == "" {
		file = config.DefaultAdminTokenFile
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			return secret.Text{}, config.Mistakes{{Variable: "PERCH_ADMIN_TOKEN", Say: "is not set, and there is no " + file +
				" here; set it, or run this where perch serve runs"}}
		}
	}
	token, mistakes := p.settings.Secret("PERCH_ADMIN_TOKEN", file)
	if len(mistakes) > 0 {
		return secret.Text{}, mistakes
	}
	return token, nil
}

// A problem is why Perch refused (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Status int    `json:"status"`
}

func (p problem) Error() string {
	say := p.Detail
	if say == "" {
		say = p.Title
	}
	if p.Status == http.StatusUnauthorized {
		say += "; the operators' token comes from --admin-token-file, PERCH_ADMIN_TOKEN or " + config.DefaultAdminTokenFile
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
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which the sentence names already
		}
		return fmt.Errorf("%w at %s (%w); start it with perch serve, or name another with --server", errNoAnswer, o.base, err)
	}
	defer func() { _ = res.Body.Close() }()
	return o.read(res, out)
}

func (o *operator) read(res *http.Response, out any) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the answer of %s broke off: %w", o.base, err)
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		refusal := problem{}
		if json.Unmarshal(text, &refusal) != nil || refusal.Detail+refusal.Title == "" {
			refusal.Title = "whoever listens at " + o.base + " did not answer as Perch does; check --server"
		}
		refusal.Status = res.StatusCode
		return refusal
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the answer of %s is not what Perch answers (%w); check --server", o.base, err)
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
