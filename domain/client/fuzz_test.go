package client_test

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"perch/domain/client"
)

// written is an origin as browsers write it, said independently of the parser.
var written = regexp.MustCompile(`^(https://[a-z0-9_.-]+|https://\[[0-9a-f:.]+\]|http://(127\.0\.0\.1|\[::1\]|localhost))(:[1-9][0-9]{0,4})?$`)

// FuzzParseOrigin: what is taken for an origin is written as browsers write it,
// stays as it was, and names one host for every reader.
func FuzzParseOrigin(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		o, err := client.ParseOrigin(s)
		if err != nil {
			if o != "" {
				t.Errorf("%q is refused and taken for %q", s, o)
			}
			return
		}
		u, err := url.Parse(s)
		if err != nil || string(o) != s || !written.MatchString(s) || u.Path != "" || u.RawQuery != "" || u.User != nil {
			t.Fatalf("%q is taken for an origin", s)
		}
		oneHost(t, u, s)
		if again, err := client.ParseOrigin(string(o)); err != nil || again != o {
			t.Errorf("%q is an origin the first time only: %v", s, err)
		}
		neighbours(t, o)
	})
}

// neighbours are refused by an application that allows o.
func neighbours(t *testing.T, o client.Origin) {
	t.Helper()
	app := client.App{Origins: []client.Origin{o}}
	for _, other := range []client.Origin{o + ".", o + ":1", o + "/", o + ".evil.example", "null", "*", "", o[:len(o)-1]} {
		if app.From(other) {
			t.Errorf("an application of %q allows %q", o, other)
		}
	}
	if !app.From(o) {
		t.Errorf("an application of %q does not allow it", o)
	}
}

// oneHost fails if another reader of URLs could see another host than net/url:
// one that takes backslashes for slashes, or looks for the last @, or the first.
func oneHost(t *testing.T, u *url.URL, s string) {
	t.Helper()
	_, rest, _ := strings.Cut(s, "://")
	authority, _, _ := strings.Cut(rest, "/")
	authority, _, _ = strings.Cut(authority, "?")
	if strings.ContainsAny(authority, "@\\#") || authority != u.Host {
		t.Errorf("in %q another reader may find another host than %q", s, u.Host)
	}
	if u.Scheme == "https" {
		return
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Scheme != "http" || u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
		t.Errorf("%q is not encrypted and not on this machine", s)
	}
}

// FuzzRedirectURI: of the URIs that are presented only the registered one, byte
// for byte, is redirected to; what may be registered leads where it reads.
func FuzzRedirectURI(f *testing.F) {
	f.Fuzz(func(t *testing.T, registered, presented string) {
		app := client.App{
			Name: "x", Status: client.Active, RedirectURIs: []string{"https://app.example/back", registered},
		}
		if app.Redirects(presented) != (presented == registered || presented == "https://app.example/back") {
			t.Errorf("%q registered, %q presented", registered, presented)
		}
		if (app.Check() == nil) != (client.CheckRedirectURI(registered) == nil) {
			t.Errorf("%q may be registered without a check", registered)
		}
		if client.CheckRedirectURI(registered) != nil {
			return
		}
		u, err := url.Parse(registered)
		if err != nil || u.User != nil || u.Fragment != "" || u.Opaque != "" || u.Host == "" {
			t.Fatalf("%q may be registered", registered)
		}
		oneHost(t, u, registered)
		for _, c := range []byte(registered) {
			if c <= ' ' || c >= 0x7f || slices.Contains([]byte("\\\"<>^`{|}*#"), c) {
				t.Errorf("%q may be registered with %q in it", registered, c)
			}
		}
	})
}
