package httpapi

import (
	"slices"
	"strings"
	"testing"
)

// traversals are the spellings of attack 16: ways out of a path that a key
// may be limited to.
var traversals = []string{
	"/2/tweets/../oauth2/revoke", "/2/tweets/%2e%2e/oauth2/revoke", "/2/tweets/%2E%2E/oauth2/revoke",
	"/2/tweets/.%2e/oauth2/revoke", "/2/tweets/..%2foauth2%2frevoke", "/2/tweets/..%2Foauth2/revoke",
	"/2/tweets/%2f..%2foauth2/revoke", "/2/tweets%2f..%2foauth2%2frevoke", "/2/tweets/./../oauth2/revoke",
	"/2/tweets//../oauth2/revoke", "/2/tweets/..;/oauth2/revoke", "/2/tweets/..\\oauth2\\revoke", "/2/tweets/%5c..%5coauth2/revoke",
	"/2/tweets/%252e%252e/%2e%2e/oauth2/revoke", "/2/tweets/%c0%ae%c0%ae/oauth2/revoke", "/2/tweets/%u002e%u002e/oauth2/revoke",
	"/2/users/..%2fme", "/2/%2f..%2fme", "/../2/users/me", "/..", "/.", "/2/users/me/..", "/2/users/me/.",
}

// Attack 16: nothing of it reaches X, whatever key is used.
func TestAPathThatLeadsElsewhereIsRefusedAndNothingReachesX(t *testing.T) {
	h := build(t, plan{})
	for _, path := range traversals {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			for _, key := range []string{h.sk, h.appOnly, "x"} {
				got := raw(t, h.public, method+" "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer "+key+"\r\n\r\n")
				if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
					t.Errorf("%s %s: %.60q", method, path, got)
				}
			}
		}
	}
	if heard := h.sim.Ledger()[h.quiet:]; len(heard) > 0 {
		t.Errorf("something reached X: %+v", heard)
	}
}

// Attack 19: the operators' paths, spelt so that a guard could miss them.
func TestAnOddSpellingOfAnOperatorsPathIsTreatedAsThePathOrRefused(t *testing.T) {
	h := build(t, plan{})
	for _, path := range []string{
		"/admin", "/admin/v1/apps", "/%61dmin/v1/apps", "/%61dmin", "//admin", "//admin/v1/apps", "/./admin", "/./admin/v1/apps",
		"/admin%2fx", "/admin%2Fv1%2Fapps", "/admin;x", "/admin;x/v1/apps", "/ADMIN", "/ADMIN/v1/apps", "/Admin/V1/apps",
		"/x/../admin", "/x/../admin/v1/apps", "/admin/./v1/apps", "/admin//v1/apps", "/admin%20", "/admin%00/v1/apps",
		"/admin/v1/apps/", "/admin/v1/apps%2f", "/admin/v1/apps;", "/admin/v1/apps#", "/admin/v1/apps%3f", "/admin\\v1\\apps",
		"/admin/v1/%61pps", "/admin/v1/apps%0a", "/2/../admin/v1/apps", "/2/%2e%2e/admin/v1/apps", "/admin/v1/apps/..",
	} {
		for _, credential := range []string{"", "Authorization: Bearer " + h.sk + "\r\n"} {
			for base, allowed := range map[string][]string{h.public: {"400", "404"}, h.admin: {"400", "401", "404"}} {
				got := raw(t, base, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+credential+"\r\n")
				if status := got[9:12]; !slices.Contains(allowed, status) {
					t.Errorf("%s at %s: %.80q", path, base, got)
				}
			}
		}
		got := raw(t, h.public, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer "+adminToken+"\r\n\r\n")
		if status := got[9:12]; status != "400" && status != "404" {
			t.Errorf("%s on the public door with the operators' token: %.80q", path, got)
		}
	}
	if heard := h.sim.Ledger()[h.quiet:]; len(heard) > 0 {
		t.Errorf("something reached X: %+v", heard)
	}
}

func TestAPathIsTakenInItsCanonicalSpellingOrNotAtAll(t *testing.T) {
	h := build(t, plan{})
	ask := func(path string) string {
		got := raw(t, h.public, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer "+h.sk+"\r\n\r\n")
		return strings.TrimPrefix(got, "HTTP/1.1 ")[:3]
	}
	for _, path := range []string{
		"/2//users", "/2/users/a%00", "/2/users/a%0a", "/2/users/\\..\\me", "/2/users/a%5cb", "/2/users/a%5Cb", "/2/users/%zz",
		"/2/users/%", "/2/users/%4", "/2/users/%c3%a4", "/2/users/\xc3\xa4", "/2/users/a|b", "/2/users/me#x",
		"/2/users/me?a#b", "/2/users/me?\xc3\xa4", "/2/users/a%3Bb", "/2/users/%7Ea", "/2/users/<a>", "/2/users/{a}",
		"/2/users/^", "/2/users/`a`", "/2/users/\"a\"", "/2/users/me?a\x01b", "/2/users/a;b=c", "/2/%75sers/me",
	} {
		if status := ask(path); status != "400" {
			t.Errorf("%s: %s", path, status)
		}
	}
	if heard := h.sim.Ledger()[h.quiet:]; len(heard) > 0 {
		t.Errorf("something reached X: %+v", heard)
	}
	for path, want := range map[string]string{
		"/2/users/me/": "404", "/ADMIN": "404", "/2": "404", "/2/": "404", "/": "404", "/2/users/a%252e": "200",
		"/2/users/me": "200", "/2/users/1%2C2": "200", "/2/users/me?x=%2e%2e": "200", "/2/Users/me": "404",
	} {
		if status := ask(path); status != want {
			t.Errorf("%s: %s", path, status)
		}
	}
}
