package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/app/keyset"
)

func TestKeysetNewNeverOverwrites(t *testing.T) {
	t.Chdir(t.TempDir())
	perch(t, nil, "", "keyset", "new").says(t, exitDone, "made ./perch.keyset.json", "Back it up")
	before, err := os.ReadFile("perch.keyset.json")
	if err != nil {
		t.Fatal(err)
	}
	perch(t, nil, "", "keyset", "new").says(t, exitFailed, "exists already and is left as it is")
	if after, _ := os.ReadFile("perch.keyset.json"); string(after) != string(before) {
		t.Error("it was changed")
	}
	perch(t, nil, "", "keyset", "rotate").says(t, exitDone, "seals from now on", "perch keyset reseal")
	perch(t, nil, "", "keyset", "rotate", "--keyset-file=none").says(t, exitMisuse, "PERCH_KEYSET_FILE is none, which does not exist")
	perch(t, nil, "", "keyset", "list").says(t, exitFailed, "primary", "enabled", "could not be counted", "does not exist")
}

// servedWithGrant is a Perch that was started once, and has a grant.
func servedWithGrant(t *testing.T, x string) {
	t.Helper()
	t.Chdir(t.TempDir())
	servedOnce(t, boxed(x, x), func(server []string) {
		added := perch(t, server, "", "apps", "add", "Page", "--json")
		perch(t, server, `{"user_id":"42","access_token":"CANARY","refresh_token":"CANARY","scope":"tweet.read"}`,
			"grants", "import", "--app="+between(added.out.String(), `"id": "`, `"`)).says(t, exitDone, "1 imported")
	})
}

// keysOf reads which key is the primary, and the others.
func keysOf(t *testing.T) (primary string, others []string) {
	t.Helper()
	ring, err := keyring.Open("perch.keyset.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ring.Keys() {
		if k.ID != ring.Primary() {
			others = append(others, k.ID)
		}
	}
	return ring.Primary(), others
}

// aged has the keyset tell that everything happened an hour earlier.
func aged(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("perch.keyset.json")
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`2\d{3}-\d\d-\d\dT[0-9:.]+Z`).ReplaceAllFunc(text, func(b []byte) []byte {
		at, err := time.Parse(time.RFC3339Nano, string(b))
		if err != nil {
			t.Fatal(err)
		}
		return []byte(at.Add(-time.Hour).Format(time.RFC3339Nano))
	})
	if err := os.WriteFile("perch.keyset.json", text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestARotationFromBeginningToEnd(t *testing.T) {
	x := box(t, 0)
	servedWithGrant(t, x)
	perch(t, boxed(x, x), "", "doctor").says(t, exitDone, "ok    sealing       everything looked at is sealed with", "1 of 1 grants")
	perch(t, nil, "", "keyset", "rotate", "--stage").says(t, exitDone, "staged", "Copy ./perch.keyset.json to every replica")
	old, staged := keysOf(t)
	perch(t, nil, "", "keyset", "rotate", "--stage").says(t, exitFailed, staged[0]+" is staged already")
	perch(t, boxed(x, x), "", "doctor").says(t, exitDone, "ok    sealing")
	perch(t, nil, "", "keyset", "rotate").says(t, exitDone, staged[0]+" seals from now on")

	perch(t, boxed(x, x), "", "doctor").says(t, exitDone, "warn  sealing", old+": 1 grants", old+": 1 signing keys", "perch keyset reseal")
	perch(t, nil, "", "keyset", "retire", staged[0]).says(t, exitFailed, "is the key that seals")
	perch(t, nil, "", "keyset", "retire", "cafe").says(t, exitFailed, "has no key cafe")
	perch(t, nil, "", "keyset", "retire", old).says(t, exitFailed, old+" still seals boxes (grants: 2, signing keys: 1)",
		"perch keyset reseal brings them under the key "+staged[0])

	listed := perch(t, nil, "", "keyset", "list", "--json")
	listed.says(t, exitDone)
	var list struct {
		File string
		Keys []struct {
			ID, State string
			Boxes     map[string]int
		}
	}
	if err := json.Unmarshal([]byte(listed.out.String()), &list); err != nil || len(list.Keys) != 2 ||
		list.Keys[0].ID != old || list.Keys[0].State != "enabled" || list.Keys[1].State != "primary" ||
		list.Keys[0].Boxes["grants"] != 2 || list.Keys[0].Boxes["signing_keys"] != 1 || list.Keys[1].Boxes["grants"] != 0 {
		t.Errorf("listed %+v, %v", list, err)
	}
	perch(t, nil, "", "keyset", "list").says(t, exitDone, "KEY", "SIGNING KEYS", old)

	perch(t, nil, "", "keyset", "reseal").says(t, exitDone, "2 were resealed", "2 boxes under "+staged[0]+", 0 under other keys")
	perch(t, nil, "", "keyset", "reseal", "--json").says(t, exitDone, `"resealed": 0`, `"left": 0`)
	perch(t, nil, "", "keyset", "retire", old).says(t, exitFailed, "sign-ins that were under way then may need it until")
	aged(t)
	perch(t, nil, "", "keyset", "retire", old).says(t, exitDone, "retired "+old, "Backups of the database from before")
	if _, others := keysOf(t); len(others) != 0 {
		t.Errorf("the file still has %v", others)
	}
	examined := perch(t, boxed(x, x), "", "doctor")
	examined.says(t, exitDone, "ok    sealing       everything looked at is sealed with "+staged[0])
	servedOnce(t, boxed(x, x), func(server []string) {
		perch(t, server, "", "grants", "list").says(t, exitDone, "grant_")
	})
	if strings.Contains(examined.out.String(), "CANARY") {
		t.Error("a token is shown")
	}
}

func TestAKeyThatCannotBeLookedForEverywhereStays(t *testing.T) {
	x := box(t, 0)
	servedWithGrant(t, x)
	perch(t, nil, "", "keyset", "rotate").says(t, exitDone)
	aged(t)
	_, old := keysOf(t)
	for args, say := range map[string]string{
		"--store=memory:":           "in memory: can be reached by nobody",
		"--vault=memory:":           "in memory: can be reached by nobody",
		"--store=sqlite:./other":    "sqlite:./other does not exist",
		"--vault=sqlite:./other":    "sqlite:./other does not exist",
		"--store=tape:":             "known are",
		"--keyset-file=./elsewhere": "does not exist",
	} {
		r := perch(t, nil, "", "keyset", "retire", old[0], args)
		if r.code == exitDone || !strings.Contains(r.err.String(), say) {
			t.Errorf("%s: exit code %d, %s", args, r.code, r.err.String())
		}
	}
	// Stores of another Perch: nothing there was sealed with this keyset.
	perch(t, nil, "", "migrate", "--store=sqlite:./empty").says(t, exitDone)
	perch(t, nil, "", "keyset", "retire", old[0], "--store=sqlite:./empty").says(t, exitFailed, "may belong to other stores")
	if _, still := keysOf(t); len(still) != 1 {
		t.Errorf("a key was removed; left are %v", still)
	}
}

func TestResealWithAForeignKeysetChangesNothing(t *testing.T) {
	x := box(t, 0)
	servedWithGrant(t, x)
	if err := os.Rename("perch.keyset.json", "right"); err != nil {
		t.Fatal(err)
	}
	perch(t, nil, "", "keyset", "new").says(t, exitDone)
	perch(t, nil, "", "keyset", "reseal").says(t, exitFailed, "0 were resealed", "2 could not be resealed", "restore them, or the keyset")
	perch(t, nil, "", "keyset", "list").says(t, exitDone, "MISSING", "have a box that does not open: grant_")
	if err := os.Rename("right", "perch.keyset.json"); err != nil {
		t.Fatal(err)
	}
	perch(t, boxed(x, x), "", "doctor").says(t, exitDone, "ok    keyset")
}

func TestABarIsOneLineOnATerminalAndLinesElsewhere(t *testing.T) {
	var said page
	b := &bar{to: &said, terminal: true}
	tell := func(rows int) {
		b.last = time.Time{}
		b.tell(progressOf(rows))
	}
	tell(250)
	tell(1000)
	b.end()
	if got := said.String(); strings.Contains(got, "\n") || !strings.Contains(got, "[#######.......................] resealing grants: 250 of 1000 (25 %)") ||
		!strings.Contains(got, "(100 %)") || !strings.HasSuffix(got, " \r") {
		t.Errorf("on a terminal: %q", got)
	}
	said.text.Reset()
	b = newBar(&said)
	for range 100 {
		b.tell(progressOf(1))
	}
	if said.String() != "" {
		t.Errorf("elsewhere, too often: %q", said.String())
	}
	tell(7)
	if said.String() != "resealing grants: 7 of 1000 (0 %)\n" {
		t.Errorf("elsewhere: %q", said.String())
	}
}

func progressOf(rows int) keyset.Progress {
	return keyset.Progress{Doing: "resealing grants", Rows: rows, Of: 1000}
}
