package xhttp

import (
	"bytes"
	"context"
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

// reply is X's answer as the application sees it.
func reply(ctx context.Context, a xapi.Action, res *http.Response) (ports.Reply, error) {
	if res.StatusCode < http.StatusOK || !a.Binary && isPage(res.Header.Get("Content-Type")) {
		_ = res.Body.Close()
		return ports.Reply{}, fault.New(fault.Upstream,
			"X answered with a web page instead of JSON (status %d); try again later", res.StatusCode).
			Named("x-page").After(retryAfter(res.Header, time.Now()))
	}
	transaction := res.Header.Get("X-Transaction-Id")
	if !printable(transaction) {
		transaction = ""
	}
	return whole(ctx, a, ports.Reply{
		Status:      res.StatusCode,
		Header:      shown(res.Header),
		Length:      res.ContentLength,
		Body:        res.Body,
		Windows:     windows(res.Header, time.Now()),
		Transaction: clip(transaction, 100),
	})
}

// mostWhole is how many bytes of a reply are kept at once. X's pages are smaller.
const mostWhole = 4 << 20

// whole reads a reply to its end, unless it is a file, has no end, or is too
// long. One that breaks off is known by its status only.
func whole(ctx context.Context, a xapi.Action, r ports.Reply) (ports.Reply, error) {
	if a.Stream || a.Binary || r.Length > mostWhole {
		return r, nil
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, mostWhole+1))
	switch {
	case err != nil:
		_ = r.Body.Close()
		return ports.Reply{Status: r.Status, Windows: r.Windows, Transaction: r.Transaction},
			fault.New(fault.Upstream, "X's answer (status %d) broke off; whether it did what was asked is not known", r.Status).
				Named("x-broken-answer").Because(reason(ctx, err))
	case len(b) > mostWhole:
		r.Body = &resumed{io.MultiReader(bytes.NewReader(b), r.Body), r.Body}
		return r, nil
	}
	_ = r.Body.Close()
	r.Whole, r.Length, r.Body = b, int64(len(b)), io.NopCloser(bytes.NewReader(b))
	return r, nil
}

// resumed is a body of which some was read already.
type resumed struct {
	io.Reader
	io.Closer
}

func isPage(contentType string) bool {
	t, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	t = strings.TrimSpace(t)
	return t == "text/html" || t == "application/xhtml+xml"
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

// windows reads what X says of its limits. A window that is incomplete or makes
// no sense is left out: it would refuse calls that X allows.
func windows(h http.Header, now time.Time) []quota.Window {
	var all []quota.Window
	for _, span := range spans {
		limit, ok1 := number(h, span, "Limit")
		remaining, ok2 := number(h, span, "Remaining")
		reset, ok3 := number(h, span, "Reset")
		if !ok1 || !ok2 || !ok3 || remaining > limit || reset > now.Add(25*time.Hour).Unix() {
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
