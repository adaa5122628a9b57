// Package torture kills Perch. Real processes of perch serve stand over one store
// in front of X in a box; they are killed with SIGKILL at seeded random moments
// while grants are refreshed and revoked, and started again. At the end the
// ledger of X tells whether anything was lost, or presented twice.
package torture

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"perch/ports/conformance/pgtest"
)

var (
	kills   = flag.Int("kills", 4, "how often a process is killed in each setup")
	crowd   = flag.Int("grants", 40, "how many grants there are in each setup")
	seed    = flag.Uint64("seed", 0, "what the random moments follow from; 0: another one each time")
	summary = flag.String("summary", "", "a file for the last line")
)

// A setup is a store and how many replicas stand over it.
type setup struct {
	store    string
	replicas int
	dsn      func(t *testing.T, dir string) string
}

func setups() []setup {
	sqlite := func(_ *testing.T, dir string) string { return "sqlite:" + filepath.Join(dir, "perch.db") }
	postgres := func(t *testing.T, _ string) string { return pgtest.Start(t).URL() }
	return []setup{{"sqlite", 1, sqlite}, {"sqlite", 3, sqlite}, {"postgres", 1, postgres}, {"postgres", 3, postgres}}
}

// A tally is what came of it.
type tally struct {
	kills, refreshes, grants int
	lost                     int // X's answer had reached the process, and the grant is dead
	twice                    int // a spent refresh token was presented while its first presenter lived
	residual                 int // the process died between X's answer and its own disk
	revokedUsed              int // X saw the token of a grant after its revocation was confirmed
}

func (y *tally) add(z tally) {
	y.kills, y.refreshes, y.grants = y.kills+z.kills, y.refreshes+z.refreshes, y.grants+z.grants
	y.lost, y.twice, y.residual = y.lost+z.lost, y.twice+z.twice, y.residual+z.residual
	y.revokedUsed += z.revokedUsed
}

func (y tally) line(seed uint64) string {
	return fmt.Sprintf("torture: kills=%d refreshes=%d grants=%d lost=%d presented_twice=%d residual=%d seed=%d",
		y.kills, y.refreshes, y.grants, y.lost, y.twice, y.residual, seed)
}

func TestTorture(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1e9
	}
	binary := built(t)
	var mu sync.Mutex
	var total tally
	t.Run("setups", func(t *testing.T) {
		for i, s := range setups() {
			t.Run(fmt.Sprintf("%s and %d replicas", s.store, s.replicas), func(t *testing.T) {
				if *kills <= few {
					t.Parallel() // they mostly wait for leases to run out
				}
				one := tortured(t, s, binary, *seed+uint64(i))
				mu.Lock()
				defer mu.Unlock()
				total.add(one)
			})
		}
	})
	if *summary != "" {
		if err := os.WriteFile(*summary, []byte(total.line(*seed)+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// few is up to how many kills setups do not disturb each other much.
const few = 20

func tortured(t *testing.T, s setup, binary string, seed uint64) tally {
	t.Helper()
	one := newRun(t, s, binary, seed).torture()
	t.Log(one.line(seed))
	if one.lost+one.twice+one.revokedUsed > 0 {
		t.Errorf("%d grants were lost, %d tokens presented twice, %d revoked grants used",
			one.lost, one.twice, one.revokedUsed)
	}
	if one.kills != *kills || one.refreshes < one.kills {
		t.Errorf("only %d kills and %d refreshes", one.kills, one.refreshes)
	}
	return one
}

// built returns the program that is tortured.
func built(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "perch")
	if out, err := exec.Command("go", "build", "-o", path, "perch/cmd/perch").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return path
}
