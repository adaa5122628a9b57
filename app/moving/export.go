package moving

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
)

// pageSize is how many things are read of a store at once.
const pageSize = 500

// An Order is what to export.
type Order struct {
	App       client.AppID // empty: of all applications
	Unsettled bool         // also grants whose last refresh has no known outcome

	// Left is told of each grant that stays behind, and why; At after each page
	// of grants how many were read.
	Left func(id oauth.GrantID, why string)
	At   func(grants int)
}

// Exported is what an export took, and what it left.
type Exported struct {
	XApps, Apps, Keys, Grants int
	Left                      int
	Untold                    int       // of the grants: revoked, and X could not be told yet
	Changed                   time.Time // when a grant last changed
}

// An exporter is one export under way.
type exporter struct {
	*Service
	Order
	out  func(kind string, record []byte) error
	sent map[xapp.ID]bool
	seen hash.Hash // of the versions of all grants, in order
	done Exported
}

// Export hands everything of the order to put, each thing after those it needs.
// Grants that cannot be taken whole stay behind and are told of. If a grant was
// changed meanwhile the error is fault.Conflict, and what was put must not be
// used: it may hold a refresh token that X has exchanged for another.
func (s *Service) Export(
	ctx context.Context, o Order, put func(kind string, record []byte) error,
) (Exported, error) {
	e := &exporter{Service: s, Order: o, out: put, sent: map[xapp.ID]bool{}, seen: sha256.New()}
	for _, part := range []func(context.Context) error{
		e.source, e.allXApps, e.allApps, e.allKeys, e.allGrants, e.stillSame,
	} {
		if err := part(ctx); err != nil {
			return e.done, err
		}
	}
	return e.done, nil
}

func (e *exporter) put(kind string, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return fault.New(fault.Internal, "").Because(err)
	}
	return e.out(kind, text)
}

func (e *exporter) source(ctx context.Context) error {
	peppers, err := e.peppers(ctx)
	if err != nil {
		return err
	}
	return e.put(KindSource, sourceRecord{peppers})
}

// allXApps leaves it to applications and grants to name theirs where the order
// is for one application.
func (e *exporter) allXApps(ctx context.Context) error {
	if e.App != "" {
		return nil
	}
	return pages(func(after xapp.ID) ([]xapp.App, error) { return e.xapps.List(ctx, after, pageSize) },
		func(x xapp.App) xapp.ID { return x.ID },
		func(x xapp.App) error { return e.xapp(ctx, x.ID) })
}

// xapp exports an X App, once. Of the default one a store may know nothing.
func (e *exporter) xapp(ctx context.Context, id xapp.ID) error {
	if e.sent[id] {
		return nil
	}
	e.sent[id] = true
	x, err := e.xapps.Get(ctx, id)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r := xappRecord{ID: string(x.ID), Name: x.Name, ClientID: x.ClientID, APIKey: x.APIKey, Created: x.Created}
	for _, part := range []struct {
		box  secret.Box
		kind string
		into *string
	}{
		{x.ClientSecret, xapp.SecretLabel, &r.ClientSecret},
		{x.Bearer, xapp.BearerLabel, &r.Bearer},
		{x.APISecret, xapp.APISecretLabel, &r.APISecret},
	} {
		if *part.into, err = e.open(ctx, part.box, secret.Label(part.kind, string(x.ID))); err != nil {
			return fault.New(fault.Invalid, "the secrets of the X App %s do not open with this keyset; "+
				"set PERCH_KEYSET_FILE to the one that belongs to the store", x.ID).Because(err)
		}
	}
	e.done.XApps++
	return e.put(KindXApp, r)
}

func (e *exporter) open(ctx context.Context, box secret.Box, label string) (string, error) {
	if box.Empty() {
		return "", nil
	}
	plain, err := e.ring.Open(ctx, box, label)
	return plain.Reveal(), err
}

func (e *exporter) allApps(ctx context.Context) error {
	if e.App == "" {
		return pages(func(after client.AppID) ([]client.App, error) { return e.apps.List(ctx, after, pageSize) },
			func(a client.App) client.AppID { return a.ID },
			func(a client.App) error { return e.app(ctx, a) })
	}
	a, err := e.apps.Get(ctx, e.App)
	if errors.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "no client application has the ID %q; perch apps list shows those there are", e.App)
	}
	if err != nil {
		return err
	}
	return e.app(ctx, a)
}

func (e *exporter) app(ctx context.Context, a client.App) error {
	if err := e.xapp(ctx, a.XApp); err != nil {
		return err
	}
	e.done.Apps++
	return e.put(KindApp, recordOfApp(a))
}

func (e *exporter) allKeys(ctx context.Context) error {
	return pages(func(after apikey.ID) ([]apikey.Key, error) { return e.keys.List(ctx, e.App, after, pageSize) },
		func(k apikey.Key) apikey.ID { return k.ID },
		func(k apikey.Key) error {
			e.done.Keys++
			return e.put(KindKey, recordOfKey(k))
		})
}

func (e *exporter) allGrants(ctx context.Context) error {
	list := func(after oauth.GrantID) ([]oauth.Grant, error) {
		if e.At != nil {
			e.At(e.done.Grants + e.done.Left)
		}
		return e.vault.List(ctx, e.App, after, pageSize)
	}
	return pages(list, func(g oauth.Grant) oauth.GrantID { return g.ID },
		func(g oauth.Grant) error {
			stamp(e.seen, g)
			return e.grant(ctx, g)
		})
}

// stillSame looks at all grants again. That they were not changed needs no
// clock, and no memory but a sum.
func (e *exporter) stillSame(ctx context.Context) error {
	again := sha256.New()
	err := pages(func(after oauth.GrantID) ([]oauth.Grant, error) { return e.vault.List(ctx, e.App, after, pageSize) },
		func(g oauth.Grant) oauth.GrantID { return g.ID },
		func(g oauth.Grant) error { stamp(again, g); return nil })
	if err == nil && !bytes.Equal(e.seen.Sum(nil), again.Sum(nil)) {
		err = fault.New(fault.Conflict, "grants were changed while they were exported; stop every Perch that serves this "+
			"store, and export again")
	}
	return err
}

func stamp(sum hash.Hash, g oauth.Grant) {
	_, _ = fmt.Fprintf(sum, "%q %d\n", g.ID, g.Version)
}

// grant exports a grant whose tokens are certain: while somebody refreshes it
// they may be used up already.
func (e *exporter) grant(ctx context.Context, g oauth.Grant) error {
	if g.Updated.After(e.done.Changed) {
		e.done.Changed = g.Updated
	}
	switch {
	case g.Leased(time.Now()):
		return e.leave(g, "is being refreshed; stop every Perch that serves this store, wait half a minute, and export again")
	case g.Unsettled() && !e.Unsettled:
		return e.leave(g, "was being refreshed when Perch ended. Start Perch on this store once: if X's answer is in its "+
			"journal (PERCH_JOURNAL), that settles it. If not, nobody knows what X did; --unsettled moves it as it is")
	}
	r := recordOfGrant(g)
	if g.State == oauth.Revoked {
		if !g.Access.Empty() || !g.Refresh.Empty() {
			e.done.Untold++
		}
	} else if err := e.tokens(ctx, g, &r); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return e.leave(g, "does not open with this keyset, or is damaged")
	}
	if err := e.xapp(ctx, g.XApp); err != nil {
		return err
	}
	e.done.Grants++
	return e.put(KindGrant, r)
}

func (e *exporter) tokens(ctx context.Context, g oauth.Grant, r *grantRecord) (err error) {
	if r.Access, err = e.open(ctx, g.Access, g.Label(oauth.AccessLabel)); err != nil {
		return err
	}
	r.Refresh, err = e.open(ctx, g.Refresh, g.Label(oauth.RefreshLabel))
	return err
}

func (e *exporter) leave(g oauth.Grant, why string) error {
	e.done.Left++
	if e.Left != nil {
		e.Left(g.ID, why)
	}
	return nil
}

// pages goes through everything that list lists, a page at a time.
func pages[ID ~string, V any](list func(after ID) ([]V, error), id func(V) ID, each func(V) error) error {
	var after ID
	for {
		page, err := list(after)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, v := range page {
			if err := each(v); err != nil {
				return err
			}
		}
		after = id(page[len(page)-1])
	}
}
