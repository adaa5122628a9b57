package demo_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"perch/clients/demo"
)

func get(method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	demo.Handler(demo.Settings{BaseURL: "https://perch.example/", ClientID: "pk_demo"}).
		ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestHandlerServesThePage(t *testing.T) {
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8",
		"/cards.js": "text/javascript; charset=utf-8", "/perch.js": "text/javascript; charset=utf-8",
		"/style.css": "text/css; charset=utf-8", "/perch.svg": "image/svg+xml", "/config.json": "application/json",
	} {
		r := get(http.MethodGet, path)
		if r.Code != http.StatusOK || r.Header().Get("Content-Type") != kind {
			t.Errorf("GET %s: %d %q, want 200 %q", path, r.Code, r.Header().Get("Content-Type"), kind)
		}
	}
	for _, path := range []string{"/demo.go", "/nothing", "/index.html/", "/../demo.go"} {
		if r := get(http.MethodGet, path); r.Code != http.StatusNotFound {
			t.Errorf("GET %s: %d, want 404", path, r.Code)
		}
	}
	if r := get(http.MethodPost, "/"); r.Code != http.StatusMethodNotAllowed || r.Header().Get("Allow") == "" {
		t.Errorf("POST /: %d, Allow %q", r.Code, r.Header().Get("Allow"))
	}
}

func TestHandlerConfig(t *testing.T) {
	r := get(http.MethodGet, "/config.json")
	const want = `{"base_url":"https://perch.example","client_id":"pk_demo"}`
	if got := r.Body.String(); got != want {
		t.Errorf("config.json is %q, want %q", got, want)
	}
	if got := r.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("config.json: Cache-Control %q", got)
	}
}

func TestHandlerHeaders(t *testing.T) {
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
		"connect-src 'self' https://perch.example; img-src 'self' data:; form-action 'none'; base-uri 'none'; " +
		"frame-ancestors 'none'"
	for _, path := range []string{"/", "/app.js", "/config.json", "/nothing"} {
		h := get(http.MethodGet, path).Header()
		if got := h.Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s: policy %q, want %q", path, got, policy)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v lacks nosniff or no-referrer", path, h)
		}
	}
}

// The policy would break inline scripts and styles silently, and anything from elsewhere.
func TestPageKeepsItsOwnPolicy(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:[^>]*)>[^<]|(?:src|href)="(?:https?:)?//`)
	if found := inline.FindString(get(http.MethodGet, "/").Body.String()); found != "" {
		t.Errorf("index.html has %q, which its policy does not allow", found)
	}
}
