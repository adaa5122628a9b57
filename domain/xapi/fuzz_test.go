package xapi_test

import (
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"perch/domain/xapi"
)

// FuzzFind: the path that is built from what was found leads to the same action
// with the same parameters, whoever reads it and however often it is decoded.
func FuzzFind(f *testing.F) {
	f.Fuzz(func(t *testing.T, method, at string) {
		act, params, ok := xapi.Find(method, at)
		if found := slices.Contains(xapi.Methods(at), method); found != ok {
			t.Errorf("%s %q: found %v, listed %v", method, at, ok, found)
		}
		if !ok {
			if act.ID != "" || params != nil {
				t.Errorf("%s %q is nothing and %s", method, at, act.ID)
			}
			return
		}
		if act.Method != method {
			t.Errorf("%s %q finds %s, which is a %s", method, at, act.ID, act.Method)
		}
		sent, ok := act.Fill(params)
		if !ok {
			return // nothing is sent
		}
		again, same, ok := xapi.Find(method, sent)
		if !ok || again.ID != act.ID || !maps.Equal(same, params) {
			t.Errorf("%s %q is found to be %s %v; what is sent, %q, is %s %v", method, at, act.ID, params, sent, again.ID, same)
		}
		u, err := url.Parse("https://x.example" + sent)
		if err != nil || u.EscapedPath() != sent || u.RawQuery != "" || u.Host != "x.example" || u.User != nil {
			t.Fatalf("%q is sent as %q", at, sent)
		}
		if path.Clean(sent) != sent || strings.Count(sent, "/") != strings.Count(act.Path, "/") {
			t.Errorf("%q is sent as %q, which leads elsewhere", at, sent)
		}
		if strings.ContainsAny(sent, "\\;\r\n\x00 \"<>#?") {
			t.Errorf("%q is sent as %q", at, sent)
		}
	})
}
