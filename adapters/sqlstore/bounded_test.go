package sqlstore

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/session"
	"perch/migrations"
	"perch/ports"
)

// A watch sees the end of each statement's context.
type watch struct {
	seen, endless int
}

func (w *watch) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	w.seen++
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > patience {
		w.endless++
	}
	return ctx
}

func (w *watch) AfterQuery(context.Context, *bun.QueryEvent) {}

// Whoever calls without a deadline does not wait for ever for a server that has
// fallen silent.
func TestEveryStatementIsBounded(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "perch.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, err := migrations.SQLite().Apply(t.Context(), s.DB()); err != nil {
		t.Fatal(err)
	}
	w := &watch{}
	s.reads, s.writes, s.quota.db = s.reads.WithQueryHook(w), s.writes.WithQueryHook(w), s.quota.db.WithQueryHook(w)

	ctx, now := context.Background(), time.Now()
	apps := s.Registry().Apps()
	charge := quota.Charge{Key: "q", Max: 1, Window: time.Hour}
	for name, call := range map[string]func() error{
		"create":    func() error { _, err := apps.Create(ctx, client.App{ID: "a"}); return err },
		"get":       func() error { _, err := s.Vault().Get(ctx, "none"); return err },
		"swap":      func() error { _, err := s.Vault().Swap(ctx, oauth.Grant{ID: "g"}, oauth.Grant{}); return err },
		"list":      func() error { _, err := apps.List(ctx, "", 1); return err },
		"sweep":     func() error { _, err := s.Codes().Sweep(ctx, now); return err },
		"end":       func() error { _, err := s.Sessions().EndAll(ctx, "g", now); return err },
		"add":       func() error { return s.SigningKeys().Add(ctx, ports.SigningKey{ID: "k", Retires: now}) },
		"keys":      func() error { _, err := s.SigningKeys().List(ctx); return err },
		"spend":     func() error { _, err := s.Quota().Spend(ctx, now, []quota.Charge{charge}); return err },
		"refund":    func() error { return s.Quota().Refund(ctx, []quota.Return{{Charge: charge, Given: 1, Reset: now}}) },
		"note":      func() error { return s.Quota().Note(ctx, now, []quota.Note{{Key: "q", Max: 1, Reset: now}}) },
		"look":      func() error { _, err := s.Changes().Count(ctx); return err },
		"advance":   func() error { return s.Heads().Advance(ctx, 1, ports.Head{ID: "h", Version: 2}) },
		"settle":    func() error { return s.Heads().Settle(ctx, "h", 2) },
		"unsettled": func() error { _, err := s.Heads().Unsettled(ctx, "", "", 1); return err },
		"take": func() error {
			_ = s.Codes().Put(ctx, session.Code{Digest: "d"})
			_, err := s.Codes().Take(ctx, "d")
			return err
		},
	} {
		*w = watch{}
		_ = call() // what it finds does not matter here
		if w.seen == 0 || w.endless > 0 {
			t.Errorf("%s: %d of %d statements may last for ever", name, w.endless, w.seen)
		}
	}
}
