package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/sqlstore"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
	"perch/ports/conformance/pgtest"
	"perch/ports/conformance/workerd"
)

// marked is in every secret that moves, and may be seen nowhere. It is so long that
// millions of random characters do not happen to have it.
const marked = "CANARY-IN-THE-MINE"

// A stop is a store on a journey, with a keyset of its own.
type stop struct {
	kind, url, keyset string
	more              []string // variables, to reach it
}

// kinds are the stores that grants move between: where an empty one is, and
// what else is needed to reach it.
func kinds() map[string]func(*testing.T) (url string, more []string) {
	return map[string]func(*testing.T) (string, []string){
		"sqlite":   func(t *testing.T) (string, []string) { return "sqlite:" + filepath.Join(t.TempDir(), "perch.db"), nil },
		"postgres": func(t *testing.T) (string, []string) { return pgtest.URL(t), nil },
		"d1": func(t *testing.T) (string, []string) {
			p := workerd.D1(t)
			return "d1:" + p.Account + "/" + p.ID, []string{"PERCH_CLOUDFLARE_URL=" + p.URL, "PERCH_CLOUDFLARE_TOKEN=" + p.Token}
		},
	}
}

// stopAt returns an empty store of the kind, with its schema.
func stopAt(t *testing.T, kind string) stop {
	t.Helper()
	s := stop{kind: kind, keyset: filepath.Join(t.TempDir(), "keyset.json")}
	s.url, s.more = kinds()[kind](t)
	s.perch(t, "keyset", "new").says(t, exitDone)
	s.perch(t, "migrate").says(t, exitDone, "applied 0001_init.sql")
	return s
}

func (s stop) environ() []string {
	return append([]string{"PERCH_STORE=" + s.url, "PERCH_KEYSET_FILE=" + s.keyset}, s.more...)
}

// perch runs to its end, however long a journey takes.
func (s stop) perch(t *testing.T, args ...string) *ran {
	t.Helper()
	r := &ran{}
	p := &program{in: strings.NewReader(""), out: &r.out, err: &r.err, environ: s.environ()}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	r.code = p.run(ctx, args)
	return r
}

// opened is the store and its keys, made if there are none.
func (s stop) opened(t *testing.T) (*sqlstore.Store, ports.Keyring) {
	t.Helper()
	ring, _, err := keyring.OpenOrCreate(s.keyset)
	if err != nil {
		t.Fatal(err)
	}
	var cfg config.Config
	for _, line := range s.more {
		switch name, value, _ := strings.Cut(line, "="); name {
		case "PERCH_CLOUDFLARE_URL":
			cfg.Cloudflare.URL = value
		case "PERCH_CLOUDFLARE_TOKEN":
			cfg.Cloudflare.Token = secret.New(value)
		}
	}
	store, err := wiring.OpenSQL(t.Context(), cfg, s.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store, ring
}

// must fails the test where something that cannot go wrong has.
func must[V any](t *testing.T) func(V, error) V {
	return func(v V, err error) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var day = time.Date(2026, 11, 25, 12, 0, 0, 123456000, time.UTC)

// settle fills an empty store: two X Apps, two applications, three keys and n
// grants, of which each tenth is revoked and each eleventh suspect.
func (s stop) settle(t *testing.T, n int) {
	t.Helper()
	ctx := t.Context()
	store, ring := s.opened(t)
	seal := func(plain, label string) secret.Box {
		return must[secret.Box](t)(ring.Seal(ctx, secret.New(plain), label))
	}
	r := store.Registry()
	must[xapp.App](t)(r.XApps().Create(ctx, xapp.App{ID: xapp.Default, Name: "from the settings", ClientID: "X1"}))
	must[xapp.App](t)(r.XApps().Create(ctx, xapp.App{
		ID: "second", Name: "Second", ClientID: "X2", APIKey: "key", Created: day,
		ClientSecret: seal(marked+"-client", secret.Label(xapp.SecretLabel, "second")),
		Bearer:       seal(marked+"-bearer", secret.Label(xapp.BearerLabel, "second")),
		APISecret:    seal(marked+"-api", secret.Label(xapp.APISecretLabel, "second")),
	}))
	for id, x := range map[client.AppID]xapp.ID{"app_1": xapp.Default, "app_2": "second"} {
		must[client.App](t)(r.Apps().Create(ctx, client.App{
			ID: id, Name: "Page " + string(id), XApp: x, Status: client.Active, Origins: []client.Origin{"https://a.example"},
			Actions: []string{"read"}, Scopes: nil, RedirectURIs: []string{}, Created: day,
			Limits: []string{"key:10/s"}, Budget: money.Budget{Day: 5, Month: 100}, GrantBudget: money.Budget{Day: 1, Month: 7},
		}))
		digests := must[[]string](t)(ring.Digests(ctx, secret.New("sk_"+string(id)), "apikey"))
		must[apikey.Key](t)(r.Keys().Create(ctx, apikey.Key{
			ID: apikey.ID("key_" + id), App: id, Kind: apikey.Secret, Hint: "sk_…", Digest: digests[0],
			AppOnly: true, Batch: true, Grants: []oauth.GrantID{"grant_000001"}, Created: day, Expires: day.Add(time.Hour),
		}))
	}
	for i := range n {
		must[oauth.Grant](t)(store.Vault().Create(ctx, given(i, seal)))
	}
}

// given is the grant of a number.
func given(i int, seal func(plain, label string) secret.Box) oauth.Grant {
	g := oauth.Grant{
		ID: oauth.GrantID(fmt.Sprintf("grant_%06d", i)), App: "app_1", XApp: xapp.Default,
		User:   user.User{ID: user.ID(fmt.Sprint(1000 + i)), Username: "u", Name: `An "Ünïcode" 名`},
		Scopes: "tweet.read users.read", State: oauth.Active, Expires: day.Add(time.Duration(i) * time.Second),
		Generation: int64(i % 7), Created: day, Updated: day.Add(time.Duration(i) * time.Microsecond),
	}
	if i%2 == 1 {
		g.App, g.XApp = "app_2", "second"
	}
	if i%10 == 9 {
		g.State = oauth.Revoked
		return g
	}
	if i%11 == 10 {
		g.State, g.Failures, g.Retry = oauth.Suspect, 3, day.Add(time.Hour)
	}
	g.Access = seal(fmt.Sprintf("%s-access-%06d", marked, i), g.Label(oauth.AccessLabel))
	if i%13 != 12 { // X gave none without offline.access
		g.Refresh = seal(fmt.Sprintf("%s-refresh-%06d", marked, i), g.Label(oauth.RefreshLabel))
	}
	return g
}

// Holdings are what a store holds, its boxes opened.
type holdings struct {
	Grants map[oauth.GrantID]oauth.Grant
	Apps   []client.App
	Keys   []apikey.Key
	XApps  []xapp.App
}

func (s stop) holds(t *testing.T) holdings {
	t.Helper()
	ctx := t.Context()
	store, ring := s.opened(t)
	open := func(box secret.Box, label string) secret.Box {
		if box.Empty() {
			return ""
		}
		return secret.Box(must[secret.Text](t)(ring.Open(ctx, box, label)).Reveal())
	}
	r := store.Registry()
	h := holdings{
		Grants: map[oauth.GrantID]oauth.Grant{},
		Apps:   must[[]client.App](t)(r.Apps().List(ctx, "", 100)),
		Keys:   must[[]apikey.Key](t)(r.Keys().List(ctx, "", "", 100)),
		XApps:  must[[]xapp.App](t)(r.XApps().List(ctx, "", 100)),
	}
	for i, x := range h.XApps {
		x.ClientSecret = open(x.ClientSecret, secret.Label(xapp.SecretLabel, string(x.ID)))
		x.Bearer = open(x.Bearer, secret.Label(xapp.BearerLabel, string(x.ID)))
		x.APISecret = open(x.APISecret, secret.Label(xapp.APISecretLabel, string(x.ID)))
		h.XApps[i] = x
	}
	for _, g := range must[[]oauth.Grant](t)(store.Vault().List(ctx, "", "", 1<<20)) {
		g.Access = open(g.Access, g.Label(oauth.AccessLabel))
		g.Refresh = open(g.Refresh, g.Label(oauth.RefreshLabel))
		g.Version = 0
		h.Grants[g.ID] = g
	}
	return h
}

// recipient makes a pair in a folder of its own.
func recipient(t *testing.T) (private, public string) {
	t.Helper()
	private = filepath.Join(t.TempDir(), "move.key")
	perch(t, nil, "", "keyset", "recipient", private).says(t, exitDone, "made the recipient")
	return private, private + keyring.PublicSuffix
}

// export exports to the recipient and returns the file.
func (s stop) export(t *testing.T, to string, args ...string) string {
	t.Helper()
	r := s.perch(t, append([]string{"grants", "export", "--to=" + to}, args...)...)
	r.says(t, exitDone, "left=0", "never serve")
	hidden(t, "what the export says", []byte(r.err.String()))
	return saved(t, r.out.String())
}

func saved(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "grants.perch")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s stop) take(t *testing.T, file, key string, args ...string) *ran {
	t.Helper()
	r := s.perch(t, append([]string{"grants", "import", "--sealed=" + file, "--key=" + key}, args...)...)
	hidden(t, "what the import says", []byte(r.out.String()+r.err.String()))
	return r
}

// shows reports how a text shows the mark: plainly, in hexadecimal or in base64.
func shows(text []byte) string {
	forms := map[string]string{
		"plain": marked, "hex": hex.EncodeToString([]byte(marked)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(marked))),
	}
	for shift := range 3 { // of six bits each, all but those at the edges are the mark's own
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + marked))
		forms[fmt.Sprintf("base64+%d", shift)] = text[(8*shift+5)/6 : (8*shift+8*len(marked))/6]
	}
	for name, form := range forms {
		if bytes.Contains(text, []byte(form)) {
			return name
		}
	}
	return ""
}

func hidden(t *testing.T, what string, text []byte) {
	t.Helper()
	if form := shows(text); form != "" {
		t.Errorf("%s shows a token (%s)", what, form)
	}
}

// insides is all that the database keeps, as whoever steals it sees it.
func (s stop) insides(t *testing.T) []byte {
	t.Helper()
	var all bytes.Buffer
	if kind, path := config.Backend(s.url); kind == "sqlite" {
		for _, suffix := range []string{"", "-wal"} {
			text, err := os.ReadFile(path + suffix)
			if err != nil && suffix == "" {
				t.Fatal(err)
			}
			all.Write(text)
		}
		return all.Bytes()
	}
	store, _ := s.opened(t)
	for _, table := range []string{"grants", "xapps", "api_keys", "applications"} {
		dump(t, store.DB(), table, &all)
	}
	return all.Bytes()
}

// endless has a statement that writes the grant go on until it is interrupted.
func endless(t *testing.T, db *sql.DB, what, id string) {
	t.Helper()
	const long = "SELECT COUNT(*) FROM grants a, grants b, grants c, grants d, grants e, grants f, grants g, grants h"
	trigger := fmt.Sprintf("CREATE TRIGGER endless BEFORE %s ON grants WHEN NEW.id = '%s' BEGIN %s; END", what, id, long)
	if _, err := db.Exec(trigger); err != nil {
		t.Fatal(err)
	}
}

func dump(t *testing.T, db *sql.DB, table string, to *bytes.Buffer) {
	t.Helper()
	rows := must[*sql.Rows](t)(db.Query("SELECT * FROM " + table))
	defer func() { _ = rows.Close() }()
	columns := must[[]string](t)(rows.Columns())
	for rows.Next() {
		row, into := make([]string, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		to.WriteString(strings.Join(row, "\n"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
