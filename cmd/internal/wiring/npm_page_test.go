package wiring_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"perch/adapters/xhttp/xsim"
	"perch/ports/conformance"
)

// npmTab returns a tab of a Chromium with a fresh profile, or skips the test
// where there is none.
func npmTab(t *testing.T) context.Context {
	t.Helper()
	path := os.Getenv("PERCH_CHROMIUM")
	if path == "" {
		path = "/usr/bin/chromium"
	}
	if _, err := exec.LookPath(path); err != nil {
		conformance.Absent(t, "chromium", err.Error()+"; install Chromium or name one in PERCH_CHROMIUM")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU, chromedp.Flag("headless", "new"),
		chromedp.WSURLReadTimeout(2*time.Minute),
		chromedp.Flag("disable-component-update", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with it
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })                                // waits until the browser has gone, before its profile goes
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("true")); err != nil { // the browser lives as long as ctx
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// npmPage serves the page that uses oauth4webapi, at an origin of its own, and
// returns its URL. What the page knows of Perch is what know returns.
func npmPage(t *testing.T, know func(origin string) object) string {
	t.Helper()
	at := func(name, path string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self' http:")
			if filepath.Ext(name) == ".mjs" {
				w.Header().Set("Content-Type", "text/javascript")
			}
			http.ServeFile(w, r, filepath.Join(npmFolder, path))
		}
	}
	s := httptest.NewUnstartedServer(nil)
	t.Cleanup(s.Close)
	origin := "http://" + s.Listener.Addr().String()
	known := []byte(jsonOf(t, know(origin)))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /back", at("page.html", "page.html"))
	for _, name := range []string{"page.mjs", "journey.mjs"} {
		mux.HandleFunc("GET /"+name, at(name, name))
	}
	mux.HandleFunc("GET /oauth4webapi.js", at("oauth4webapi.js", "node_modules/oauth4webapi/build/index.js"))
	mux.HandleFunc("GET /settings.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(known) // the browser may be gone
	})
	s.Config.Handler = mux
	s.Start()
	return origin + "/back"
}

// inNPMPage opens the page, approves at X in a box, and returns what the page
// has seen once it is back.
func inNPMPage(ctx context.Context, t *testing.T, url string) []object {
	t.Helper()
	do := func(name string, step chromedp.Action[chromedp.Void]) {
		t.Helper()
		within, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		if err := chromedp.Do(within, step); err != nil {
			text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + ": " + document.body.innerText`))
			t.Fatalf("%s: %v; the page is %.2000s", name, err, text)
		}
	}
	do("open the page", chromedp.Navigate(url))
	do("wait for X", chromedp.WaitVisible(chromedp.CSS("#approve, #report:not(:empty)")))
	do("approve", chromedp.Click(chromedp.CSS("#approve")))
	do("wait for the end", chromedp.WaitVisible(chromedp.CSS("#report:not(:empty)")))
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("#report").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	return npmSaid(t, text)
}

func TestOAuth4WebAPICompletesTheJourneyInChromium(t *testing.T) {
	needNPM(t)
	tab := npmTab(t)
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	h := open(t, settings(t, environments()[0], at))
	var know object
	url := npmPage(t, func(origin string) object {
		know = npmKnows(h, h.register(t, origin, ""))
		return know
	})
	if diff := cmp.Diff(npmJourney(know), inNPMPage(tab, t, url)); diff != "" {
		t.Errorf("the page says (-want +got):\n%s", diff)
	}
}
