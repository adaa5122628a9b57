package demo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"perch/ports/conformance"
)

const chromium = "chromium"

// patience is how long a part of the story may take, or the start of the browser,
// on a busy machine.
const patience = 2 * time.Minute

// A tab is one real browser tab with a recorder on it.
type tab struct {
	t   *testing.T
	ctx context.Context
	rec *recorder
}

// browser is where Chromium is; the test is skipped where there is none.
func browser(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PERCH_CHROMIUM")
	if path == "" {
		path = "/usr/bin/chromium"
	}
	if _, err := exec.LookPath(path); err != nil {
		conformance.Absent(t, chromium, fmt.Sprintf("%v; install Chromium or name one in PERCH_CHROMIUM", err))
	}
	return path
}

// open starts Chromium with a fresh profile.
func open(t *testing.T) tab {
	t.Helper()
	path := browser(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1100, 900),
		chromedp.WSURLReadTimeout(patience), chromedp.DisableGPU, chromedp.Flag("headless", "new"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with it
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	rec := newRecorder()
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(rec.event))
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until the browser has gone, before its profile goes
	size := int64(64 << 20)
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{
		MaxTotalBufferSize: &size, MaxResourceBufferSize: &size, MaxPostDataSize: &size,
	})
	if err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return tab{t, ctx, rec}
}

// do performs the steps of one part of the story.
func (b tab) do(part string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for i, step := range steps {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		err := chromedp.Do(ctx, step)
		cancel()
		if err != nil {
			page, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.origin + ": " + document.body.innerText`))
			b.t.Fatalf("%s: step %d: %v\nconsole: %v\npage %.2000s", part, i+1, err, b.rec.complaints(), page)
		}
	}
	b.look(part)
}

// look captures what the page is and holds now, with all bodies that have come.
func (b tab) look(part string) {
	b.t.Helper()
	b.rec.settle(b.ctx, b.t)
	held, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`JSON.stringify([location.href, {...localStorage},
		{...sessionStorage}, document.cookie, history.state, window.name, document.documentElement.outerHTML])`))
	if err != nil {
		b.t.Fatalf("%s: look at the page: %v", part, err)
	}
	jar, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		b.t.Fatalf("%s: look at the cookies: %v", part, err)
	}
	cookies, err := json.Marshal(jar.Cookies)
	if err != nil {
		b.t.Fatal(err)
	}
	b.rec.keep(held, string(cookies))
}

// block lets requests to the patterns fail from now on, and no others.
func (b tab) block(patterns ...string) {
	b.t.Helper()
	var all []*network.BlockPattern
	for _, p := range patterns {
		all = append(all, &network.BlockPattern{URLPattern: p, Block: true})
	}
	if _, err := chromedp.Call(b.ctx, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: all}); err != nil {
		b.t.Fatalf("block %v: %v", patterns, err)
	}
}

// says waits until the page has said the words in its status line.
func says(words string) chromedp.Action[chromedp.Void] {
	return until(fmt.Sprintf(`document.querySelector("#status")?.textContent.includes(%q) === true`, words))
}

// until waits for an expression to become true.
func until(expression string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience))(ctx, target)
		if err != nil {
			err = fmt.Errorf("wait for %s: %w", expression, err)
		}
		return chromedp.Void{}, err
	}
}

func click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector))
}

func visible(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.CSS(selector))
}

func write(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(chromedp.CSS(selector), text)
}

// ask evaluates an expression, waiting for it if it is a promise.
func ask[T any](b tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}
