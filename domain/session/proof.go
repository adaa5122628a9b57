package session

import (
	"net/url"
	"strings"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// How long a DPoP proof can be used, and who may have made it.
const (
	// ProofSkew is how far the clock of a device may be from Perch's.
	ProofSkew = 5 * time.Minute

	// NonceWindow is how long Perch gives out the same nonce. One is good in its
	// window, in the next, and in the one before, for replicas whose clocks differ.
	NonceWindow = 2 * time.Minute

	// ProofTTL is the longest time from a proof's first use to its last: the
	// windows in which its nonce is good.
	ProofTTL = 3 * NonceWindow
)

// A Proof is what a DPoP proof says whose signature fits the key in it (RFC 9449
// section 4.2).
type Proof struct {
	JKT    string    // jwk, as its thumbprint (RFC 7638)
	ID     string    // jti
	Method string    // htm
	URL    string    // htu
	Token  string    // ath: digest of the access token, "" for none
	Nonce  string    // "" for none
	Issued time.Time // iat
}

// A Presented is an access token and how a request brought it.
type Presented struct {
	Token  secret.Text
	Bound  bool   // by the scheme DPoP, not Bearer
	Proof  string // the DPoP header, "" for none
	Method string // of the request
	URL    string // public, of the request, without its query
}

// Named is what a fault with a proof is called, here and by RFC 9449.
const (
	BadProof = "invalid-dpop-proof"
	UseNonce = "use-dpop-nonce"
)

// ErrProof says what is wrong with a proof.
func ErrProof(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, format, args...).Named(BadProof)
}

// For returns why the proof was not made for the method and the URL, or not now.
func (p Proof) For(method, url string, now time.Time) error {
	switch {
	case p.Method != method:
		return ErrProof("htm of the DPoP proof is not the method of the request")
	case !sameTarget(p.URL, url):
		return ErrProof("htu of the DPoP proof is not the URL of the request; " +
			"it is Perch's public URL and the path, without query and fragment")
	case p.Issued.Before(now.Add(-ProofSkew)), p.Issued.After(now.Add(ProofSkew)):
		return ErrProof("iat of the DPoP proof is more than five minutes from Perch's clock; " +
			"make a proof for each request, and set the device's clock")
	}
	return nil
}

// Of reports whether the proof was made for the access token.
func (p Proof) Of(token secret.Text) bool {
	return p.Token != "" && secret.New(p.Token).Equal(secret.New(oauth.Challenge(token.Reveal())))
}

// sameTarget compares two URLs as RFC 9449 section 4.3 wants it: without query
// and fragment, and with scheme, host and port in one spelling.
func sameTarget(htu, url string) bool {
	a, ok1 := target(htu)
	b, ok2 := target(url)
	return ok1 && ok2 && a == b
}

func target(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil {
		return "", false
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme { // which Parse has put in lower case
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return "", false
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + host + path, true
}
