package torture

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/journal"
	"perch/adapters/xhttp/xsim"
	"perch/ports"
	"perch/ports/conformance"
)

// A replica is a process of perch serve that is started again when it dies. It
// has a journal, a road to X and ports of its own, as on a machine of its own.
type replica struct {
	name          string
	binary        string
	public, admin string // URLs
	journal       string
	road          string // to X: a URL
	env           []string
	log           string

	mu      sync.Mutex
	cmd     *exec.Cmd
	life    int // counts the processes
	running bool
	died    map[int]time.Time // when each life ended
}

// A witness sees what goes over one replica's road to X.
type witness struct {
	x *xsim.Sim
	r *replica

	mu        sync.Mutex
	presented []presentation
	barred    chan struct{} // refreshes wait until it is closed; nil: they do not
}

// A presentation is a refresh token that was shown to X.
type presentation struct {
	fingerprint string
	by          string // the replica
	life        int
	at          time.Time
}

// ServeHTTP has the life of who asks at the beginning of the path: the next one may
// have begun before the last words of a dead process are read.
func (w *witness) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	number, _, _ := strings.Cut(in.URL.Path[1:], "/")
	life, err := strconv.Atoi(number)
	if err != nil {
		http.NotFound(out, in)
		return
	}
	http.StripPrefix("/"+number, http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		w.see(life, in)
		w.x.ServeHTTP(out, in)
	})).ServeHTTP(out, in)
}

func (w *witness) see(life int, in *http.Request) {
	if in.URL.Path != "/2/oauth2/token" {
		return
	}
	if err := in.ParseForm(); err == nil && in.PostForm.Get("grant_type") == "refresh_token" {
		w.mu.Lock()
		barred := w.barred
		w.presented = append(w.presented, presentation{
			xsim.Fingerprint(in.PostForm.Get("refresh_token")), w.r.name, life, time.Now(),
		})
		w.mu.Unlock()
		if barred != nil {
			<-barred
		}
	}
	in.Body = body(in)
}

// bar has refreshes wait on the road to X until it is opened.
func (w *witness) bar() (open func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	barred := make(chan struct{})
	w.barred = barred
	return sync.OnceFunc(func() { close(barred) })
}

func newReplica(t *testing.T, i int, binary, dir string, x *xsim.Sim, env []string) (*replica, *witness) {
	t.Helper()
	r := &replica{
		name: fmt.Sprintf("replica %d", i), binary: binary,
		public: "http://" + conformance.OwnPort(t), admin: "http://" + conformance.OwnPort(t),
		journal: filepath.Join(dir, fmt.Sprintf("journal-%d", i)), died: map[int]time.Time{},
		log: filepath.Join(dir, fmt.Sprintf("log-%d", i)),
	}
	w := &witness{x: x, r: r}
	road := httptest.NewServer(w)
	t.Cleanup(func() { road.CloseClientConnections(); road.Close() })
	r.road = road.URL
	r.env = append([]string{
		"PERCH_LISTEN=" + r.public[7:], "PERCH_ADMIN_LISTEN=" + r.admin[7:], "PERCH_JOURNAL=" + r.journal,
		"PERCH_X_AUTHORIZE_URL=" + road.URL + "/i/oauth2/authorize",
	}, env...)
	t.Cleanup(r.kill)
	return r, w
}

// start starts the next process and waits until it answers.
func (r *replica) start(ctx context.Context) error {
	log, err := os.OpenFile(r.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	// As on a machine that lets every process leave a core.
	cmd := exec.Command("sh", "-c", "ulimit -c unlimited; exec "+r.binary+" serve") // #nosec G204 -- the program under test
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(r.log), log, log
	r.mu.Lock()
	cmd.Env = append(slices.Clone(r.env), fmt.Sprintf("PERCH_X_API_URL=%s/%d", r.road, r.life+1))
	if err := cmd.Start(); err != nil {
		r.mu.Unlock()
		return err
	}
	r.cmd, r.running = cmd, true
	r.life++
	r.mu.Unlock()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if reply, err := http.Get(r.public + "/healthz"); err == nil {
			_ = reply.Body.Close()
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			said, _ := os.ReadFile(r.log)
			return fmt.Errorf("%s does not start: %s", r.name, said[max(0, len(said)-2000):])
		}
	}
}

// kill ends the process without a word.
func (r *replica) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.running {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.running = false
	r.died[r.life] = time.Now()
}

// diedAt is when the life ended; false: it has not.
func (r *replica) diedAt(life int) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.died[life]
	return at, ok
}

// left is what the dead process had on its disk of what X gave.
func (r *replica) left(ctx context.Context) ([]ports.Renewal, error) {
	j, err := journal.Open(r.journal)
	if err != nil {
		return nil, err
	}
	return j.Pending(ctx)
}
