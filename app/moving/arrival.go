package moving

import (
	"context"
	"errors"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
)

// Result is what became of a record.
type Result string

// What is there already stays, unless it is older and is to be replaced.
// Useless is an API key whose digest means nothing to this keyring.
const (
	Imported Result = "imported"
	There    Result = "already there"
	Useless  Result = "useless"
)

// An Outcome is what became of a thing. Verified says that it was read back from
// the store, opened, and found to be what the record says.
type Outcome struct {
	Kind, ID string
	Result   Result
	Verified bool
	Note     string // what an operator should know of it
}

// An Arrival takes one parcel's records into the stores: each is first looked
// at, all of them before any is kept.
type Arrival struct {
	*Service
	replace bool
	keysFit bool // digests of API keys mean the same here as where they come from
	Found   map[string]int
}

// Arrive begins to take a parcel in. With replace, grants that are here and
// older are replaced.
func (s *Service) Arrive(replace bool) *Arrival {
	return &Arrival{Service: s, replace: replace, Found: map[string]int{}}
}

// Look counts a record and refuses what could not be kept without harm.
func (a *Arrival) Look(ctx context.Context, kind string, record []byte) error {
	a.Found[kind]++
	switch kind {
	case KindSource:
		return a.lookAtSource(ctx, record)
	case KindXApp:
		r, err := read[xappRecord](kind, record)
		if err != nil {
			return err
		}
		_, err = a.sameXApp(ctx, r)
		return err
	case KindApp:
		_, err := read[appRecord](kind, record)
		return err
	case KindKey:
		_, err := read[keyRecord](kind, record)
		return err
	case KindGrant:
		r, err := read[grantRecord](kind, record)
		if err == nil && r.State != string(oauth.Active) && r.State != string(oauth.Suspect) &&
			r.State != string(oauth.Revoked) {
			return newer(kind)
		}
		return err
	}
	return newer(kind)
}

func newer(kind string) error {
	return fault.New(fault.Invalid, "the parcel holds a %s that this version of Perch does not know; "+
		"import it with the version that wrote it", kind)
}

func (a *Arrival) lookAtSource(ctx context.Context, record []byte) error {
	r, err := read[sourceRecord](KindSource, record)
	if err != nil {
		return err
	}
	own, err := a.peppers(ctx)
	a.keysFit = err == nil && len(r.Peppers) > 0 && within(r.Peppers, own)
	return err
}

// sameXApp refuses another X App under the same ID: X would take the refresh
// tokens of its grants for stolen. It returns fault.NotFound where there is none.
func (a *Arrival) sameXApp(ctx context.Context, r xappRecord) (xapp.App, error) {
	here, err := a.xapps.Get(ctx, xapp.ID(r.ID))
	if errors.Is(err, fault.NotFound) {
		return xapp.App{}, nil
	}
	if err != nil || here.ClientID == r.ClientID {
		return here, err
	}
	if here.ID == xapp.Default {
		return here, fault.New(fault.Conflict, "the default X App has the client ID %q in this store and %q in the parcel. "+
			"X would take the refresh tokens for stolen, so nothing is imported; start Perch once on this store "+
			"with PERCH_X_CLIENT_ID=%s, stop it, and import again", here.ClientID, r.ClientID, r.ClientID)
	}
	return here, fault.New(fault.Conflict, "the X App %s has the client ID %q in this store and %q in the parcel. "+
		"X would take the refresh tokens for stolen, so nothing is imported; import into a store without that X App",
		r.ID, here.ClientID, r.ClientID)
}

// Keep takes a record into the stores. What goes wrong with one thing alone is
// an error of the kinds fault.Conflict or fault.Invalid; after any other the
// next would fare no better. Grants may be kept by several at once, once the
// records before them are.
func (a *Arrival) Keep(ctx context.Context, kind string, record []byte) (o Outcome, err error) {
	keep := map[string]func(context.Context, []byte) (Outcome, error){
		KindSource: func(context.Context, []byte) (Outcome, error) { return Outcome{}, nil },
		KindXApp:   a.keepXApp, KindApp: a.keepApp, KindKey: a.keepKey, KindGrant: a.keepGrant,
	}[kind]
	if keep == nil {
		return Outcome{}, newer(kind)
	}
	for wait := 200 * time.Millisecond; ; wait *= 2 {
		o, err = keep(ctx, record)
		o.Kind = kind
		if !errors.Is(err, fault.Unavailable) || wait > patience || !sleep(ctx, max(wait, asked(err))) {
			return o, err
		}
	}
}

// patience is the longest pause before a store that does not answer is asked
// again, unless it asks for a longer one itself.
const patience = 2 * time.Second

// asked is how long the store wants to be left alone.
func asked(err error) time.Duration {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Wait
	}
	return 0
}

// sleep reports whether the time passed before the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (a *Arrival) keepXApp(ctx context.Context, record []byte) (Outcome, error) {
	r, err := read[xappRecord](KindXApp, record)
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{ID: r.ID, Result: There}
	if here, err := a.sameXApp(ctx, r); err != nil || here.ID != "" {
		return o, err
	}
	x := r.xapp()
	for _, part := range []struct {
		plain, kind string
		into        *secret.Box
	}{
		{r.ClientSecret, xapp.SecretLabel, &x.ClientSecret},
		{r.Bearer, xapp.BearerLabel, &x.Bearer},
		{r.APISecret, xapp.APISecretLabel, &x.APISecret},
	} {
		if *part.into, err = a.seal(ctx, part.plain, secret.Label(part.kind, r.ID)); err != nil {
			return o, err
		}
	}
	if _, err := a.xapps.Create(ctx, x); err != nil {
		return o, meanwhile(err)
	}
	o.Result = Imported
	return o, nil
}

func (a *Arrival) seal(ctx context.Context, plain, label string) (secret.Box, error) {
	if plain == "" {
		return "", nil
	}
	return a.ring.Seal(ctx, secret.New(plain), label)
}

// meanwhile turns a collision with what was not there a moment ago into a
// reason to come again.
func meanwhile(err error) error {
	if errors.Is(err, fault.Conflict) {
		return fault.New(fault.Unavailable, "somebody else writes to this store; import again").Because(err)
	}
	return err
}

func (a *Arrival) keepApp(ctx context.Context, record []byte) (Outcome, error) {
	r, err := read[appRecord](KindApp, record)
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{ID: r.ID, Result: There}
	here, err := a.apps.Get(ctx, r.app().ID)
	switch {
	case errors.Is(err, fault.NotFound):
		if _, err := a.apps.Create(ctx, r.app()); err != nil {
			return o, meanwhile(err)
		}
		o.Result = Imported
		return o, nil
	case err != nil:
		return o, err
	case here.XApp != r.app().XApp:
		return o, fault.New(fault.Conflict, "the client application %s acts through the X App %s here, and through %s where "+
			"it comes from", r.ID, here.XApp, r.XApp)
	}
	return o, nil
}

func (a *Arrival) keepKey(ctx context.Context, record []byte) (Outcome, error) {
	r, err := read[keyRecord](KindKey, record)
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{ID: r.ID, Result: Useless}
	if !a.keysFit {
		return o, nil
	}
	o.Result = There
	here, err := a.keys.Get(ctx, r.key().ID)
	switch {
	case errors.Is(err, fault.NotFound):
		if _, err := a.keys.Create(ctx, r.key()); err != nil {
			return o, meanwhile(err)
		}
		o.Result = Imported
		return o, nil
	case err == nil && here.Revoked.IsZero() && !r.Revoked.IsZero():
		o.Note = "is revoked where it comes from and good here; to end it: perch keys revoke " + r.ID
	}
	return o, err
}
