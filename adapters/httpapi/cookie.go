package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"perch/app/access"
	"perch/app/sessions"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// sessionCookie and the application's ID name a session cookie: each application
// has its own, so that two at one Perch do not disturb each other. Over https the
// name begins with __Host-, which lets no other host and no plain http set it.
const sessionCookie = "perch_session_"

// maxSessionCookies is how many applications one browser may be signed in to.
const maxSessionCookies = 50

func (s *Server) cookiePrefix() string {
	if s.secure() {
		return "__Host-" + sessionCookie
	}
	return sessionCookie
}

// sessionCookies reads the session cookies. One that comes twice counts not at
// all: somebody else may have set the other.
func (s *Server) sessionCookies(r *request) map[client.AppID]secret.Text {
	prefix, found, twice := s.cookiePrefix(), map[client.AppID]secret.Text{}, map[client.AppID]bool{}
	for _, header := range r.c.Request().Header.PeekAll(fiber.HeaderCookie) {
		for _, pair := range strings.Split(string(header), ";") {
			name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=") // no other spaces: they are part of a name
			id, ours := strings.CutPrefix(name, prefix)
			if !ours || len(id) > maxID || len(found) == maxSessionCookies {
				continue
			}
			app := client.AppID(id)
			_, again := found[app]
			twice[app] = twice[app] || again
			found[app] = secret.New(value)
		}
	}
	for app, is := range twice {
		if is {
			delete(found, app)
		}
	}
	return found
}

// heldBy is what the gate needs to know to go by a cookie. A request that brings
// an Authorization header does not go by it.
func (s *Server) heldBy(r *request) access.Held {
	if r.has(fiber.HeaderAuthorization) {
		return access.Held{}
	}
	return access.Held{
		Cookies: s.sessionCookies(r), Site: r.header("Sec-Fetch-Site"),
		Reads: r.method == http.MethodGet || r.method == http.MethodHead, Own: client.Origin(s.cfg.PublicURL),
	}
}

// noSession tells a page that its user must sign in, err, and one that belongs to
// nobody that it may not call.
func (s *Server) noSession(r *request, err error) error {
	if failed := s.listed(r.ctx, r); failed != nil {
		return failed
	}
	if !r.shared {
		return notListed()
	}
	return err
}

// signIn begins a sign-in that ends with a session cookie.
func (s *Server) signIn(r *request) error {
	q, err := once(r.query)
	if err != nil {
		return err
	}
	to, err := s.services.Sessions.SignIn(r.ctx, sessions.SignInRequest{
		ClientID: q.Get("client_id"), Redirect: q.Get("redirect_uri"), Scope: q.Get("scope"), State: q.Get("state"),
		From: r.addr, Held: s.sessionCookies(r),
	})
	if err != nil {
		return err
	}
	return s.toX(r, to)
}

// toX binds the browser to its sign-in and sends it to X.
func (s *Server) toX(r *request, to sessions.Redirect) error {
	u, err := url.Parse(to.URL)
	if err != nil {
		return err
	}
	s.bind(r, u.Query().Get("state"), to.Cookie)
	r.redirect(to.URL)
	return nil
}

// hold gives the browser a session to hold. The cookie lasts as long as the
// session may at most; whether it still does is for Perch to say.
func (s *Server) hold(r *request, h sessions.Held) {
	s.setSession(r, h.App, h.Value.Reveal(), int(h.TTL.Seconds()))
}

// setSession sets the session cookie, or clears it where maxAge is negative.
// SameSite is Strict: all that counts are calls of pages of the same site.
func (s *Server) setSession(r *request, app client.AppID, value string, maxAge int) {
	cookie := http.Cookie{ //nolint:gosec // plain http is for loopback, where Secure cookies may be refused
		Name: s.cookiePrefix() + string(app), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteStrictMode,
	}
	r.c.Response().Header.Add(fiber.HeaderSetCookie, cookie.String())
}

// A sessionView is what a page may know of its session.
type sessionView struct {
	AppID     string     `json:"app_id"`
	GrantID   string     `json:"grant_id"`
	User      userView   `json:"user"`
	Scopes    []string   `json:"scopes"`
	CreatedAt *time.Time `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// showSession says who is signed in.
func (s *Server) showSession(r *request) error {
	if err := needsSession(r); err != nil {
		return err
	}
	ses, err := s.services.Sessions.Session(r.ctx, r.caller.Session)
	if err != nil {
		return err
	}
	view := sessionView{
		AppID: string(ses.App), GrantID: string(ses.Grant), User: userView{ID: string(ses.User)},
		Scopes: texts(r.caller.Scopes.List()), CreatedAt: instant(ses.Created), ExpiresAt: instant(ses.Expires),
	}
	g, err := s.services.Grants.Get(r.ctx, ses.App, ses.Grant)
	switch {
	case errors.Is(err, fault.NotFound), err == nil && g.State == oauth.Revoked:
		return fault.New(fault.Unauthenticated, "the user's permission was revoked; sign in again").Named(noSession)
	case err != nil:
		return err
	}
	view.User.Username, view.User.Name = g.User.Username, g.User.Name
	r.json(plainJSON, view)
	return nil
}

// signOut ends the session and clears its cookie. Clear-Site-Data is not sent: it
// would clear the cookies of the whole site, those of other applications too.
func (s *Server) signOut(r *request) error {
	if err := needsSession(r); err != nil {
		return err
	}
	if err := s.services.Sessions.SignOut(r.ctx, r.caller.Session); err != nil {
		return err
	}
	if r.caller.Cookie {
		s.setSession(r, r.caller.App.ID, "", -1)
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

func needsSession(r *request) error {
	if r.caller.Session == "" {
		return fault.New(fault.Forbidden, "a secret key has no session; sessions are for pages that sign users in").
			Named("not-a-session")
	}
	return nil
}
