package ports

import (
	"context"
	"net/netip"
	"strings"

	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/oauth"
	"perch/domain/user"
)

// A Caller is on whose account a call is made.
type Caller struct {
	Actor   string     // key or session
	Address netip.Addr // of the client; invalid where there is none
	App     client.App
	Grant   oauth.GrantID // empty: the X App acts itself, or nobody
	User    user.ID       // whose grant it is
	Scopes  oauth.Scopes  // that the user has granted
	Batch   bool          // nobody waits for the answer: others go first
	AllUse  bool          // may see what the whole application spends, not only its grants

	Delivery delivery.ID // that is being sent; empty: the client waits
}

// Session reports whether the caller is a session: a browser, which learns
// nothing of others' use of its application.
func (c Caller) Session() bool { return strings.HasPrefix(c.Actor, "ses_") }

// Settle is told once how a call ended: with X's answer, or with the error that
// is there in its place.
type Settle func(ctx context.Context, r *Reply, err error)
