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

// pageText is what people see when a sign-in ends and there is no application
// they could be sent back to, or something they should read first.
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
<h1>{{.Heading}}</h1>
<p role="{{if .Problem}}alert{{else}}status{{end}}">{{.Detail}}</p>
{{if .Back}}<p><a href="{{.Back}}">Back to the application</a></p>
{{end}}{{if .Problem}}<p>If it happens again, give this to whoever runs the application:
<code>{{.Problem}} {{.Instance}}</code></p>
{{end}}</main>
</body>
</html>
`

// A pageView is what a page says. Without a problem all is well.
type pageView struct{ Title, Heading, Detail, Back, Problem, Instance string }

// donePage tells people that they are done.
func (s *Server) donePage(r *request) error {
	return s.show(r, pageView{
		Title: "Done", Heading: "Done", Detail: "The application may do now what you have allowed. " +
			"You can close this window and go back to it.",
	})
}

// refusePage answers people with the problem as a page. back is where the
// application waits to be told, if it does.
func (s *Server) refusePage(r *request, p problem, back string) {
	detail := p.detail()
	if !strings.HasSuffix(detail, ".") {
		detail += "."
	}
	err := s.show(r, pageView{p.title, "The sign-in did not work", detail, back, p.slug, r.id})
	if err != nil {
		r.json(problemJSON, p.members(r.id))
	}
}

func (s *Server) show(r *request, v pageView) error {
	var b strings.Builder
	if err := s.page.Execute(&b, v); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(pageStyle))
	r.c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; base-uri 'none'; form-action 'none'; "+
		"frame-ancestors 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	r.c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	r.c.Response().SetBodyString(b.String())
	return nil
}
