package wiring_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"perch/ports/conformance"
)

// The page that docs/cookie-mode.md gives to copy is copied, and works.
func TestThePageInTheDocsWorksInChromium(t *testing.T) {
	conformance.Verified(t, "chromium")
	b, s := openTab(t), openSites(t)
	_, app := s.tenants(t)
	s.house.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, object{"redirect_uris": []string{app.origin + "/"}})
	text, err := os.ReadFile("../../../docs/cookie-mode.md")
	if err != nil {
		t.Fatal(err)
	}
	page := regexp.MustCompile("(?s)```html\n(.*?)```").FindSubmatch(text)
	if page == nil {
		t.Fatal("docs/cookie-mode.md has no page")
	}
	s.page = strings.NewReplacer("https://api.example.com", s.house.public, "pk_…", app.pk).Replace(string(page[1]))

	reads := func(words string) {
		t.Helper()
		b.until(`document.querySelector("#who")?.textContent.startsWith("` + words + `")`)
	}
	b.visit(app.origin + "/")
	reads("Not signed in")
	b.do("be asked", chromedp.Click(chromedp.CSS("#sign-in")), chromedp.WaitVisible(chromedp.CSS("#deny")),
		chromedp.Click(chromedp.CSS("#deny")))
	reads("the user did not allow access")
	b.do("sign in", chromedp.Click(chromedp.CSS("#sign-in")), chromedp.WaitVisible(chromedp.CSS("#approve")),
		chromedp.Click(chromedp.CSS(`input[name=user][value="`+ada+`"]`)), chromedp.Click(chromedp.CSS("#approve")))
	reads("Signed in as @ada")
	if at := says[string](b, "location.href"); at != app.origin+"/" {
		t.Errorf("after the sign-in the URL says %s", at)
	}
	b.do("post", chromedp.SendKeys(chromedp.CSS("textarea"), "From the docs."), chromedp.Click(chromedp.CSS("#compose button")))
	reads("Posted ")
	if n := posted(s); n != 1 {
		t.Errorf("X has %d posts", n)
	}
	b.visit(app.origin + "/")
	reads("Signed in as @ada")
	b.do("sign out", chromedp.Click(chromedp.CSS("#sign-out")))
	reads("Not signed in")
	b.visit(s.at("app.unlisted.test") + "/")
	reads("Perch cannot be reached from this page")
	if left := b.sessionCookies(); len(left) > 0 {
		t.Errorf("%d session cookies are left", len(left))
	}
}
