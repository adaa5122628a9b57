package redis

import (
	"strings"
	"testing"
)

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

// Attack 53: no way to write the address gives up the proof.
func TestNoAddressOfRedisTurnsVerificationOff(t *testing.T) {
	for _, url := range []string{
		"rediss://redis.example?skip_verify=true", "redis://redis.example?skip_verify=1", "rediss://redis.example?skip_verify=",
		"rediss://u:canary@redis.example?tls=off&skip_verify=true", "rediss://u:canary@redis.example?tls=on&tls=off",
		"rediss://redis.example:port", "rediss://[::1", "rediss:redis.example", "rediss://u:canary@redis.example#x", "rediss://%zz",
	} {
		set, err := parse(url)
		if err == nil {
			t.Errorf("%s is taken: %+v", url, set.options.TLSConfig)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the refusal shows the password", url)
		}
	}
}
