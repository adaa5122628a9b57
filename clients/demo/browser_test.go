package demo_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"perch/clients/demo"
	"perch/ports/conformance"
)

func TestDemoInARealBrowser(t *testing.T) {
	browser(t)
	h := start(t) // which may take long, before the browser's time runs
	b := open(t)
	planted := ownToken(t, h.XURL)

	b.connect(h)
	b.act()
	b.errors(h)
	b.cutOff(h)
	b.leave(h)

	b.rec.keep(h.said.String())
	happened := ledgerOf(t, h.XURL)
	happenedAsSeen(t, happened)
	tokensStayAway(t, b.rec.captured(), happened, planted)
	crossOrigin(t, b.rec, h)
	if wrong := b.rec.complaints(); len(wrong) > 0 {
		t.Errorf("the console complains:\n%s", strings.Join(wrong, "\n"))
	}
	conformance.Verified(t, chromium)
}

// Whoever copies the page and gives it no settings is told how to make them.
func TestThePageWithoutSettingsSaysHowToMakeThem(t *testing.T) {
	for name, config := range map[string]http.HandlerFunc{
		"none": http.NotFound,
		"a page instead, as hosts of single-page apps answer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<!doctype html>")
		},
		"no client ID": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"base_url":"https://perch.example"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.Handle("/", demo.Handler(demo.Settings{}))
			mux.Handle("/config.json", config)
			server := httptest.NewServer(mux)
			defer server.Close()
			b := open(t)
			b.do("open", chromedp.Navigate(server.URL+"/"), visible("#trouble-detail"),
				until(`document.querySelector("#trouble-title").textContent === "No settings"`),
				until(`document.querySelector("#trouble-detail").textContent.includes('{"base_url": "https://perch.example"')`))
		})
	}
	conformance.Verified(t, chromium)
}

// connect says no once, then yes.
func (b tab) connect(h house) {
	b.t.Helper()
	b.do("open", chromedp.Navigate(h.DemoURL+"/"), visible("#connect"))
	b.do("ask X", click("#connect"), visible("#deny"))
	b.do("deny", click("#deny"), visible("#connect"), says("You did not allow access"))
	if url := ask[string](b, "location.href"); url != strings.TrimRight(h.DemoURL, "/")+"/" {
		b.t.Errorf("after a denial the URL still says %q", url)
	}
	b.do("ask X again", click("#connect"), visible(`input[name=user][value="`+adaID+`"]`),
		click(`input[name=user][value="`+adaID+`"]`))
	b.do("approve", click("#approve"), visible("#me"), visible("#empty"),
		until(`document.querySelector("#me .handle").textContent === "@ada"`))
	if url := ask[string](b, "location.href"); url != strings.TrimRight(h.DemoURL, "/")+"/" {
		b.t.Errorf("after the sign-in the URL still says %q", url)
	}
}

// act posts, replies, likes, unlikes and deletes, and finds it again after a reload.
func (b tab) act() {
	b.t.Helper()
	const first, second = `#posts > li:last-child `, `#posts > li:first-child `
	b.do("post", write("#compose", "Good morning from the river."), click("#post"), says("Posted"),
		visible(`#posts > [data-post-id]`))
	b.do("reply", click(first+".reply"), write(first+".reply-text", "And a minnow <b>for breakfast</b>."),
		click(first+".send"), says("Your reply is out"), until(`document.querySelectorAll("#posts > li").length === 2`))
	b.do("like", click(first+".like"), visible(first+`.like[aria-pressed="true"]:not([aria-busy])`))
	b.do("reload", chromedp.Reload(), visible("#me"), visible(first+`.like[aria-pressed="true"]`),
		until(`document.querySelector("#posts .context:not([hidden])")?.textContent.includes("Good morning") === true`))
	b.do("unlike", click(first+".like"), visible(first+`.like[aria-pressed="false"]:not([aria-busy])`))
	b.do("delete", click(second+".delete"), click(second+".confirm-delete"), says("deleted"),
		until(`document.querySelectorAll("#posts > li").length === 1`))
	b.do("keyboard", chromedp.Focus(chromedp.CSS("#compose")), chromedp.KeyEvent("By keyboard."),
		chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter),
		until(`document.querySelectorAll("#posts > li").length === 2`))
}

// errors looks at the error example, and at refusals a page must be able to read.
func (b tab) errors(h house) {
	b.t.Helper()
	const refused = "/2/tweets/search/all?query=perch"
	b.rec.allow(refused)
	b.do("error example", click("#error-example"), visible("#error-result .problem"))
	if code := ask[string](b, `document.querySelector("#error-result .code").textContent`); code != "403" {
		b.t.Errorf("the error example shows %q, want 403", code)
	}
	const shown = `JSON.parse(document.querySelector("#error-result pre").textContent).status`
	if status := ask[int](b, shown); status != http.StatusForbidden {
		b.t.Errorf("the problem document shown has status %d, want 403", status)
	}
	const unknown = "/2/users/me?who=nobody"
	b.rec.allow(unknown)
	call := fmt.Sprintf(`fetch(%q, {headers: {Authorization: "Bearer not-a-token"}})
		.then((r) => r.text().then(() => r.status), String)`, h.BaseURL+unknown)
	if got := ask[any](b, call); fmt.Sprint(got) != "401" {
		b.t.Errorf("a page that sends a bad token sees %v, want 401; it could not know that its token has ended", got)
	}
	b.do("what this page holds", click("#holds summary"), visible("#holds .inventory dd"))
}

// cutOff takes Perch out of reach for one reload; the session must outlive it.
func (b tab) cutOff(h house) {
	b.t.Helper()
	b.rec.allow("/oauth/token")
	b.block(h.BaseURL + "/*")
	b.do("cut off", chromedp.Reload(), visible("#retry"),
		until(`document.querySelector("#trouble-title").textContent === "Perch does not answer"`))
	b.block()
	b.do("try again", click("#retry"), visible("#me"))
}

// leave signs out and stays out, comes back, and ends the permission.
func (b tab) leave(h house) {
	b.t.Helper()
	b.do("sign out", click("#signout"), says("You are signed out"), visible("#connect"))
	b.do("reload signed out", chromedp.Reload(), visible("#connect"))
	if left := ask[int](b, "sessionStorage.length + localStorage.length"); left != 0 {
		b.t.Errorf("%d items are left in storage after signing out", left)
	}
	if n := len(b.rec.answers(http.MethodPost, h.BaseURL+"/oauth/revoke")); n != 1 {
		b.t.Errorf("the session was revoked %d times, want once", n)
	}
	b.do("come back", click("#connect"), visible("#approve"))
	b.do("approve again", click("#approve"), visible("#me"))
	b.do("disconnect", click("#disconnect"), click("#disconnect-yes"), says("You are disconnected"), visible("#connect"))
	if n := len(b.rec.answers(http.MethodDelete, h.BaseURL+"/v1/grants/")); n != 1 {
		b.t.Errorf("the grant was deleted %d times, want once", n)
	}
}

// happenedAsSeen compares the story with X's ledger: none of it was only painted.
func happenedAsSeen(t *testing.T, happened ledger) {
	t.Helper()
	for kind, want := range map[string]int{
		"consent.denied": 1, "post.created": 3, "post.deleted": 1, "like.created": 1, "like.deleted": 1,
	} {
		if got := happened.count(kind); got != want {
			t.Errorf("X's ledger has %d × %s, want %d", got, kind, want)
		}
	}
}

// tokensStayAway searches everything captured for every token X has issued. The search itself is
// tried first, with a token that is planted.
func tokensStayAway(t *testing.T, captured []string, happened ledger, planted string) {
	t.Helper()
	known := happened.fingerprints()
	if len(known) < 4 {
		t.Fatalf("X's ledger names %d tokens; the planted one and the user's would be four", len(known))
	}
	if got := leaks(append(captured[:len(captured):len(captured)], `{"x":"`+planted+`"}`), known); len(got) != 1 {
		t.Errorf("the search found %d tokens with one planted, want 1", len(got))
	}
	if got := leaks(captured, known); len(got) > 0 {
		t.Errorf("%d tokens of X reached the browser: %v", len(got), got)
	}
	for i, text := range captured { // the box marks its tokens, so parts of them are seen too
		if strings.Contains(text, "sim_access_") || strings.Contains(text, "sim_refresh_") {
			t.Errorf("text %d of %d that reached the browser has something like a token of X", i+1, len(captured))
		}
	}
}

// crossOrigin checks that the page and Perch are two origins, and that CORS let the one read the other.
func crossOrigin(t *testing.T, rec *recorder, h house) {
	t.Helper()
	origin := strings.TrimRight(h.DemoURL, "/")
	if origin == h.BaseURL {
		t.Fatal("the demo and Perch are one origin, so this test says nothing about CORS")
	}
	if len(rec.answers(http.MethodOptions, h.BaseURL+"/2/")) == 0 {
		t.Error("no preflight was seen")
	}
	calls := rec.answers(http.MethodGet, h.BaseURL+"/2/users/")
	if len(calls) == 0 {
		t.Error("no call of X API v2 was seen")
	}
	for _, x := range calls {
		allowed := ""
		for name, value := range x.response {
			if strings.EqualFold(name, "Access-Control-Allow-Origin") {
				allowed = fmt.Sprint(value)
			}
		}
		if allowed != origin {
			t.Errorf("%s allows %q, want %q", x.url, allowed, origin)
		}
	}
}
