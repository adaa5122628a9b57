package workerd

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"perch/ports/conformance"
)

type sql struct {
	SQL string `json:"sql"`
}

func TestPlacesAreEmptyAndApart(t *testing.T) {
	conformance.Verified(t, Backend)
	seen := map[string]bool{}
	for range places + 3 { // some are given twice
		t.Run("one", func(t *testing.T) {
			one, other := D1(t), D1(t)
			if one.ID == other.ID {
				t.Fatal("one database is lent twice")
			}
			s := engine(t)
			create := sql{`CREATE TABLE "a ""table" (id TEXT)`} // fails where it is
			for _, p := range []Place{one, other} {
				if err := s.ask(http.MethodPost, "/d1/database/"+p.ID+"/query", create, nil); err != nil {
					t.Fatal(err)
				}
				seen[p.ID] = true
			}
		})
	}
	if len(seen) != places {
		t.Errorf("%d databases were lent, want %d", len(seen), places)
	}
	var id string
	for range places + 1 {
		t.Run("namespace", func(t *testing.T) {
			p := KV(t)
			s, path := engine(t), "/storage/kv/namespaces/"+p.ID
			var keys []struct{ Name string }
			if err := s.ask(http.MethodGet, path+"/keys", nil, &keys); err != nil || len(keys) != 0 {
				t.Errorf("keys of an empty namespace: %v, %v", keys, err)
			}
			if err := s.ask(http.MethodPut, path+"/values/a%2Fb", "value", nil); err != nil {
				t.Error(err)
			}
			id = p.ID
		})
	}
	if id == "" {
		t.Error("no namespace was lent")
	}
}

// Without a token that cannot be guessed, the Worker serves nobody.
func TestNobodyIsServedWithoutAToken(t *testing.T) {
	engine(t) // skips where there is none
	for _, token := range []string{"", "short-token"} {
		s, err := launch(token)
		if err != nil {
			t.Fatal(err)
		}
		err = s.ask(http.MethodGet, "/storage/kv/namespaces/"+<-s.namespaces+"/keys", nil, nil)
		if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "wrangler secret put API_TOKEN") {
			t.Errorf("with the token %q: %v", token, err)
		}
		if err := s.leash.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The engine and its files are gone soon after the process that started it was
// killed.
func TestTheEngineDoesNotOutliveItsTests(t *testing.T) {
	if at := os.Getenv("PERCH_TEST_WORKERD_TMP"); at != "" {
		engine(t)
		if err := os.WriteFile(filepath.Join(at, "ready"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
	}
	engine(t) // skips where there is none
	dir := t.TempDir()
	// #nosec G702 -- this binary
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	c.Env = append(os.Environ(), "PERCH_TEST_WORKERD_TMP="+dir, "TMPDIR="+dir)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the engine runs", func() bool {
		_, err := os.Stat(filepath.Join(dir, "ready"))
		return err == nil
	})
	if n := running(t, dir); n < 2 {
		t.Errorf("%d processes of the engine are seen, want node and workerd", n)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	eventually(t, "the engine and its files are gone", func() bool {
		left, err := filepath.Glob(filepath.Join(dir, "perch-workerd-*"))
		return err == nil && len(left) == 0 && running(t, dir) == 0
	})
}

// running counts the processes whose files are in the folder.
func running(t *testing.T, dir string) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(files) == 0 {
		conformance.Absent(t, "proc", "processes cannot be seen here")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), "TMPDIR="+dir+"/perch-workerd-") {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it has not come to pass that %s", what)
		}
	}
}
