package main

import (
	"strings"
	"testing"

	"perch/domain/client"
)

func TestDoctorNamesOriginsFromWhichNoCookieIsSent(t *testing.T) {
	for _, c := range []struct {
		origin, public string
		sent           bool
	}{
		{"https://app.example.com", "https://api.example.com", true},
		{"https://example.com", "https://api.example.com", true},
		{"https://app.example.com:8443", "https://App.Example.com", true},
		{"https://a.shop.co.uk", "https://b.shop.co.uk", true},
		{"http://127.0.0.1:8090", "http://127.0.0.1:8080", true},
		{"http://localhost:8090", "http://localhost:8080", true},
		{"https://other.example", "https://perch.example", false},
		{"https://app.example.com", "https://perch.example.net", false},
		{"http://app.example.com", "https://api.example.com", false},
		{"http://localhost:8090", "http://127.0.0.1:8080", false},
		{"http://127.0.0.2:8090", "http://127.0.0.1:8080", false},
	} {
		a := client.App{Origins: []client.Origin{client.Origin(c.origin)}, Cookies: true}
		say := strings.Join(strangers(a, c.public), "")
		want := "browsers will not send the cookie from " + c.origin + ": it is not of one site with " + c.public
		if c.sent && say != "" || !c.sent && !strings.Contains(say, want) {
			t.Errorf("%s at %s: %q", c.origin, c.public, say)
		}
		if a.Cookies = false; strangers(a, c.public) != nil {
			t.Errorf("%s holds tokens and is warned all the same", c.origin)
		}
	}
}

func TestDoctorLooksAtTheSitesOfStoredApplications(t *testing.T) {
	t.Chdir(t.TempDir())
	x := box(t, 0)
	r, stop := started(t, boxed(x, x, "PERCH_ADMIN_LISTEN=127.0.0.1:0"), "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	server := []string{"PERCH_ADMIN_URL=" + between(r.err.String(), "operators on ", ".\n")}
	perch(t, server, "", "apps", "add", "Page", "--cookies", "--origin=https://other.example",
		"--redirect-uri=https://other.example/").says(t, exitDone, "in cookies")
	stop()
	perch(t, boxed(x, x), "", "doctor").says(t, exitDone, "(Page) holds sessions in cookies, but browsers will not send "+
		"the cookie from https://other.example: it is not of one site with http://127.0.0.1:8080")
}
