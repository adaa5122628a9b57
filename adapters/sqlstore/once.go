package sqlstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// Authorizations is a ports.Authorizations.
type Authorizations struct {
	rows table[authorizationRow, oauth.Authorization]
}

var _ ports.Authorizations = (*Authorizations)(nil)

func newAuthorizations(s *Store) *Authorizations {
	return &Authorizations{table[authorizationRow, oauth.Authorization]{
		reads: s.reads, writes: s.writes, noun: "authorization", key: "id",
		row: rowOfAuthorization, value: (*authorizationRow).authorization,
	}}
}

func (s *Authorizations) Put(ctx context.Context, a oauth.Authorization) error {
	_, err := s.rows.insert(ctx, a)
	return err
}

// Take reads first: an authorization never changes, and it belongs to whoever
// removes it.
func (s *Authorizations) Take(ctx context.Context, id string, now time.Time) (oauth.Authorization, error) {
	const alive = "id = ? AND expires > ?"
	a, err := s.rows.get(ctx, alive, id, micros(now))
	if err != nil {
		return oauth.Authorization{}, err
	}
	switch n, err := s.rows.remove(ctx, alive, id, micros(now)); {
	case err != nil:
		return oauth.Authorization{}, err
	case n == 0:
		return oauth.Authorization{}, missing("authorization")
	}
	return a, nil
}

func (s *Authorizations) Sweep(ctx context.Context, now time.Time) (int, error) {
	return s.rows.remove(ctx, "expires <= ?", micros(now))
}

type authorizationRow struct {
	bun.BaseModel `bun:"table:authorizations,alias:a"`

	ID        string `bun:"id,pk"`
	Verifier  string `bun:"verifier"`
	Browser   string `bun:"browser"`
	XApp      string `bun:"xapp"`
	Expires   int64  `bun:"expires"`
	App       string `bun:"app"`
	Redirect  string `bun:"redirect"`
	State     string `bun:"client_state"`
	Challenge string `bun:"challenge"`
	Scopes    string `bun:"scopes"`
	JKT       string `bun:"jkt"`
	Mode      string `bun:"mode"`
	Extends   string `bun:"extends"`
	Session   string `bun:"session_id"`
}

func rowOfAuthorization(a oauth.Authorization) *authorizationRow {
	return &authorizationRow{
		ID: a.ID, Verifier: string(a.Verifier), Browser: a.Browser, XApp: string(a.XApp), Expires: micros(a.Expires),
		App: string(a.App), Redirect: a.Redirect, State: a.State, Challenge: a.Challenge, Scopes: string(a.Scopes),
		JKT: a.JKT, Mode: string(a.Mode), Extends: string(a.Extends), Session: a.Session,
	}
}

func (r *authorizationRow) authorization() oauth.Authorization {
	return oauth.Authorization{
		ID: r.ID, Verifier: secret.Box(r.Verifier), Browser: r.Browser, XApp: xapp.ID(r.XApp),
		Expires: moment(r.Expires), App: client.AppID(r.App), Redirect: r.Redirect, State: r.State,
		Challenge: r.Challenge, Scopes: oauth.Scopes(r.Scopes),
		JKT: r.JKT, Mode: oauth.Mode(r.Mode), Extends: oauth.GrantID(r.Extends), Session: r.Session,
	}
}

// Codes is a ports.Codes.
type Codes struct {
	rows table[codeRow, session.Code]
}

var _ ports.Codes = (*Codes)(nil)

func newCodes(s *Store) *Codes {
	return &Codes{table[codeRow, session.Code]{
		reads: s.reads, writes: s.writes, noun: "code", key: "digest",
		row: rowOfCode, value: (*codeRow).code,
	}}
}

func (s *Codes) Put(ctx context.Context, c session.Code) error {
	_, err := s.rows.insert(ctx, c)
	return err
}

// Take reads first: apart from its mark, a code never changes, and it belongs to
// whoever marks it.
func (s *Codes) Take(ctx context.Context, digest string) (session.Code, error) {
	c, err := s.rows.get(ctx, "digest = ?", digest)
	if err != nil {
		return session.Code{}, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	n, err := affected(ctx)(s.rows.writes.NewUpdate().Model((*codeRow)(nil)).
		Set("taken = 1").Where("digest = ? AND taken = 0", digest).Exec(ctx))
	switch {
	case err != nil:
		return session.Code{}, err
	case n == 0:
		return c, fault.New(fault.Conflict, "the code was used before")
	}
	return c, nil
}

func (s *Codes) Sweep(ctx context.Context, before time.Time) (int, error) {
	return s.rows.remove(ctx, "expires < ?", micros(before))
}

type codeRow struct {
	bun.BaseModel `bun:"table:codes,alias:c"`

	Digest    string `bun:"digest,pk"`
	App       string `bun:"app"`
	Redirect  string `bun:"redirect"`
	Challenge string `bun:"challenge"`
	Grant     string `bun:"grant_id"`
	User      string `bun:"user_id"`
	Scopes    string `bun:"scopes"`
	Session   string `bun:"session_id"`
	JKT       string `bun:"jkt"`
	Expires   int64  `bun:"expires"`
	Taken     int64  `bun:"taken"` // 1: yes
}

func rowOfCode(c session.Code) *codeRow {
	return &codeRow{
		Digest: c.Digest, App: string(c.App), Redirect: c.Redirect, Challenge: c.Challenge, Grant: string(c.Grant),
		User: string(c.User), Scopes: string(c.Scopes), Session: string(c.Session), JKT: c.JKT,
		Expires: micros(c.Expires),
	}
}

func (r *codeRow) code() session.Code {
	return session.Code{
		Digest: r.Digest, App: client.AppID(r.App), Redirect: r.Redirect, Challenge: r.Challenge,
		Grant: oauth.GrantID(r.Grant), User: user.ID(r.User), Scopes: oauth.Scopes(r.Scopes),
		Session: session.ID(r.Session), JKT: r.JKT, Expires: moment(r.Expires),
	}
}
