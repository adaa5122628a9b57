package httpapi

import (
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// behind starts a door that knows the proxies and answers with the client's
// address, and returns where it is.
func behind(t *testing.T, publicURL string, proxies ...string) string {
	t.Helper()
	cfg := Config{PublicURL: publicURL, Proxies: prefixes(proxies...)}
	s := newServer(cfg, Services{}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	tell := func(_ *Server, r *request) error {
		r.json(plainJSON, map[string]string{"addr": r.addr.String()})
		return nil
	}
	s.mount([]route{
		{"GET", "/addr", guardAnyone, shareNobody, noLimit, problems, tell},
		{"POST", "/addr", guardAnyone, shareNobody, smallLimit, problems, tell},
	})
	ln := listenLocal(t)
	run(t, s, ln)
	return "http://" + ln.Addr().String()
}

// told sends a request with the headers and returns the status and the address or
// the detail that came back.
func told(t *testing.T, base, request string, headers ...string) string {
	t.Helper()
	head := request + " HTTP/1.1\r\nHost: a\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	got := raw(t, base, head+"Connection: close\r\n\r\n0\r\n\r\n")
	status, _, _ := strings.Cut(strings.TrimPrefix(got, "HTTP/1.1 "), " ")
	_, body, _ := strings.Cut(got, "\r\n\r\n")
	var doc map[string]any
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("%q: %v", got, err)
	}
	if addr, ok := doc["addr"].(string); ok {
		return status + " " + addr
	}
	detail, _ := doc["detail"].(string)
	return status + " " + detail
}

// Attack 3.
func TestForwardedHeadersOfStrangersMeanNothing(t *testing.T) {
	for _, base := range []string{
		behind(t, "https://perch.example"), behind(t, "https://perch.example", "10.0.0.0/8", "127.0.0.2/32"),
	} {
		for _, headers := range [][]string{
			{"X-Forwarded-For: 192.0.2.1"}, {"X-Forwarded-For: no address"}, {"X-Forwarded-For: 10.0.0.1, 10.0.0.2"},
			{"X-Forwarded-Proto: http", "Authorization: Bearer x"}, {"X-Forwarded-Proto: gopher"},
			{"Forwarded: for=192.0.2.1;proto=http"}, {"X-Real-IP: 192.0.2.1"}, {"X-Client-IP: 192.0.2.1"},
			{"X-Forwarded-Host: evil.example"}, {"X-Forwarded-Prefix: /x"}, {"True-Client-IP: 192.0.2.1"},
		} {
			if got := told(t, base, "GET /addr", headers...); got != "200 127.0.0.1" {
				t.Errorf("%q: %s", headers, got)
			}
		}
	}
}

func TestATrustedProxyNamesTheClientFromTheRight(t *testing.T) {
	base := behind(t, "https://perch.example", "127.0.0.1/32", "10.0.0.0/8", "2001:db8:1::/48")
	for names, want := range map[string]string{
		"192.0.2.1":                              "200 192.0.2.1",
		"192.0.2.9, 192.0.2.1":                   "200 192.0.2.1",
		"invented, 192.0.2.1":                    "200 192.0.2.1",
		"10.9.9.9, 192.0.2.1":                    "200 192.0.2.1",
		"192.0.2.1, 10.0.0.7":                    "200 192.0.2.1",
		"192.0.2.1,10.0.0.7 ,\t127.0.0.1":        "200 192.0.2.1",
		"6.6.6.6, 192.0.2.1, 10.0.0.7":           "200 192.0.2.1",
		"192.0.2.1, 2001:db8:1::7":               "200 192.0.2.1",
		"2001:db8:2::1, 10.0.0.7":                "200 2001:db8:2::1",
		"::ffff:192.0.2.1":                       "200 192.0.2.1",
		"192.0.2.1, ::ffff:10.0.0.7":             "200 192.0.2.1",
		"192.0.2.1:4711":                         "200 192.0.2.1",
		"[2001:db8:2::1]:4711":                   "200 2001:db8:2::1",
		"[2001:db8:2::1]":                        "200 2001:db8:2::1",
		"10.0.0.1, 10.0.0.2":                     "200 10.0.0.1",
		"unknown":                                "400",
		"192.0.2.1, unknown":                     "400",
		"192.0.2.1, _hidden, 10.0.0.7":           "400",
		"192.0.2.1,":                             "400",
		",":                                      "400",
		"192.0.2.1 10.0.0.7":                     "400",
		"192.0.2.256":                            "400",
		"fe80::1%eth0":                           "400",
		"127.1":                                  "400",
		"0x7f.0.0.1":                             "400",
		"192.0.2.1:99999":                        "400",
		"\"192.0.2.1\"":                          "400",
		strings.Repeat("10.0.0.1, ", 1000) + "x": "400",
	} {
		if got := told(t, base, "GET /addr", "X-Forwarded-For: "+names); !strings.HasPrefix(got, want) {
			t.Errorf("%.60s: %s, want %s", names, got, want)
		}
	}
	if got := told(t, base, "GET /addr"); got != "200 127.0.0.1" {
		t.Errorf("without the header: %s", got)
	}
	if got := told(t, base, "GET /addr", "X-Forwarded-For: 192.0.2.1", "x-forwarded-for: 192.0.2.2"); got[:3] != "400" {
		t.Errorf("the header twice: %s", got)
	}
}

func TestASecretThatCameToTheProxyInTheOpenIsRefused(t *testing.T) {
	base := behind(t, "https://perch.example", "127.0.0.1/32")
	const open = "403 this request came over plain HTTP"
	for _, c := range []struct {
		proto, request string
		headers        []string
		want           string
	}{
		{"http", "GET /addr", []string{"Authorization: Bearer x"}, open},
		{"HTTP", "GET /addr", []string{"Cookie: __Host-perch=x"}, open},
		{"http", "GET /addr", []string{"DPoP: x"}, open},
		{"http", "GET /addr?code=x", nil, open},
		{"http", "POST /addr", []string{"Content-Length: 1"}, open},
		{"http", "POST /addr", []string{"Transfer-Encoding: chunked"}, open},
		{"https, http", "GET /addr?a", nil, open},
		{"http,https", "GET /addr?a", nil, open},
		{"http", "GET /addr", nil, "200"},
		{"https", "GET /addr?a", []string{"Authorization: Bearer x"}, "200"},
		{"HTTPS , https", "GET /addr?a", nil, "200"},
		{"gopher", "GET /addr", nil, "400"},
		{"https,", "GET /addr", nil, "400"},
	} {
		if got := told(t, base, c.request, append(c.headers, "X-Forwarded-Proto: "+c.proto)...); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s over %s with %q: %s, want %s", c.request, c.proto, c.headers, got, c.want)
		}
	}
	if got := told(t, base, "GET /addr", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"); got[:3] != "400" {
		t.Errorf("the header twice: %s", got)
	}
	base = behind(t, "http://127.0.0.1:1", "127.0.0.1/32")
	if got := told(t, base, "GET /addr?a", "X-Forwarded-Proto: http", "Authorization: Bearer x"); got[:3] != "200" {
		t.Errorf("where the public URL is http itself: %s", got)
	}
}

// URLs are built of the public URL alone, whatever a request or even a trusted
// proxy says.
func TestNoHeaderChangesTheURLsWeBuild(t *testing.T) {
	h := build(t, plan{proxies: []string{"127.0.0.0/8"}})
	for _, headers := range []string{
		"Host: evil.example\r\n", "Host: a\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n",
		"Host: a\r\nForwarded: host=evil.example;proto=https\r\nX-Forwarded-Server: evil.example\r\n",
		"Host: a\r\nX-Original-URL: http://evil.example/\r\nX-Rewrite-URL: /evil.example\r\nX-Forwarded-Prefix: /evil.example\r\n",
	} {
		for _, path := range []string{
			"/.well-known/oauth-authorization-server",
			"/oauth/authorize?response_type=code&client_id=" + h.pk + "&redirect_uri=" + returnTo +
				"&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&scope=tweet.read",
			"/oauth/authorize?client_id=nobody", "/oauth/callback?state=x", "/2/users/me", "/nothing",
		} {
			got := raw(t, h.public, "GET "+path+" HTTP/1.1\r\n"+headers+"\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 ") || strings.Contains(got, "evil") {
				t.Errorf("%s with %q: %.600q", path, headers, got)
			}
		}
	}
	got := raw(t, h.public, "GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	if !strings.Contains(got, `"issuer":"`+h.public+`"`) {
		t.Errorf("the issuer is another: %q", got)
	}
}
