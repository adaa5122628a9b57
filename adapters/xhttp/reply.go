package xhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/domain/xapi"
	"perch/ports"
)

// visible lists the headers of X a client may see. Cookies, CORS, redirects and
// whatever belongs to the connection stay here.
var visible = []string{
	"Content-Type", "Content-Encoding", "Content-Language", "Retry-After",
	"X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset",
	"X-User-Limit-24hour-Limit", "X-User-Limit-24hour-Remaining", "X-User-Limit-24hour-Reset",
	"X-App-Limit-24hour-Limit", "X-App-Limit-24hour-Remaining", "X-App-Limit-24hour-Reset",
	"X-Transaction-Id", "X-Access-Level", "X-Response-Time", "Api-Version",
}

var spans = []quota.Span{quota.Short, quota.UserDay, quota.AppDay}

// pageSlug names the fault of X answering with a web page.
const pageSlug = "x-page"

// reply is X's answer as the application sees it. body is closed unless it is
// handed on.
func (g *Gateway) reply(ctx context.Context, a xapi.Action, res *http.Response, body *incoming) (ports.Reply, error) {
	transaction := res.Header.Get("X-Transaction-Id")
	if !printable(transaction) {
		transaction = ""
	}
	r := ports.Reply{
		Status:      res.StatusCode,
		Header:      shown(res.Header),
		Length:      res.ContentLength,
		Body:        body,
		Windows:     windows(res.Header, time.Now()),
		Wait:        xapi.RetryAfter(res.Header["Retry-After"], time.Now()),
		Transaction: clip(transaction, 100),
	}
	if moved(r.Status) {
		_ = body.Close()
		r.Body = http.NoBody
		return r, fault.New(fault.Upstream, "X sent the call elsewhere (status %d), where Perch does not follow; %s",
			r.Status, inDoubt(a)).
			Named("x-broken-answer").After(r.Wait)
	}
	if res.StatusCode < http.StatusOK ||
		!a.Binary && kindOf(res.Header) == page && r.Status != http.StatusTooManyRequests { // which a page says too
		_ = body.Close()
		r.Body = http.NoBody
		return r, fault.New(fault.Upstream, "X answered with a web page instead of JSON (status %d); %s",
			r.Status, inDoubt(a)).
			Named(pageSlug).After(r.Wait)
	}
	if (a.Stream || a.Binary) && r.Status < http.StatusBadRequest || r.Length > mostWhole {
		return r, nil
	}
	return g.whole(ctx, a, res, r, body)
}

// moved reports whether X points elsewhere, where nobody knows what would answer.
func moved(status int) bool { return status/100 == 3 }

// mostWhole is how many bytes of a reply are kept at once. X's pages are smaller.
const mostWhole = 4 << 20

// whole reads a reply to its end, unless it is too long. One that breaks off, or
// says that it is JSON and is not, is known by its status only.
func (g *Gateway) whole(
	ctx context.Context, a xapi.Action, res *http.Response, r ports.Reply, body *incoming,
) (ports.Reply, error) {
	b, err := body.all(mostWhole+1, g.patience)
	if err == nil && len(b) > mostWhole {
		r.Body = &resumed{io.MultiReader(bytes.NewReader(b), body), body}
		return r, nil
	}
	_ = body.Close()
	if err == nil {
		b, err = unpack(res.Header, r, b)
	}
	if err == nil && !sound(res, b) {
		err = errNotJSON
	}
	if err != nil {
		r.Body = http.NoBody
		return r, fault.New(fault.Upstream, "X's answer (status %d) broke off or cannot be read; %s", r.Status, inDoubt(a)).
			Named("x-broken-answer").Because(reason(ctx, err))
	}
	if b == nil {
		b = []byte{}
	}
	r.Whole, r.Length, r.Body = b, int64(len(b)), io.NopCloser(bytes.NewReader(b))
	return r, nil
}

var errNotJSON = errors.New("the answer is not the JSON it says it is")

// sound reports whether an answer that says it is JSON is. One with an error may
// be empty.
func sound(res *http.Response, body []byte) bool {
	if kindOf(res.Header) != inJSON || res.Header.Get("Content-Encoding") != "" ||
		len(body) == 0 && (res.StatusCode == http.StatusNoContent || res.StatusCode >= http.StatusBadRequest) {
		return true
	}
	return json.Valid(body)
}

// resumed is a body of which some was read already.
type resumed struct {
	io.Reader
	io.Closer
}

// The kinds of content that are told apart.
const (
	page   = "page"
	inJSON = "json"
)

func kindOf(h http.Header) string {
	t, _, _ := strings.Cut(strings.ToLower(h.Get("Content-Type")), ";")
	switch t = strings.TrimSpace(t); {
	case t == "text/html", t == "application/xhtml+xml":
		return page
	case t == "application/json", strings.HasSuffix(t, "+json"):
		return inJSON
	}
	return ""
}

func shown(h http.Header) map[string][]string {
	out := map[string][]string{}
	for _, name := range visible {
		for _, v := range h[name] {
			if printable(v) {
				out[name] = append(out[name], v)
			}
		}
	}
	if v, ok := disposition(h.Get("Content-Disposition")); ok {
		out["Content-Disposition"] = []string{v}
	}
	return out
}

// disposition writes a download's name anew, as a bare name, quoted.
func disposition(v string) (string, bool) {
	kind, params, err := mime.ParseMediaType(v)
	if err != nil || kind != "attachment" && kind != "inline" {
		return "", false
	}
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:"`, r) {
			return '_'
		}
		return r
	}, params["filename"])
	if strings.Trim(name, ".") == "" {
		return kind, true
	}
	v = mime.FormatMediaType(kind, map[string]string{"filename": name})
	return v, v != ""
}

// farthest is how far away the end of one of X's windows can be.
const farthest = 25 * time.Hour

// windows reads what X says of its limits. A window that is incomplete or makes
// no sense is left out: it would refuse calls that X allows.
func windows(h http.Header, now time.Time) []quota.Window {
	var all []quota.Window
	for _, span := range spans {
		limit, ok1 := number(h, span, "Limit")
		remaining, ok2 := number(h, span, "Remaining")
		reset, ok3 := number(h, span, "Reset")
		if !ok1 || !ok2 || !ok3 || remaining > limit || reset > now.Add(farthest).Unix() {
			continue
		}
		all = append(all, quota.Window{
			Span: span, Limit: limit, Remaining: remaining, Reset: time.Unix(reset, 0).UTC(),
		})
	}
	return all
}

func number(h http.Header, span quota.Span, part string) (int64, bool) {
	n, err := strconv.ParseInt(h.Get("X-"+string(span)+"-"+part), 10, 64)
	return n, err == nil && n >= 0
}
