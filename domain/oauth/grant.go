// Package oauth holds what OAuth 2.0 leaves us to keep about X: grants, their
// scopes, and authorizations that are under way.
package oauth

import (
	"fmt"
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
)

// GrantID names a grant.
type GrantID string

// NewGrantID returns an ID for a grant made at now, from random text. IDs begin
// with the time, so that grants which are listed together lie together.
func NewGrantID(now time.Time, random string) GrantID {
	return GrantID(fmt.Sprintf("grant_%011x%s", now.UnixMilli(), strings.ToLower(random)))
}

// IsGrantID reports whether s is written as IDs of grants are. What is not may
// be anything a client sends by mistake, a secret say, and is written nowhere.
func IsGrantID(s string) bool {
	rest, ok := strings.CutPrefix(s, "grant_")
	return ok && len(rest) >= 11 && len(rest) <= 100 && strings.IndexFunc(rest, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	}) < 0
}

// State says how far a grant can be relied on.
type State string

// An active grant works as far as we know. X has refused a suspect one, which
// may be X's fault: its tokens stay and it is tried again from time to time.
// A revoked grant is never used again; the user must connect anew.
const (
	Active  State = "active"
	Suspect State = "suspect"
	Revoked State = "revoked"
)

// States lists the states.
func States() []State { return []State{Active, Suspect, Revoked} }

// Margin is how much longer an access token must be good to be called fresh. A
// token is refreshed that long before it ends, so that a refresh whose end nobody
// knows can be left alone for that time: whoever began it may come back with it.
const Margin = 10 * time.Minute

// No lease is longer, and nothing is put off for longer. What seems to be was
// written when a clock was wrong.
const (
	longestLease = 2 * time.Minute
	longestRetry = time.Hour
)

// A Lease is the right to refresh a grant. It ends by itself.
type Lease struct {
	Holder string
	Until  time.Time
}

// A Grant is one user's permission for one client application to act on X
// through one X App.
//
// Tokens are sealed: a grant may be stored, copied and listed freely.
// Methods return the changed grant and leave the receiver as it was.
type Grant struct {
	ID         GrantID
	App        client.AppID
	XApp       xapp.ID
	User       user.User
	Scopes     Scopes
	State      State
	Access     secret.Box
	Refresh    secret.Box // empty where X gave none
	Expires    time.Time  // of the access token
	Generation int64      // how many token pairs came before this one
	Failures   int        // refreshes X refused since the last one that worked
	Retry      time.Time  // no refresh before this
	Lease      Lease
	Created    time.Time // when the user gave it; anew after a revocation
	Updated    time.Time
	Version    int64 // set by the vault; see ports.TokenVault.Swap
}

// The kinds of box a grant holds; part of their labels.
const (
	AccessLabel  = "grant.access"
	RefreshLabel = "grant.refresh"
)

// Label is what a box of the grant is sealed under.
func (g Grant) Label(kind string) string {
	return secret.Label(kind, string(g.ID), string(g.App))
}

// Fresh reports whether the access token is good for at least Margin.
func (g Grant) Fresh(now time.Time) bool { return now.Add(Margin).Before(g.Expires) }

// Usable reports whether X should still accept the access token.
func (g Grant) Usable(now time.Time) bool { return !g.Access.Empty() && now.Before(g.Expires) }

// Unsettled reports whether somebody is refreshing the grant, or has tried and
// nobody knows what X did.
func (g Grant) Unsettled() bool { return g.Lease.Holder != "" }

// Leased reports whether somebody holds the grant's lease at now.
func (g Grant) Leased(now time.Time) bool {
	return g.Lease.Holder != "" && now.Before(g.Lease.Until) && g.Lease.Until.Sub(now) <= longestLease
}

// postponed reports whether the next refresh is to wait.
func (g Grant) postponed(now time.Time) bool {
	return now.Before(g.Retry) && g.Retry.Sub(now) <= longestRetry
}

// Acquire leases g to holder until now+ttl. It returns fault.Conflict while
// another holder's lease is running, and fault.Forbidden where there is nothing
// to refresh with.
func (g Grant) Acquire(holder string, now time.Time, ttl time.Duration) (Grant, error) {
	switch {
	case g.State == Revoked:
		return Grant{}, ErrRevoked()
	case g.Refresh.Empty():
		return Grant{}, fault.New(fault.Forbidden, "the access token has expired and X gave no refresh token; "+
			"the user must connect again, with the scope offline.access").Named("grant-expired")
	case g.Leased(now) && g.Lease.Holder != holder:
		return Grant{}, fault.New(fault.Conflict, "the grant is being refreshed; try again in a moment").
			Named("grant-busy").After(g.Lease.Until.Sub(now))
	case g.State == Suspect && g.postponed(now):
		return Grant{}, fault.New(fault.Unavailable, "X refused to refresh this grant; it is tried again shortly. "+
			"If this lasts, the user must connect again").Named("grant-suspect").After(g.Retry.Sub(now))
	case g.postponed(now):
		return Grant{}, fault.New(fault.Limited, "X limits how often tokens are refreshed; try again later").
			Named("x-token-limit").After(g.Retry.Sub(now))
	}
	g.Lease = Lease{Holder: holder, Until: now.Add(ttl)}
	return g, nil
}

const revoked = "grant-revoked"

// ErrRevoked says that a grant has ended and what to do.
func ErrRevoked() error {
	return fault.New(fault.Forbidden, "the grant is revoked; the user must connect again").Named(revoked)
}

// IsRevoked reports whether err says that a grant has ended.
func IsRevoked(err error) bool { return fault.SlugOf(err) == revoked }

// A Pair is what X gave: sealed tokens and what it said of them.
type Pair struct {
	Access  secret.Box
	Refresh secret.Box // empty: X gave none, the old one stays
	Scopes  Scopes     // empty: unchanged
	Expires time.Time
}

// Renew puts a new pair in place, ends the lease and any suspicion.
func (g Grant) Renew(p Pair, now time.Time) Grant {
	g.Access, g.Expires = p.Access, p.Expires
	if !p.Refresh.Empty() {
		g.Refresh = p.Refresh
	}
	if p.Scopes != "" {
		g.Scopes = p.Scopes
	}
	g.State, g.Failures, g.Retry, g.Lease = Active, 0, time.Time{}, Lease{}
	g.Generation++
	g.Updated = now
	return g
}

// Reconnect replaces the pair after a new consent: nothing of the old one stays.
// After a revocation it is a new permission, which older sessions do not have.
func (g Grant) Reconnect(u user.User, p Pair, now time.Time) Grant {
	if g.State == Revoked {
		g.Created = now
	}
	g.User, g.Refresh, g.Scopes = u, p.Refresh, p.Scopes
	return g.Renew(p, now)
}

// Doubt ends the lease and makes the grant suspect: X refused the refresh. The
// tokens stay. Each refusal doubles the time until the next try, up to an hour.
func (g Grant) Doubt(now time.Time) Grant {
	wait := longestRetry
	if g.Failures < 7 {
		wait = 30 * time.Second << g.Failures
	}
	g.State, g.Failures, g.Retry, g.Lease = Suspect, g.Failures+1, now.Add(wait), Lease{}
	g.Updated = now
	return g
}

// Postpone ends the lease; X wants to be asked again later, at the earliest.
func (g Grant) Postpone(wait time.Duration, now time.Time) Grant {
	g.Lease, g.Retry, g.Updated = Lease{}, now.Add(wait), now
	return g
}

// Release ends the lease and changes nothing else.
func (g Grant) Release() Grant {
	g.Lease = Lease{}
	return g
}

// Stale marks the access token as no longer accepted by X. It has run out some
// time ago, for others whose clocks are a little behind ours.
func (g Grant) Stale(now time.Time) Grant {
	g.Expires, g.Updated = now.Add(-time.Minute), now
	return g
}

// Revoke ends the grant. Its boxes stay until Forget, so that X can be told.
func (g Grant) Revoke(now time.Time) Grant {
	g.State, g.Lease, g.Failures, g.Retry = Revoked, Lease{}, 0, time.Time{}
	g.Updated = now
	return g
}

// Forget drops the tokens of a grant that has ended.
func (g Grant) Forget(now time.Time) Grant {
	g.Access, g.Refresh = "", ""
	g.Expires, g.Updated = now, now
	return g
}
