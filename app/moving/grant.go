package moving

import (
	"context"
	"errors"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// keepGrant tries to create the grant before it looks: most are new, and each
// question costs a round trip.
func (a *Arrival) keepGrant(ctx context.Context, record []byte) (Outcome, error) {
	r, err := read[grantRecord](KindGrant, record)
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{ID: r.ID}
	g, err := a.sealed(ctx, r)
	if err != nil {
		return o, err
	}
	if _, err = a.vault.Create(ctx, g); !errors.Is(err, fault.Conflict) {
		return a.kept(ctx, o, r, err)
	}
	here, err := a.vault.Get(ctx, g.ID)
	switch {
	case err == nil:
		return a.oldGrant(ctx, o, r, here)
	case !errors.Is(err, fault.NotFound):
		return o, err
	}
	other, err := a.vault.Find(ctx, g.App, g.XApp, g.User.ID)
	if errors.Is(err, fault.NotFound) {
		return o, meanwhile(fault.Conflict) // it went a moment ago
	}
	o.Result = There
	o.Note = "the user has connected here anew, as " + string(other.ID) + "; that grant stays"
	return o, err
}

// oldGrant decides about a grant that is here already.
func (a *Arrival) oldGrant(ctx context.Context, o Outcome, r grantRecord, here oauth.Grant) (Outcome, error) {
	g := r.grant()
	o.Result = There
	switch {
	case here.App != g.App || here.XApp != g.XApp || here.User.ID != g.User.ID:
		return o, fault.New(fault.Conflict, "the grant %s is here another user's or another application's", g.ID)
	case !g.Supersedes(here):
		return a.stays(ctx, o, r, here)
	case !a.replace:
		o.Note = "is older here; import with --replace to put the newer one in its place"
		return o, nil
	case here.Leased(time.Now()):
		return o, fault.New(fault.Conflict, "the grant %s is being refreshed here; stop Perch, and import again", g.ID)
	}
	next, err := a.sealed(ctx, r)
	if err != nil {
		return o, err
	}
	if _, err = a.vault.Swap(ctx, here, next); errors.Is(err, fault.Conflict) {
		return o, meanwhile(err)
	}
	return a.kept(ctx, o, r, err)
}

// stays looks whether a grant that is not to be replaced is the record's own.
func (a *Arrival) stays(ctx context.Context, o Outcome, r grantRecord, here oauth.Grant) (Outcome, error) {
	switch {
	case here.Generation > r.Generation:
		o.Note = "is newer here and stays"
		return o, nil
	case here.State == oauth.Revoked && r.State != string(oauth.Revoked):
		o.Note = "has been revoked here and stays so"
		return o, nil
	case here.State == oauth.Revoked: // X may still have to be told from here
		o.Verified = true
		return o, nil
	}
	same, err := a.holds(ctx, here, r)
	if err == nil && !same {
		return o, fault.New(fault.Conflict, "the grant %s has other tokens here, and both are equally old: both stores were "+
			"used. It stays as it is; if its refreshes fail, the user must connect again", r.ID)
	}
	o.Verified = same
	return o, err
}

// sealed is the record's grant with its tokens under this keyring.
func (a *Arrival) sealed(ctx context.Context, r grantRecord) (g oauth.Grant, err error) {
	g = r.grant()
	if g.Access, err = a.seal(ctx, r.Access, g.Label(oauth.AccessLabel)); err != nil {
		return g, err
	}
	g.Refresh, err = a.seal(ctx, r.Refresh, g.Label(oauth.RefreshLabel))
	return g, err
}

// kept reads back what was written and compares it with the record.
func (a *Arrival) kept(ctx context.Context, o Outcome, r grantRecord, err error) (Outcome, error) {
	if err != nil {
		return o, err
	}
	o.Result = Imported
	here, err := a.vault.Get(ctx, r.grant().ID)
	if err != nil {
		return o, err
	}
	bare := here
	bare.Access, bare.Refresh, bare.Version = "", "", 0
	same, err := a.holds(ctx, here, r)
	if err == nil && (!same || bare != r.grant()) {
		return o, fault.New(fault.Conflict, "the grant %s was written, and is not what was read back; "+
			"is a Perch serving this store already?", r.ID)
	}
	o.Verified = err == nil
	return o, err
}

// holds reports whether the boxes of the grant open and hold the record's tokens.
func (a *Arrival) holds(ctx context.Context, g oauth.Grant, r grantRecord) (bool, error) {
	for _, part := range []struct {
		box         secret.Box
		kind, plain string
	}{{g.Access, oauth.AccessLabel, r.Access}, {g.Refresh, oauth.RefreshLabel, r.Refresh}} {
		if part.box.Empty() {
			if part.plain != "" {
				return false, nil
			}
			continue
		}
		plain, err := a.ring.Open(ctx, part.box, g.Label(part.kind))
		if ctx.Err() != nil {
			return false, err
		}
		if err != nil || !plain.Equal(secret.New(part.plain)) {
			return false, nil
		}
	}
	return true, nil
}
