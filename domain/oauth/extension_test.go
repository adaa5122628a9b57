package oauth_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"perch/domain/oauth"
)

func extension() oauth.Extension {
	return oauth.Extension{
		App: "app_1", Grant: "grant_1", Session: "ses_1", Scopes: "dm.read dm.write", Expires: noon,
	}
}

func TestATicketIsReadAsItWasWritten(t *testing.T) {
	for _, e := range []oauth.Extension{
		extension(), {Expires: noon}, {App: "1:a", Grant: "4:2:", Session: ":", Scopes: "0:", Expires: noon.Add(1e9)},
	} {
		got, proof, ok := oauth.ReadTicket(e.Ticket("proof"))
		if !ok || got != e || proof != "proof" {
			t.Errorf("%+v becomes %+v, %q, %v", e, got, proof, ok)
		}
	}
}

// Fields that read the same when written one after the other are other words
// (a signature over one must not be good for the other).
func TestNoTwoExtensionsHaveTheSameWords(t *testing.T) {
	e, seen := extension(), map[string]oauth.Extension{}
	all := []oauth.Extension{e}
	for _, move := range []func(*oauth.Extension){
		func(e *oauth.Extension) { e.App, e.Grant = "app_1g", "rant_1" },
		func(e *oauth.Extension) { e.App, e.Grant = "", "app_1grant_1" },
		func(e *oauth.Extension) { e.Grant, e.Session = "grant_1s", "es_1" },
		func(e *oauth.Extension) { e.Grant, e.Session = "grant_1ses_1", "" },
		func(e *oauth.Extension) { e.Session, e.Scopes = "ses_1dm.read ", "dm.write" },
		func(e *oauth.Extension) { e.Session, e.Scopes = "", "ses_1dm.read dm.write" },
		func(e *oauth.Extension) { e.App, e.Grant = "grant_1", "app_1" },
		func(e *oauth.Extension) { e.Scopes, e.Expires = e.Scopes+"1", noon.Add(-1e9) },
		func(e *oauth.Extension) { e.App = "app_1:7:grant_1"; e.Grant = "" },
		func(e *oauth.Extension) { e.App = "5:app_1" },
	} {
		other := e
		move(&other)
		all = append(all, other)
	}
	for _, one := range all {
		if other, ok := seen[one.Words()]; ok {
			t.Errorf("%+v and %+v have the same words", one, other)
		}
		seen[one.Words()] = one
	}
}

func TestWhatIsNoTicketIsNotRead(t *testing.T) {
	good := extension().Ticket("proof")
	words, _, _ := strings.Cut(good, ".")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	plain := extension().Words()
	for name, ticket := range map[string]string{
		"nothing": "", "words": "ticket", "no proof": words + ".", "no dot": words, "no words": ".proof",
		"padding": words + "=.proof", "a line end": words[:8] + "\n" + words[8:] + ".proof",
		"another kind":      b64(strings.Replace(plain, "grant.extension", "grant.exTension", 1)) + ".proof",
		"a field less":      b64(plain[:strings.LastIndex(plain, "10:")]) + ".proof",
		"a field more":      b64(plain+"1:a") + ".proof",
		"cut":               b64(plain[:len(plain)-1]) + ".proof",
		"longer":            b64(plain+"x") + ".proof",
		"a leading zero":    b64(strings.Replace(plain, "5:app_1", "05:app_1", 1)) + ".proof",
		"a sign":            b64(strings.Replace(plain, "5:app_1", "+5:app_1", 1)) + ".proof",
		"a length too far":  b64(strings.Replace(plain, "5:app_1", "5000:app_1", 1)) + ".proof",
		"a negative length": b64(strings.Replace(plain, "5:app_1", "-5:app_1", 1)) + ".proof",
		"a time of words":   b64(strings.Replace(plain, "10:", "10:x", 1)) + ".proof",
	} {
		if e, _, ok := oauth.ReadTicket(ticket); ok {
			t.Errorf("%s is read as %+v", name, e)
		}
	}
}
