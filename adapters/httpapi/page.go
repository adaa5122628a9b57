package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// pageStyle is all the style there is; the policy allows it by its hash.
const pageStyle = `body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:12vh auto;padding:0 1.5rem;` +
	`color:#1b1f24;background:#fff}h1{font-size:1.5rem}code{font-size:.9rem;color:#57606a}` +
	`@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}code{color:#9198a1}}`

// pageText is what people see when a sign-in cannot go on and there is no
// application they could be sent back to.
const pageText = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.Title}}</title>
<style>` + pageStyle + `</style>
</head>
<body>
<main>
<h1>The sign-in did not work</h1>
<p role="alert">{{.Detail}}</p>
<p>If it happens again, give this to whoever runs the application: <code>{{.Problem}} {{.Instance}}</code></p>
</main>
</body>
</html>
`

type pageView struct{ Title, Detail, Problem, Instance string }

// refusePage answers people with the problem as a page.
func (s *Server) refusePage(r *request, p problem) {
	var b strings.Builder
	detail := p.detail()
	if !strings.HasSuffix(detail, ".") {
		detail += "."
	}
	if err := s.page.Execute(&b, pageView{p.title, detail, p.slug, r.id}); err != nil {
		r.json(problemJSON, p.members(r.id))
		return
	}
	sum := sha256.Sum256([]byte(pageStyle))
	r.c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; base-uri 'none'; form-action 'none'; "+
		"frame-ancestors 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	r.c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	r.c.Response().SetBodyString(b.String())
}
