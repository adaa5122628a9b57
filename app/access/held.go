package access

import (
	"context"
	"maps"
	"slices"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/session"
)

// Held is what a browser sends along whether or not a page meant it to: session
// cookies, and the headers that tell whose doing the request is.
type Held struct {
	Cookies map[client.AppID]secret.Text // by client application
	Site    string                       // the Sec-Fetch-Site header
	Reads   bool                         // the method is GET or HEAD
	Own     client.Origin                // Perch's own public origin
}

// page returns the origin of the page that made the request. A cookie counts
// only if that is certain: browsers name the origin on every call of another
// origin and with every unsafe method. Where they leave it out, on reads of the
// page's own origin, Sec-Fetch-Site must say so. A page of another site is refused
// even if its origin is listed: it is not sent these cookies, so something is odd.
func (h Held) page(origin string) (client.Origin, error) {
	switch {
	case h.Site != "" && h.Site != "same-origin" && h.Site != "same-site":
		return "", crossSite("the session's cookie came with a request of another site, which it is not for; " +
			"serve the page from the same site as this Perch")
	case origin != "":
		return client.Origin(origin), nil
	case h.Reads && h.Site == "same-origin":
		return h.Own, nil
	}
	return "", crossSite("the session's cookie came without an Origin header, so nobody can tell which page sent it; " +
		"call with fetch from a page of this client application")
}

func crossSite(say string) error {
	return fault.New(fault.Forbidden, "%s", say).Named("cross-site-request")
}

// holder lets in the page that made the request with the session that its
// application holds in a cookie. Other applications' cookies come along too;
// they are theirs. Where two applications share an origin and both are signed
// in, Perch-Grant chooses, or else the latest sign-in.
func (g *Gate) holder(ctx context.Context, c Credentials) (Caller, error) {
	page, err := c.Held.page(c.Origin)
	if err != nil {
		return Caller{}, err
	}
	var best session.Session
	var owner client.App
	why := error(fault.New(fault.Unauthenticated, "there is no session of this page's client application, "+
		"or it has ended; sign in").Named("no-session"))
	for _, id := range slices.Sorted(maps.Keys(c.Held.Cookies)) {
		ses, app, err := g.sessions.Holder(ctx, id, c.Held.Cookies[id])
		switch k := fault.KindOf(err); {
		case err != nil && k != fault.Unauthenticated && k != fault.Forbidden:
			return Caller{}, err
		case !app.From(page): // not this page's, or not good
		case err != nil:
			why = err
		case c.Grant != "" && ses.Grant != c.Grant:
			why = fault.New(fault.Forbidden, "a session acts for its own grant only; leave Perch-Grant out").
				Named("bound-session")
		case best.ID == "" || ses.Created.After(best.Created):
			best, owner = ses, app
		}
	}
	if best.ID == "" {
		return Caller{}, why
	}
	return Caller{
		App: owner, Grant: best.Grant, Scopes: best.Scopes, Session: best.ID, Cookie: true, Actor: string(best.ID),
	}, nil
}
