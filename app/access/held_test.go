package access_test

import (
	"context"
	"testing"
	"time"

	"perch/app/access"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
)

const (
	home  = "https://app.example"
	perch = "https://api.example"
)

// Holder knows three applications in cookie mode: app_1 with its page, app_2
// with a page of its own and that of app_1, app_own with Perch's own origin.
func (book) Holder(_ context.Context, id client.AppID, cookie secret.Text) (session.Session, client.App, error) {
	apps := map[client.AppID]client.App{
		"app_1":    {ID: "app_1", Origins: []client.Origin{home}},
		"app_2":    {ID: "app_2", Origins: []client.Origin{home, "https://two.example"}},
		"app_own":  {ID: "app_own", Origins: []client.Origin{perch}},
		"app_away": {ID: "app_away", Origins: []client.Origin{home}},
	}
	switch cookie.Reveal() {
	case "good":
		return session.Session{ID: "ses_" + session.ID(id), Grant: oauth.GrantID("g_" + id), Scopes: "tweet.read"}, apps[id], nil
	case "newer":
		return session.Session{ID: "ses_" + session.ID(id), Grant: oauth.GrantID("g_" + id), Created: time.Unix(1, 0)}, apps[id], nil
	case "suspended":
		return session.Session{}, apps[id], fault.New(fault.Forbidden, "suspended").Named("app-suspended")
	case "down":
		return session.Session{}, client.App{}, fault.New(fault.Unavailable, "the store is down")
	}
	return session.Session{}, client.App{}, fault.New(fault.Unauthenticated, "ended").Named("no-session")
}

func TestACookieCountsOnlyForItsOwnPages(t *testing.T) {
	type cookies = map[client.AppID]string
	one := cookies{"app_1": "good"}
	for name, v := range map[string]struct {
		cookies cookies
		bearer  string
		grant   oauth.GrantID
		origin  string
		site    string
		reads   bool
		kind    fault.Kind // of the refusal
		slug    string
		as      client.AppID // where let in
	}{
		"its page writes":                   {cookies: one, origin: home, site: "same-site", as: "app_1"},
		"its page reads":                    {cookies: one, origin: home, site: "same-site", reads: true, as: "app_1"},
		"an old browser's":                  {cookies: one, origin: home, as: "app_1"},
		"its page on another site":          {cookies: one, origin: home, site: "cross-site", kind: fault.Forbidden, slug: "cross-site-request"},
		"a typed address":                   {cookies: one, site: "none", reads: true, kind: fault.Forbidden, slug: "cross-site-request"},
		"an odd site":                       {cookies: one, origin: home, site: "same-origin, none", kind: fault.Forbidden, slug: "cross-site-request"},
		"another site reads":                {cookies: one, origin: "https://evil.example", site: "cross-site", reads: true, kind: fault.Forbidden, slug: "cross-site-request"},
		"an image of a neighbour":           {cookies: one, site: "same-site", reads: true, kind: fault.Forbidden, slug: "cross-site-request"},
		"a form without origin":             {cookies: one, site: "same-origin", kind: fault.Forbidden, slug: "cross-site-request"},
		"no sign of a browser":              {cookies: one, reads: true, kind: fault.Forbidden, slug: "cross-site-request"},
		"a neighbour writes":                {cookies: one, origin: "https://evil.app.example", site: "same-site", kind: fault.Unauthenticated, slug: "no-session"},
		"a sandboxed frame":                 {cookies: one, origin: "null", kind: fault.Unauthenticated, slug: "no-session"},
		"a page at Perch reads":             {cookies: cookies{"app_own": "good"}, site: "same-origin", reads: true, as: "app_own"},
		"a page at Perch writes":            {cookies: cookies{"app_own": "good"}, origin: perch, site: "same-origin", as: "app_own"},
		"Perch's origin is not listed":      {cookies: one, site: "same-origin", reads: true, kind: fault.Unauthenticated, slug: "no-session"},
		"another application's page":        {cookies: one, origin: "https://two.example", kind: fault.Unauthenticated, slug: "no-session"},
		"one of two that are signed in":     {cookies: cookies{"app_1": "good", "app_2": "good"}, origin: "https://two.example", as: "app_2"},
		"the latest of two at one origin":   {cookies: cookies{"app_1": "newer", "app_2": "good"}, origin: home, as: "app_1"},
		"the named of two at one origin":    {cookies: cookies{"app_1": "newer", "app_2": "good"}, origin: home, grant: "g_app_2", as: "app_2"},
		"another grant than its own":        {cookies: one, origin: home, grant: "g_app_2", kind: fault.Forbidden, slug: "bound-session"},
		"one that has ended":                {cookies: cookies{"app_1": "ended"}, origin: home, kind: fault.Unauthenticated, slug: "no-session"},
		"one of a suspended application":    {cookies: cookies{"app_1": "suspended"}, origin: home, kind: fault.Forbidden, slug: "app-suspended"},
		"another's suspension is no matter": {cookies: cookies{"app_2": "suspended", "app_own": "good"}, origin: perch, as: "app_own"},
		"a store that is down":              {cookies: cookies{"app_1": "down"}, origin: home, kind: fault.Unavailable},
		"a store that is down for one":      {cookies: cookies{"app_1": "down", "app_2": "good"}, origin: home, kind: fault.Unavailable},
		"a token beside it wins":            {cookies: one, bearer: "session", origin: home, as: "app_1"},
		"a bad token beside it is refused":  {cookies: one, bearer: "x", origin: home, kind: fault.Unauthenticated, slug: "invalid-token"},
		"a publishable key beside it":       {cookies: one, bearer: "pk_x", origin: home, kind: fault.Unauthenticated, slug: "publishable-key"},
	} {
		held := access.Held{Cookies: map[client.AppID]secret.Text{}, Site: v.site, Reads: v.reads, Own: perch}
		for id, value := range v.cookies {
			held.Cookies[id] = secret.New(value)
		}
		c, err := access.New(registry{}, book{}).Enter(t.Context(), access.Credentials{
			Bearer: secret.New(v.bearer), Grant: v.grant, Origin: v.origin, Browser: true, Held: held,
		})
		if v.kind != fault.Internal {
			if fault.KindOf(err) != v.kind || fault.SlugOf(err) != v.slug || c.App.ID != "" {
				t.Errorf("%s: let in as %q: %v", name, c.App.ID, err)
			}
			continue
		}
		if err != nil || c.App.ID != v.as || c.Session == "" || c.Actor != string(c.Session) || c.AppOnly {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		if c.Cookie != (v.bearer == "") || v.bearer == "" && c.Grant != oauth.GrantID("g_"+v.as) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
