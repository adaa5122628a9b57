package xhttp

import (
	"net/url"
	"testing"

	"perch/domain/client"
)

// Attack 53: however the address of X is written, it is refused or X must
// prove who it is.
func TestNoAddressOfXTurnsVerificationOff(t *testing.T) {
	for _, address := range []string{
		"https://api.x.com", "https://api.x.com:443", "https://API.X.COM", "https://api.x.com:bad", "https://api.x.com:443:443", "https://[::1",
		"https://[::1]:8443", "https://api.x.com%00", "https://api.x.com%2f", "https:///api.x.com", "https:api.x.com", "https//api.x.com",
		"https://127.0.0.1", "https://", "https://:443", "https://a b", "HTTPS://api.x.com", "http://api.x.com", "HTTP://api.x.com",
		"http://127.0.0.1.evil.example", "http://127.1", "http://0.0.0.0", "http://2130706433", "ftp://api.x.com", "//api.x.com",
		"http://127.0.0.1:1", "http://localhost.", "http://[::ffff:192.0.2.1]", "https://api.x.com\r\n", "https://\\evil", "https://api.x.com@evil.example",
	} {
		g, err := New(Config{APIURL: address})
		if err != nil {
			continue
		}
		u, err := url.Parse(g.api)
		if err != nil {
			t.Errorf("%q is taken and cannot be read: %v", address, err)
			continue
		}
		if u.Scheme != "https" && !client.Loopback(u.Hostname()) {
			t.Errorf("%q is spoken to in the open", address)
		}
		if c := g.transport.TLSClientConfig; c.InsecureSkipVerify || c.ServerName != "" {
			t.Errorf("%q turns verification off: %+v", address, c)
		}
	}
}
