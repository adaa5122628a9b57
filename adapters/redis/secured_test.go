package redis

import "testing"

// Nothing travels in the clear to another machine unless the URL says so.
func TestWhoIsSpokenToInTheClear(t *testing.T) {
	for url, want := range map[string]bool{
		"redis://redis.example":          true,
		"redis://u:p@10.0.0.1:6380/3":    true,
		"rediss://127.0.0.1":             true,
		"rediss://redis.example":         true,
		"redis://localhost.example":      true,
		"redis://127.0.0.1":              false,
		"redis://localhost:6379/1":       false,
		"redis://[::1]:6379":             false,
		"unix:///run/redis.sock":         false,
		"redis://redis.example?tls=off":  false,
		"redis://10.0.0.1?tls=off&db=2":  false,
		"redis://10.0.0.1?prefix=p&db=2": true,
	} {
		set, err := parse(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		c := set.options.TLSConfig
		if (c != nil) != want || (c != nil && (c.InsecureSkipVerify || c.ServerName == "")) {
			t.Errorf("%s is spoken to in TLS: %v (%+v), want %v", url, c != nil, c, want)
		}
	}
}
