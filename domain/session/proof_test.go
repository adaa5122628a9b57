package session_test

import (
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
)

func TestAProofIsForOneMethodAndURL(t *testing.T) {
	const url = "https://perch.example/2/users/me"
	for htu, good := range map[string]bool{
		url: true, url + "?a=1": true, url + "#f": true, "HTTPS://Perch.Example:443/2/users/me": true,
		"http://perch.example/2/users/me": false, "https://perch.example:444/2/users/me": false, url + "/": false,
		"https://perch.example/2/users/Me": false, "https://perch.example/2/users/%6de": false, "https://perch.example": false,
		"https://u@perch.example/2/users/me": false, "https://perch.example.evil.example/2/users/me": false,
		"/2/users/me": false, "": false, "https://perch.example/2/../2/users/me": false, "ftp://perch.example/2/users/me": false,
		"https://perch.example:80/2/users/me": false, "https://perch.example\\@evil.example/2/users/me": false,
	} {
		err := session.Proof{Method: "GET", URL: htu, Issued: noon}.For("GET", url, noon)
		if good != (err == nil) || err != nil && fault.SlugOf(err) != session.BadProof {
			t.Errorf("%q: %v", htu, err)
		}
	}
	for method, good := range map[string]bool{"GET": true, "get": false, "POST": false, "": false} {
		if err := (session.Proof{Method: method, URL: url, Issued: noon}).For("GET", url, noon); good != (err == nil) {
			t.Errorf("%q: %v", method, err)
		}
	}
	p := session.Proof{Method: "GET", URL: "http://127.0.0.1:80", Issued: noon}
	if err := p.For("GET", "http://127.0.0.1/", noon); err != nil {
		t.Errorf("the root path: %v", err)
	}
}

func TestAProofIsForNow(t *testing.T) {
	const url = "https://perch.example/"
	for off, good := range map[time.Duration]bool{
		0: true, session.ProofSkew: true, -session.ProofSkew: true,
		session.ProofSkew + time.Second: false, -session.ProofSkew - time.Second: false, 1e6 * time.Hour: false,
	} {
		p := session.Proof{Method: "GET", URL: url, Issued: noon.Add(off)}
		if err := p.For("GET", url, noon); good != (err == nil) {
			t.Errorf("%v off: %v", off, err)
		}
	}
}

// The access token and its ath of RFC 9449 section 7.1.
func TestAProofIsOfOneToken(t *testing.T) {
	token := secret.New("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")
	p := session.Proof{Token: "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}
	if !p.Of(token) || p.Of(secret.New("another")) || (session.Proof{}).Of(secret.Text{}) {
		t.Error("Of is wrong")
	}
	if p.Token != oauth.Challenge(token.Reveal()) {
		t.Error("ath is not that of the RFC")
	}
}
