package torture

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // to ask PostgreSQL where its files are

	"perch/domain/oauth"
	"perch/ports/conformance"
)

// words are what no file may hold: the beginnings of every token of X in a box,
// and the secrets that this run knows.
func (r *run) words() []string { return []string{"sim_access_", "sim_refresh_", r.key, token} }

// found returns the files below the folder that hold one of the words, plain, in
// hex or in base64.
func found(t *testing.T, folder string, words ...string) (in []string) {
	t.Helper()
	var forms [][]byte
	for _, w := range words {
		forms = append(forms, []byte(w), []byte(hex.EncodeToString([]byte(w))))
		for before := range 3 {
			coded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + w))
			forms = append(forms, []byte(coded[(before*8+5)/6:len(coded)-2]))
		}
	}
	files := 0
	must(t, filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a database tidies up
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		files++
		if slices.ContainsFunc(forms, func(f []byte) bool { return bytes.Contains(text, f) }) {
			in = append(in, path)
		}
		return err
	}))
	if files == 0 {
		t.Errorf("there is nothing in %s to look into", folder)
	}
	return in
}

// What a process leaves when it is aborted in the middle of its work: databases,
// their logs, the journal, its own log, and no core.
func TestNoTokenIsInAnythingThatAProcessLeaves(t *testing.T) {
	binary := built(t)
	for _, s := range setups() {
		if s.replicas > 1 {
			continue
		}
		t.Run(s.store, func(t *testing.T) {
			dir := ""
			real := s.dsn
			s.dsn = func(t *testing.T, at string) string { dir = at; return real(t, at) }
			r := newRun(t, s, binary, 1)
			one := r.replicas[0]
			for _, user := range r.users()[:8] {
				r.stale(user)
				if status := r.act(t.Context(), one, user); status != 200 {
					t.Fatalf("status %d", status)
				}
			}
			caught := r.caught(one, r.users()[9])
			one.abort(t)
			for _, folder := range append([]string{dir}, r.files()...) {
				for _, path := range found(t, folder, r.words()...) {
					t.Errorf("%s: a secret is in %s", s.store, path)
				}
			}
			if !caught {
				t.Error("nothing was in the journal when the process ended")
			}
			if cores, err := filepath.Glob(filepath.Join(dir, "core*")); err != nil || len(cores) > 0 {
				t.Errorf("it left %v, %v", cores, err)
			}
			planted := filepath.Join(one.journal, "planted")
			must(t, os.WriteFile(planted, []byte("x"+base64.StdEncoding.EncodeToString([]byte("a sim_refresh_token"))), 0o600))
			if in := found(t, dir, r.words()...); !slices.Equal(in, []string{planted}) {
				t.Errorf("a token was planted in the journal, and was found in %v", in)
			}
			conformance.Verified(t, s.store)
		})
	}
}

// stale lets the user's access token run out in the eyes of Perch.
func (r *run) stale(user string) {
	r.t.Helper()
	g, err := r.vault.Get(r.t.Context(), oauth.GrantID(r.grant(user)))
	must(r.t, err)
	_, err = r.vault.Swap(r.t.Context(), g, g.Stale(time.Now().UTC().Truncate(time.Microsecond)))
	must(r.t, err)
}

// caught has the process hold a renewal that its store does not take, and
// reports whether the journal has it.
func (r *run) caught(one *replica, user string) bool {
	r.t.Helper()
	r.stale(user)
	open := r.witnesses[0].bar() // X answers once its store takes nothing
	defer open()
	go r.act(r.t.Context(), one, user)
	r.until(func() bool {
		g, err := r.vault.Get(r.t.Context(), oauth.GrantID(r.grant(user)))
		return err == nil && g.Unsettled()
	})
	tx, err := r.store.DB().BeginTx(r.t.Context(), nil)
	must(r.t, err)
	r.t.Cleanup(func() { _ = tx.Rollback() })
	_, err = tx.Exec("UPDATE grants SET version = version")
	must(r.t, err)
	open()
	return r.until(func() bool {
		left, err := one.left(r.t.Context())
		return err == nil && len(left) > 0
	})
}

// until waits a minute at the most for something to be so.
func (r *run) until(so func() bool) bool {
	for range 6000 {
		if so() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// files are folders outside of the run's own that its store writes into.
func (r *run) files() []string {
	if r.s.store != "postgres" {
		return nil
	}
	db, err := sql.Open("pgx", r.dsn)
	must(r.t, err)
	defer func() { _ = db.Close() }()
	var data string
	must(r.t, db.QueryRow("SHOW data_directory").Scan(&data))
	_, err = db.Exec("CHECKPOINT")
	must(r.t, err)
	return []string{data}
}

// abort ends the process as a fault in it would, where core dumps are not
// limited from outside.
func (r *replica) abort(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	must(t, r.cmd.Process.Signal(syscall.SIGABRT))
	_ = r.cmd.Wait()
	r.running = false
	r.died[r.life] = time.Now()
}

// A process that does not turn core dumps off leaves one here, with what was in
// its memory. Otherwise that Perch leaves none would prove nothing.
func TestOthersLeaveCores(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", "ulimit -c unlimited && exec "+os.Args[0]+" -test.run=TestDie")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "DIE=sim_refresh_planted", "GOTRACEBACK=crash")
	out, _ := cmd.CombinedOutput()
	cores, err := filepath.Glob(filepath.Join(dir, "core*"))
	must(t, err)
	if len(cores) == 0 {
		conformance.Absent(t, "cores", fmt.Sprintf("this machine keeps no core dumps in the working directory: %s", out))
	}
	if in := found(t, dir, "sim_refresh_"); len(in) == 0 {
		t.Error("a token that was in memory is not found in the core")
	}
	conformance.Verified(t, "cores")
}

// TestDie is the process that dies in TestOthersLeaveCores.
func TestDie(t *testing.T) {
	text := os.Getenv("DIE")
	if text == "" {
		return
	}
	kept := []byte(text)
	must(t, syscall.Kill(syscall.Getpid(), syscall.SIGABRT))
	time.Sleep(10 * time.Second)
	t.Log(len(kept))
}
