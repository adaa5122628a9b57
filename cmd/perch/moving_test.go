package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/journal"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

var travellers = flag.Int("travellers", 10_000, "how many grants move from store to store")

// onTheWay is how many grants a journey takes along. D1 takes one call after the
// other, so fewer go there unless a number is given.
func onTheWay(journey []string) int {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "travellers" })
	if !given && (testing.Short() || slices.Contains(journey, "d1")) {
		return 500
	}
	return *travellers
}

// Each journey ends in what it began with, under other keys at each stop.
func TestGrantsMoveBetweenStores(t *testing.T) {
	for _, journey := range [][]string{{"sqlite", "postgres", "sqlite"}, {"sqlite", "postgres", "d1", "sqlite"}} {
		t.Run(strings.Join(journey, "-"), func(t *testing.T) {
			t.Parallel()
			from := stopAt(t, journey[0])
			n := onTheWay(journey)
			from.settle(t, n)
			start := from.holds(t)
			if len(start.Grants) != n {
				t.Fatalf("the journey begins with %d grants", len(start.Grants))
			}
			for _, kind := range journey[1:] {
				to := stopAt(t, kind)
				private, public := recipient(t)
				file := from.export(t, public)
				text := must[[]byte](t)(os.ReadFile(file))
				hidden(t, "the export", text)
				to.take(t, file, private).says(t, exitDone,
					fmt.Sprintf("imported=%d already_there=0 failed=0 verified=%d\n", n, n))
				to.take(t, file, private).says(t, exitDone,
					fmt.Sprintf("imported=0 already_there=%d failed=0 verified=%d\n", n, n))
				got := to.holds(t)
				if len(got.Keys) != 0 {
					t.Errorf("keys that nobody can use: %v", got.Keys)
				}
				if diff := cmp.Diff(start, got, cmp.FilterPath(
					func(p cmp.Path) bool { return p.String() == "Keys" }, cmp.Ignore())); diff != "" {
					t.Fatalf("at %s (-start +got):\n%.3000s", kind, diff)
				}
				hidden(t, kind, to.insides(t))
				from = to
			}
		})
	}
}

func TestTheSearchForTokensFindsThem(t *testing.T) {
	text := "…" + marked + "-access…"
	for name, planted := range map[string]string{
		"plain": text, "hex": hex.EncodeToString([]byte(text)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(text))),
		"std": base64.StdEncoding.EncodeToString([]byte(text)), "url": base64.URLEncoding.EncodeToString([]byte("?" + text)),
		"raw": base64.RawURLEncoding.EncodeToString([]byte("??" + text)),
	} {
		if shows([]byte("before "+planted+" after")) == "" {
			t.Errorf("planted in %s it is not found", name)
		}
	}
	// Planted in a box's place, it is found in the database.
	for kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			s := stopAt(t, kind)
			store, _ := s.opened(t)
			hidden(t, "an empty store", s.insides(t))
			g := given(0, func(plain, _ string) secret.Box { return secret.Box(plain) })
			must[oauth.Grant](t)(store.Vault().Create(t.Context(), g))
			if shows(s.insides(t)) == "" {
				t.Error("planted in a grant it is not found")
			}
		})
	}
}

func TestAPIKeysOfAnotherKeysetAreLeftOut(t *testing.T) {
	from, to := stopAt(t, "sqlite"), stopAt(t, "sqlite")
	from.settle(t, 2)
	private, public := recipient(t)
	to.take(t, from.export(t, public), private).says(t, exitDone, "imported=2", "2 API keys were left out", "perch keys add")
	if keys := to.holds(t).Keys; len(keys) != 0 {
		t.Errorf("imported: %v", keys)
	}
}

// Under the same keyset API keys go on working, and so does everything else.
func TestAPIKeysMoveWithTheirPeppers(t *testing.T) {
	from := stopAt(t, "sqlite")
	from.settle(t, 20)
	to := stopAt(t, "sqlite")
	if err := os.WriteFile(to.keyset, must[[]byte](t)(os.ReadFile(from.keyset)), 0o600); err != nil {
		t.Fatal(err)
	}
	private, public := recipient(t)
	to.take(t, from.export(t, public), private).says(t, exitDone, "imported=20", "verified=20")
	if diff := cmp.Diff(from.holds(t), to.holds(t)); diff != "" {
		t.Errorf("(-from +to):\n%s", diff)
	}
}

func TestOneApplicationMovesAlone(t *testing.T) {
	from := stopAt(t, "sqlite")
	from.settle(t, 20)
	to := stopAt(t, "sqlite")
	private, public := recipient(t)
	to.take(t, from.export(t, public, "--app=app_2"), private).says(t, exitDone, "imported=10", "verified=10")
	got := to.holds(t)
	if len(got.Apps) != 1 || got.Apps[0].ID != "app_2" || len(got.XApps) != 1 || got.XApps[0].ID != "second" {
		t.Errorf("came with it: %v, %v", got.Apps, got.XApps)
	}
	for _, g := range got.Grants {
		if g.App != "app_2" {
			t.Errorf("grant %s of %s came along", g.ID, g.App)
		}
	}
	from.perch(t, "grants", "export", "--to="+public, "--app=app_3").
		says(t, exitFailed, `no client application has the ID "app_3"`, "cannot be imported")
}

// Nothing of a damaged export is imported: it is looked at before.
func TestADamagedExportIsNotImported(t *testing.T) {
	from := stopAt(t, "sqlite")
	from.settle(t, 8)
	private, public := recipient(t)
	text := must[[]byte](t)(os.ReadFile(from.export(t, public)))
	lines := bytes.SplitAfter(text, []byte("\n"))
	flipped := slices.Clone(text)
	flipped[len(flipped)/2] ^= 1
	stranger, _ := recipient(t)
	to := stopAt(t, "sqlite")
	for name, c := range map[string]struct {
		text []byte
		key  string
		say  string
	}{
		"a bit flipped":     {flipped, private, "does not open"},
		"cut off":           {text[:len(text)-100], private, "is cut off"},
		"a line dropped":    {bytes.Join(slices.Delete(slices.Clone(lines), 5, 6), nil), private, "does not open"},
		"the last dropped":  {bytes.Join(lines[:len(lines)-2], nil), private, "is cut off"},
		"for somebody else": {text, stranger, "name the key that belongs to it"},
		"the public half":   {text, public, "name the private one"},
		"no export":         {[]byte("{}\n"), private, "no parcel of Perch"},
	} {
		t.Run(name, func(t *testing.T) {
			to.take(t, saved(t, string(c.text)), c.key).says(t, exitFailed, c.say)
			if got := to.holds(t); len(got.Grants)+len(got.Apps)+len(got.XApps) != 0 {
				t.Errorf("imported: %v", got)
			}
		})
	}
	to.take(t, os.DevNull, private).says(t, exitFailed, "a pipe cannot be")
}

// What a grant may meet where it arrives.
func TestWhatIsThereStaysUnlessItIsOlder(t *testing.T) {
	from, to := stopAt(t, "sqlite"), stopAt(t, "sqlite")
	from.settle(t, 8)
	private, public := recipient(t)
	first := from.export(t, public)
	to.take(t, first, private).says(t, exitDone, "imported=8", "verified=8")

	refresh := func(s stop, id oauth.GrantID, edit func(oauth.Grant, oauth.Pair) oauth.Grant) {
		store, ring := s.opened(t)
		g := must[oauth.Grant](t)(store.Vault().Get(t.Context(), id))
		seal := func(text, kind string) secret.Box {
			return must[secret.Box](t)(ring.Seal(t.Context(), secret.New(marked+text+s.url), g.Label(kind)))
		}
		pair := oauth.Pair{Access: seal("a", oauth.AccessLabel), Refresh: seal("b", oauth.RefreshLabel), Expires: day}
		must[oauth.Grant](t)(store.Vault().Swap(t.Context(), g, edit(g, pair)))
	}
	renew := func(g oauth.Grant, p oauth.Pair) oauth.Grant { return g.Renew(p, day) }
	revoke := func(g oauth.Grant, _ oauth.Pair) oauth.Grant { return g.Revoke(day).Forget(day) }
	refresh(from, "grant_000000", renew)  // newer in the next export
	refresh(to, "grant_000001", renew)    // newer here
	refresh(from, "grant_000002", renew)  // refreshed by both
	refresh(to, "grant_000002", renew)    //
	refresh(to, "grant_000003", revoke)   // ended here
	refresh(from, "grant_000004", revoke) // ended there
	before := to.holds(t)

	second := from.export(t, public)
	to.take(t, second, private).says(t, exitFailed, "imported=0 already_there=7 failed=1 verified=3\n",
		"grant_000000 is older here; import with --replace", "grant_000001 is newer here and stays",
		"grant_000002 has other tokens here", "grant_000003 has been revoked here", "grant_000004 is older here")
	if diff := cmp.Diff(before, to.holds(t)); diff != "" {
		t.Errorf("without --replace it changed:\n%s", diff)
	}
	to.take(t, second, private, "--replace").says(t, exitFailed, "imported=2 already_there=5 failed=1 verified=5\n")
	got, want := to.holds(t), before
	for _, id := range []oauth.GrantID{"grant_000000", "grant_000004"} {
		want.Grants[id] = from.holds(t).Grants[id]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with --replace (-want +got):\n%s", diff)
	}
	// An older export changes nothing any more.
	to.take(t, first, private, "--replace").says(t, exitDone, "imported=0 already_there=8 failed=0 verified=3\n")
	if diff := cmp.Diff(want, to.holds(t)); diff != "" {
		t.Errorf("the older export changed it:\n%s", diff)
	}
}

func TestAGrantThatIsBeingRefreshedStaysBehind(t *testing.T) {
	from := stopAt(t, "sqlite")
	from.settle(t, 4)
	store, _ := from.opened(t)
	lease := func(id oauth.GrantID, edit func(*oauth.Grant)) {
		g := must[oauth.Grant](t)(store.Vault().Get(t.Context(), id))
		next := g
		edit(&next)
		must[oauth.Grant](t)(store.Vault().Swap(t.Context(), g, next))
	}
	lease("grant_000001", func(g *oauth.Grant) { g.Lease = oauth.Lease{Holder: "somebody", Until: time.Now().Add(time.Minute)} })
	lease("grant_000002", func(g *oauth.Grant) { g.Lease = oauth.Lease{Holder: "somebody", Until: day.AddDate(-1, 0, 0)} })
	private, public := recipient(t)
	r := from.perch(t, "grants", "export", "--to="+public)
	r.says(t, exitFailed, "exported=2 left=2", "grant_000001 is being refreshed; stop every Perch",
		"grant_000002 was being refreshed when Perch ended", "--unsettled")
	stopAt(t, "sqlite").take(t, saved(t, r.out.String()), private).says(t, exitDone, "imported=2", "verified=2")

	r = from.perch(t, "grants", "export", "--to="+public, "--unsettled")
	r.says(t, exitFailed, "exported=3 left=1", "grant_000001 is being refreshed")
	to := stopAt(t, "sqlite")
	to.take(t, saved(t, r.out.String()), private).says(t, exitDone, "imported=3", "verified=3")
	if g := to.holds(t).Grants["grant_000002"]; !g.Unsettled() {
		t.Error("that nobody knows what X did was forgotten on the way")
	}
}

// What X gave and the store does not have yet is in the journal: an export of
// the store would take along the token that X has exchanged for it.
func TestAnExportMindsTheJournal(t *testing.T) {
	from := stopAt(t, "sqlite")
	from.settle(t, 4)
	folder := filepath.Join(t.TempDir(), "journal")
	j := must[*journal.Journal](t)(journal.Open(folder))
	_, public := recipient(t)
	for _, c := range []struct {
		grant      oauth.GrantID
		generation int64
		code       int
	}{{"grant_elsewhere", 9, exitDone}, {"grant_000003", 2, exitDone}, {"grant_000002", 2, exitFailed}} {
		err := j.Keep(t.Context(), ports.Renewal{
			Attempt: string(c.grant), Grant: c.grant, Generation: c.generation, Pair: oauth.Pair{Access: "a", Refresh: "b"}, At: day,
		})
		if err != nil {
			t.Fatal(err)
		}
		r := from.perch(t, "grants", "export", "--to="+public, "--journal="+folder)
		if r.code != c.code {
			t.Errorf("with a renewal of %s: exit code %d: %s", c.grant, r.code, r.err.String())
		}
		if c.code != exitDone {
			r.says(t, c.code, "newer tokens than the store, of 1 grants; start Perch once")
			if r.out.String() != "" {
				t.Error("something was exported")
			}
		}
	}
}

// Another X App under the same ID would have X take the tokens for stolen.
func TestAnotherXAppIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	for _, id := range []xapp.ID{xapp.Default, "second"} {
		from, to := stopAt(t, "sqlite"), stopAt(t, "sqlite")
		from.settle(t, 4)
		store, _ := to.opened(t)
		must[xapp.App](t)(store.Registry().XApps().Create(t.Context(), xapp.App{ID: id, ClientID: "another"}))
		private, public := recipient(t)
		to.take(t, from.export(t, public), private).says(t, exitFailed, "nothing was imported", `"another" in this store`)
		if got := to.holds(t); len(got.Grants)+len(got.Apps) != 0 {
			t.Errorf("imported: %v", got)
		}
	}
}

// Some of it was written before, and goes on from there.
func TestAnImportGoesOnWhereItStopped(t *testing.T) {
	from, to := stopAt(t, "sqlite"), stopAt(t, "sqlite")
	from.settle(t, 300)
	private, public := recipient(t)
	file := from.export(t, public)
	store, _ := to.opened(t)
	if _, err := store.DB().Exec(`CREATE TRIGGER full BEFORE INSERT ON grants
		WHEN NEW.id = 'grant_000150' BEGIN SELECT RAISE(FAIL, 'the disk is full'); END`); err != nil {
		t.Fatal(err)
	}
	to.take(t, file, private).says(t, exitFailed, "stopped: ", "Import again")
	there := len(to.holds(t).Grants)
	if there < 100 || there > 299 {
		t.Fatalf("it stopped after %d grants", there)
	}
	if _, err := store.DB().Exec("DROP TRIGGER full"); err != nil {
		t.Fatal(err)
	}
	to.take(t, file, private).says(t, exitDone, "failed=0 verified=300\n")
	if diff := cmp.Diff(from.holds(t).Grants, to.holds(t).Grants); diff != "" {
		t.Error(diff)
	}
}

// An import that is stopped says how to go on, and leaves whole grants.
func TestAnImportThatIsStopped(t *testing.T) {
	from, to := stopAt(t, "sqlite"), stopAt(t, "sqlite")
	from.settle(t, 300)
	private, public := recipient(t)
	file := from.export(t, public)
	store, _ := to.opened(t)
	endless(t, store.DB(), "INSERT", "grant_000150")
	r, stop := started(t, to.environ(), "grants", "import", "--sealed="+file, "--key="+private)
	eventually(t, "some are there", func() bool {
		list, err := store.Vault().List(t.Context(), "", "", 5)
		return err == nil && len(list) == 5
	})
	stop()
	r.says(t, exitFailed, "stopped: ", "Import again")
	if _, err := store.DB().Exec("DROP TRIGGER endless"); err != nil {
		t.Fatal(err)
	}
	to.take(t, file, private).says(t, exitDone, "failed=0 verified=300\n")
	if diff := cmp.Diff(from.holds(t).Grants, to.holds(t).Grants); diff != "" {
		t.Error(diff)
	}
}

func TestAUserWhoConnectedAnewKeepsThat(t *testing.T) {
	from, to := stopAt(t, "sqlite"), stopAt(t, "sqlite")
	from.settle(t, 4)
	store, ring := to.opened(t)
	anew := given(1, func(plain, label string) secret.Box {
		return must[secret.Box](t)(ring.Seal(t.Context(), secret.New(plain), label))
	})
	anew.ID, anew.Access, anew.Refresh = "grant_anew", "", ""
	must[oauth.Grant](t)(store.Vault().Create(t.Context(), anew))
	private, public := recipient(t)
	to.take(t, from.export(t, public), private, "--replace").says(t, exitDone,
		"imported=3 already_there=1 failed=0 verified=3\n", "grant_000001 the user has connected here anew, as grant_anew")
}

func TestMisuseOfMoves(t *testing.T) {
	s := stopAt(t, "sqlite")
	if err := os.Remove(s.keyset); err != nil {
		t.Fatal(err)
	}
	private, public := recipient(t)
	file := saved(t, "")
	for _, c := range []struct {
		args string
		code int
		say  string
	}{
		{"grants import", exitMisuse, "--app says which"},
		{"grants import --sealed=" + file, exitMisuse, "--key names"},
		{"grants import --key=" + private, exitMisuse, "name it with --sealed"},
		{"grants import --app=a --sealed=" + file + " --key=" + private, exitMisuse, "--app is for raw tokens"},
		{"grants import --store=memory: --sealed=" + file + " --key=" + private, exitFailed, "memory:"},
		{"grants export", exitMisuse, "--to"},
		{"grants export --to=" + private, exitFailed, "name the public one, move.key.pub"},
		{"grants export --to=" + public + " --store=memory:", exitFailed, "memory:"},
		{"grants export --to=" + public, exitFailed, "keyset.json does not exist"},
		{"keyset recipient " + private, exitFailed, "exists already"},
	} {
		r := s.perch(t, strings.Fields(c.args)...)
		r.says(t, c.code, c.say)
		if r.out.String() != "" {
			t.Errorf("%s writes an answer: %s", c.args, r.out.String())
		}
	}
}
