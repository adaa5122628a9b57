package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"perch/adapters/xhttp"
	"perch/cmd/internal/config"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/ports"
)

const publicURL = "PERCH_PUBLIC_URL"

// gateway asks whether X can be reached.
func (e *exam) gateway(ctx context.Context) {
	x, err := xhttp.New(xhttp.Config{
		APIURL: e.cfg.X.APIURL, AuthorizeURL: e.cfg.X.AuthorizeURL, UserAgent: "perch/" + versionName(),
	})
	if err != nil {
		e.add(broken, "X", "%v", err)
		return
	}
	e.x = x
	if box := loopbackURL(e.cfg.X.APIURL); box != loopbackURL(e.cfg.X.AuthorizeURL) {
		e.add(doubtful, "X", "PERCH_X_API_URL (%s) and PERCH_X_AUTHORIZE_URL (%s) are not the same X: one is on this "+
			"machine, so nobody can sign in. Set both, or neither for X itself", e.cfg.X.APIURL, e.cfg.X.AuthorizeURL)
	}
	if err := x.Ping(ctx); err != nil {
		e.add(broken, "X", "%v. Look at %s from this machine: its name, the network, firewalls, certificates; "+
			"PERCH_X_API_URL names it", err, e.cfg.X.APIURL)
		return
	}
	e.answers = true
	e.add(fine, "X", "%s answers", e.cfg.X.APIURL)
}

// Differences between our clock and X's that are worth a word, and that break
// something: leases and expiries are told by the clock.
const (
	skewDoubtful = 5 * time.Second
	skewBroken   = time.Minute
)

func (e *exam) clock(ctx context.Context) {
	if !e.answers {
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, e.cfg.X.APIURL, nil)
	if err != nil {
		return // reported with the settings
	}
	asked := time.Now()
	res, err := asker().Do(req)
	if err != nil {
		e.add(doubtful, "clock", "X did not say what time it is: %s", inWords(err))
		return
	}
	_ = res.Body.Close()
	theirs, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		e.add(doubtful, "clock", "X did not say what time it is, so this clock was not compared")
		return
	}
	ours := asked.Add(time.Since(asked) / 2)
	skew := ours.Sub(theirs).Round(time.Second)
	switch {
	case skew.Abs() >= skewBroken:
		e.add(broken, "clock", "this clock is %s away from X's; tokens seem to expire at the wrong time. "+
			"Let NTP set it", skew)
	case skew.Abs() >= skewDoubtful:
		e.add(doubtful, "clock", "this clock is %s away from X's; let NTP set it", skew)
	default:
		e.add(fine, "clock", "it agrees with X's")
	}
}

// credentials lets X judge those of the X App in the settings.
func (e *exam) credentials(ctx context.Context) {
	const about = "X App"
	x := e.xApp()
	if x.ClientID == "" {
		e.add(doubtful, about, "the settings name none (PERCH_X_CLIENT_ID); only X Apps added with perch xapps add work")
		return
	}
	if !e.answers {
		e.add(doubtful, about, "its credentials were not tried, because X does not answer")
		return
	}
	// No such code exists: X can only refuse it, or refuse the X App before.
	_, err := e.x.Exchange(ctx, x, secret.New("perch-doctor"), secret.New(rand.Text()+rand.Text()), e.cfg.Callback())
	switch {
	case errors.Is(err, ports.ErrRejected):
		e.add(fine, about, "X accepts its client ID and secret")
	case err == nil:
		e.add(doubtful, about, "X accepted a made-up authorization code; is %s really X?", e.cfg.X.APIURL)
	case x.ClientSecret.Empty() && fault.SlugOf(err) == "x-app-refused":
		e.add(broken, about, "X refused this X App without a client secret: PERCH_X_CLIENT_SECRET is not set or empty, "+
			"and only public clients (Native App, Single page App) do without. Copy it from X's developer console")
	default:
		e.add(broken, about, "%v (PERCH_X_CLIENT_ID, PERCH_X_CLIENT_SECRET)", err)
	}
	e.bearer(ctx, x)
}

// bearer tries the X App's own bearer, if there is a way to one.
func (e *exam) bearer(ctx context.Context, x ports.XApp) {
	const about = "X App"
	if x.Bearer.Empty() && x.APIKey == "" {
		e.add(fine, about, "it has no bearer and no API key, so app-only actions are refused")
		return
	}
	token, err := e.x.AppToken(ctx, x)
	if err != nil {
		e.add(broken, about, "%v (PERCH_X_API_KEY, PERCH_X_API_SECRET)", err)
		return
	}
	usage, _ := xapi.ByID("getUsage")
	reply, err := e.x.Do(ctx, ports.Call{Action: usage, XApp: x.ID, Token: token})
	if err != nil {
		e.add(doubtful, about, "its bearer was not tried: %v", err)
		return
	}
	_ = reply.Body.Close()
	switch reply.Status {
	case http.StatusUnauthorized:
		e.add(broken, about, "X refuses its app-only bearer; make a new one in X's developer console and set PERCH_X_BEARER")
	case usage.Status():
		e.add(fine, about, "X accepts its app-only bearer")
	default:
		e.add(doubtful, about, "X answers status %d to its app-only bearer", reply.Status)
	}
}

// redirect looks at the URL X is to send browsers back to: it must be one that
// X takes, and the one that is registered there.
func (e *exam) redirect(ctx context.Context) {
	const about = "redirect"
	wrong := false
	for _, m := range e.mistakes {
		if m.Variable == publicURL {
			e.add(broken, about, "%s", m)
			wrong = true
		}
	}
	if wrong {
		return
	}
	if e.cfg.PublicURL == "" {
		e.add(doubtful, about, "the port is chosen at the start, so no callback URL can be registered at X; set PERCH_LISTEN")
		return
	}
	if say := onLocalhost(e.cfg); say != "" {
		e.add(broken, about, "%s", say)
		return
	}
	e.consent(ctx)
}

// onLocalhost says what to do where X will not send browsers back to the public
// URL, "" where it may. X in a box takes any.
func onLocalhost(cfg config.Config) string {
	u, err := url.Parse(cfg.PublicURL)
	if err != nil || u.Hostname() != "localhost" || loopbackURL(cfg.X.AuthorizeURL) {
		return ""
	}
	u.Host = strings.Replace(u.Host, "localhost", "127.0.0.1", 1)
	return fmt.Sprintf("X refuses callback URLs on localhost; set PERCH_PUBLIC_URL to %s and register "+
		"%s/oauth/callback", u, u)
}

// loopbackURL reports whether a URL is on this machine.
func loopbackURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && client.Loopback(u.Hostname())
}

// consent asks the consent page, where it is on this machine: x.com's own would
// want somebody signed in.
func (e *exam) consent(ctx context.Context) {
	const about = "redirect"
	register := "register exactly " + e.cfg.Callback() + " as callback URL of the X App"
	if e.x == nil || e.cfg.X.ClientID == "" || !loopbackURL(e.cfg.X.AuthorizeURL) {
		e.add(fine, about, "compare with X's developer console: %s", register)
		return
	}
	page := e.x.AuthorizeURL(e.xApp(), ports.AuthorizeRequest{
		Redirect: e.cfg.Callback(), Scopes: "tweet.read users.read", State: rand.Text(),
		Challenge: oauth.Challenge(rand.Text() + rand.Text()),
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return // reported with the settings
	}
	res, err := asker().Do(req)
	if err != nil {
		e.add(broken, about, "the consent page at %s does not answer; PERCH_X_AUTHORIZE_URL names it", e.cfg.X.AuthorizeURL)
		return
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < http.StatusBadRequest {
		e.add(fine, about, "the consent page takes %s", e.cfg.Callback())
		return
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	said := "it does not say why"
	if m := problemText.FindSubmatch(text); err == nil && m != nil {
		said = "it says: " + html.UnescapeString(string(m[1]))
	}
	switch {
	case strings.Contains(said, "client_id"):
		e.add(broken, about, "the consent page does not know the X App (%s); copy its OAuth 2.0 client ID from X's "+
			"developer console into PERCH_X_CLIENT_ID", said)
	case strings.Contains(said, "redirect_uri"):
		e.add(broken, about, "the consent page refuses to send browsers back (%s). To repair it, %s", said, register)
	default:
		e.add(broken, about, "the consent page refuses the sign-in (%s); compare the X App with X's developer console, "+
			"and %s", said, register)
	}
}

// problemText is where the consent page of X in a box says what is wrong.
var problemText = regexp.MustCompile(`id="problem"[^>]*>([^<]*)<`)
