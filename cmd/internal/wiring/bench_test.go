package wiring_test

import (
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
)

// BenchmarkThroughPerch measures a small read through Perch, on each store, and
// the same read asked of X in a box directly. The difference is Perch.
func BenchmarkThroughPerch(b *testing.B) {
	const path = "/2/users/me"
	x := xsim.New(xsim.Options{})
	set(b, x, `{"windows":false}`)
	at, _ := serveX(b, x)
	token := issue(b, x, "sim-client", ada)
	read := func(b *testing.B, h *house, url, bearer, grant string) {
		headers := []string{"Authorization: Bearer " + bearer}
		if grant != "" {
			headers = append(headers, "Perch-Grant: "+grant)
		}
		for b.Loop() {
			if a := send(b, h.client, "GET", url+path, "", headers...); a.err != nil || a.status != 200 {
				b.Fatalf("%d %s %v", a.status, a.body, a.err)
			}
		}
	}
	for _, e := range environments() {
		cfg := settings(b, e, at)
		cfg.Limits, cfg.LogLevel = config.Off, "info"
		h := open(b, cfg)
		app := h.register(b, pageA, "")
		grant := h.adopt(b, app, ada, token, time.Now().Add(time.Hour))
		b.Run(e.name, func(b *testing.B) { read(b, h, h.public, app.sk, grant) })
		if e.name == "memory" {
			b.Run("direct", func(b *testing.B) { read(b, h, at, token.Access, "") })
		}
	}
}
