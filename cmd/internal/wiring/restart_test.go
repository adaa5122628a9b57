package wiring_test

import (
	"database/sql"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

func TestEverythingOutlivesARestartAndNothingIsInTheClear(t *testing.T) {
	lasting(t, everythingOutlivesARestart)
}

func everythingOutlivesARestart(t *testing.T, e environment) {
	x := xsim.New(xsim.Options{Apps: []xsim.App{xsim.DefaultApp(), second()}})
	line := &tap{x: x}
	at, _ := serveX(t, line)
	cfg := settings(t, e, at)
	h := open(t, cfg)
	all := secrets{"the operators' token": adminToken}
	all.add("client secret", second().ClientSecret)
	all.add("API secret", second().APISecret)

	app, other := h.register(t, pageA, ""), h.register(t, pageB, own(t, h))
	v := h.visit(t, app)
	code := v.code(t, ada)
	held := sessionOf(t, v.exchange(t, code))
	imported := issue(t, x, second().ClientID, grace)
	grant := h.adopt(t, other, grace, imported, time.Now().Add(time.Hour))
	want(t, http.StatusCreated, h.act(t, app.sk, held.grant, "POST", "/2/tweets", `{"text":"before"}`))
	want(t, http.StatusOK, h.act(t, other.sk, "", "GET", "/2/usage/tweets", ""))
	next := sessionOf(t, v.refresh(t, held.refresh))
	for what, text := range map[string]string{
		"publishable key": app.pk, "secret key": app.sk, "another secret key": other.sk, "code of Perch": code,
		"verifier of the page": v.verifier, "access token of X, imported": imported.Access,
		"refresh token of X, imported": imported.Refresh,
	} {
		all.add(what, text)
	}
	all.hold(held, next)
	inSealedBoxes(t, "while it serves", h, line, all)
	h.leave()
	inSealedBoxes(t, "when it is shut", h, line, all)

	cfg.PublicURL = h.public // as behind a proxy, whoever serves
	h2 := open(t, cfg)
	v.house = h2
	want(t, http.StatusCreated, h2.act(t, app.sk, held.grant, "POST", "/2/tweets", `{"text":"after"}`))
	want(t, http.StatusCreated, v.page(t, pageA, next.access, "POST", "/2/tweets", `{"text":"by the page"}`))
	third := sessionOf(t, v.refresh(t, next.refresh))
	all.hold(third)
	want(t, http.StatusOK, v.page(t, pageA, third.access, "GET", "/2/users/me", ""))
	want(t, http.StatusOK, h2.act(t, other.sk, "", "GET", "/2/usage/tweets", ""))
	x.Advance(3 * time.Hour) // now the refresh tokens of X have to be there
	want(t, http.StatusCreated, h2.act(t, app.sk, held.grant, "POST", "/2/tweets", `{"text":"much later"}`))
	want(t, http.StatusCreated, h2.act(t, other.sk, grant, "POST", "/2/tweets", `{"text":"much later"}`))
	all.hold(h2.visit(t, app).signIn(t, grace))
	inSealedBoxes(t, "after a restart", h2, line, all)
	if len(all) < 20 {
		t.Errorf("only %d secrets were looked for", len(all))
	}
	planted(t, h2, imported.Refresh)
}

// hold adds what a page holds.
func (s secrets) hold(sessions ...session) {
	for _, held := range sessions {
		s.add("access token of Perch", held.access)
		s.add("refresh token of Perch", held.refresh)
	}
}

// leftBy is what the house leaves behind. What is in PostgreSQL or D1 stands in for
// a file of the database.
func leftBy(t *testing.T, h *house) papers {
	t.Helper()
	all := collect(t, filepath.Dir(h.cfg.KeysetFile), h.log)
	maps.Copy(all, leftApart(t, h))
	tables := map[string]string{
		config.Postgres: "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()",
		config.D1:       "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
	}
	kind, _ := config.Backend(h.cfg.Store)
	if tables[kind] == "" {
		return all
	}
	s, err := wiring.OpenSQL(t.Context(), h.cfg, h.cfg.Store)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, table := range strings.Fields(texts(t, s.DB(), tables[kind])) {
		all["perch.db"] = append(all["perch.db"], texts(t, s.DB(), "SELECT * FROM "+table)...)
	}
	return all
}

// texts are all cells of a query.
func texts(t *testing.T, db *sql.DB, query string) (all string) {
	t.Helper()
	found, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	row := make([]any, len(columns))
	for i := range row {
		row[i] = new(string)
	}
	for found.Next() {
		if err := found.Scan(row...); err != nil {
			t.Fatal(err)
		}
		for _, cell := range row {
			all += *cell.(*string) + "\n"
		}
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// inSealedBoxes fails if any of the secrets, or of those on the line to X, can be found
// in what the house writes.
func inSealedBoxes(t *testing.T, when string, h *house, line *tap, all secrets) {
	t.Helper()
	line.into(all)
	left := leftBy(t, h)
	for _, name := range []string{"perch.db", "perch.keyset.json", "log"} {
		if len(left[name]) == 0 {
			t.Fatalf("%s there is no %s to look into", when, name)
		}
	}
	for _, found := range left.find(all) {
		t.Errorf("%s: %s", when, found)
	}
}

// planted proves that a secret in the database is found, where a house that
// serves keeps its newest writes too.
func planted(t *testing.T, h *house, text string) {
	t.Helper()
	h.operator(t, http.StatusCreated, "POST", "/admin/v1/apps", object{"name": "planted " + text})
	left := leftBy(t, h)
	sqlite := strings.HasPrefix(h.cfg.Store, "sqlite:")
	if sqlite && (len(left["perch.db-wal"]) == 0 || len(left["perch.db-shm"]) == 0) {
		t.Errorf("the log of the database was not looked into: %v", slices.Sorted(maps.Keys(left)))
	}
	found := left.find(secrets{"it": text})
	for place := range leftApart(t, h) {
		if !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, "it in "+place) }) {
			t.Errorf("a secret was planted, but not found in %s: %v", place, found)
		}
	}
	if !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, "it in perch.db") }) {
		t.Errorf("a secret was planted in the database and was found only here: %v", found)
	}
}
