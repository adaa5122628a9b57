// Package demo is the demo frontend of Perch: one page that connects an X
// account, posts, replies, likes and deletes. It is plain HTML, CSS and ES
// modules without a build step, and perch.js may be copied into other frontends
// as it is.
package demo

import (
	"embed"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

//go:embed index.html app.js cards.js perch.js style.css perch.svg
var assets embed.FS

// types are the media types of the assets, by path. What is not here is not served.
var types = map[string]string{
	"/index.html": "text/html; charset=utf-8",
	"/app.js":     "text/javascript; charset=utf-8",
	"/cards.js":   "text/javascript; charset=utf-8",
	"/perch.js":   "text/javascript; charset=utf-8",
	"/style.css":  "text/css; charset=utf-8",
	"/perch.svg":  "image/svg+xml",
}

// Settings are what the page must know. All of them are public.
type Settings struct {
	BaseURL      string `json:"base_url"`                // of Perch, without a slash at the end
	ClientID     string `json:"client_id"`               // a publishable key; the page's own URL is the redirect URI
	SimulatorURL string `json:"simulator_url,omitempty"` // of X in a box; empty for the real X
}

// Handler serves the page at "/". The redirect URI to register for it is its
// origin followed by "/".
func Handler(settings Settings) http.Handler {
	settings.BaseURL = strings.TrimRight(settings.BaseURL, "/")
	policy := policyFor(settings.BaseURL)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // the page's URL holds a code for a moment
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "The demo can only be read; use GET.", http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Path == "/config.json" {
			serveConfig(w, settings)
			return
		}
		serveAsset(w, r.URL.Path)
	})
}

// policyFor is the Content-Security-Policy: the page talks to itself and to
// Perch, and to nobody else.
func policyFor(baseURL string) string {
	connect := "'self'"
	if u, err := url.Parse(baseURL); err == nil && u.Scheme != "" && u.Host != "" {
		connect += " " + u.Scheme + "://" + u.Host
	}
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src " + connect,
		"img-src 'self' data:", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'",
	}, "; ")
}

func serveConfig(w http.ResponseWriter, settings Settings) {
	body, err := json.Marshal(settings)
	if err != nil { // unreachable: three strings
		http.Error(w, "The demo cannot write its settings.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // the browser may be gone; there is nobody to tell
}

func serveAsset(w http.ResponseWriter, path string) {
	if path == "/" {
		path = "/index.html"
	}
	kind, known := types[path]
	body, err := assets.ReadFile(strings.TrimPrefix(path, "/"))
	if !known || err != nil {
		http.Error(w, "The demo has no such page; it starts at /.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body) // #nosec G705 -- an embedded file; the browser may be gone, there is nobody to tell
}
