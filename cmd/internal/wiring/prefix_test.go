package wiring_test

import (
	"net/http"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
)

// Credentials that begin alike are told apart, also when one of them is warm.
func TestCredentialsThatBeginAlikeAreToldApart(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		cfg := settings(t, e, at)
		cfg.TrustedProxies = []string{"127.0.0.1"}
		h := open(t, cfg)
		app := h.register(t, pageA, "")
		one, two := h.visit(t, app).signIn(t, ada), h.visit(t, app).signIn(t, grace)
		if n := common(one.access, two.access); n < 20 {
			t.Fatalf("the tokens have only %d bytes in common", n)
		}
		v := h.visit(t, app)
		for range 3 { // the first makes them warm
			for _, who := range []struct{ access, user string }{{one.access, ada}, {two.access, grace}} {
				if a := v.page(t, pageA, who.access, "GET", "/2/users/me", ""); a.text("data.id") != who.user {
					t.Errorf("%s is taken for %s: %d", who.user, a.text("data.id"), a.status)
				}
			}
			want(t, http.StatusOK, h.act(t, app.sk, one.grant, "GET", "/2/users/me", ""))
			for _, near := range []string{
				app.sk[:20] + strings.Repeat("A", len(app.sk)-20), app.sk[:len(app.sk)-1], app.sk + "A", app.sk[:len(app.sk)-1] + "1",
				strings.ToLower(app.sk), one.access[:len(one.access)-4] + "AAAA",
				one.access[:strings.LastIndexByte(one.access, '.')] + two.access[strings.LastIndexByte(two.access, '.'):],
			} {
				want(t, http.StatusUnauthorized, h.act(t, near, "", "GET", "/2/users/me", "", "X-Forwarded-For: "+somewhere()))
			}
		}
	})
}

// common is how many bytes a and b begin with alike.
func common(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
