package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// quiet are variables for a Perch on free ports, in the working directory.
func quiet(more ...string) []string {
	return append([]string{
		"PERCH_LISTEN=127.0.0.1:0", "PERCH_ADMIN_LISTEN=127.0.0.1:0", "PERCH_X_CLIENT_ID=c", "PERCH_X_API_URL=http://127.0.0.1:1",
	}, more...)
}

// between returns what stands in text between two others.
func between(text, after, before string) string {
	_, rest, _ := strings.Cut(text, after)
	found, _, _ := strings.Cut(rest, before)
	return found
}

func TestServeMakesWhatItNeedsOnceAndSaysSo(t *testing.T) {
	t.Chdir(t.TempDir())
	r, stop := started(t, quiet("PERCH_LISTNE=x"), "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	for _, file := range []string{"perch.db", "perch.keyset.json", "perch.admin-token"} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, want one with mode 0600", file, err)
		}
	}
	if status, _ := get(t, between(r.err.String(), "clients on ", ",")+"/healthz", ""); status != http.StatusOK {
		t.Errorf("health: status %d", status)
	}
	admin := between(r.err.String(), "operators on ", ".\n")
	server := []string{"PERCH_ADMIN_URL=" + admin}
	perch(t, server, "", "apps", "add", "One").says(t, exitDone, "app_")
	stop()
	r.says(t, exitDone, "did you mean PERCH_LISTEN?", "Made the founding token", "migrated the store",
		"made a new keyset", "Perch has stopped")

	again, stop := started(t, quiet(), "serve")
	eventually(t, "the second start is told", func() bool { return strings.Contains(again.err.String(), "callback URL") })
	server = []string{"PERCH_ADMIN_URL=" + between(again.err.String(), "operators on ", ".\n")}
	perch(t, server, "", "apps", "list").says(t, exitDone, "One")
	stop()
	if said := again.out.String() + again.err.String(); strings.Contains(said, "Made") || strings.Contains(said, "made") ||
		strings.Contains(said, "migrated") {
		t.Errorf("the second start made something:\n%s", said)
	}
}

func TestServeRefusesBadSettingsAllAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	perch(t, []string{"PERCH_STORE=tape:", "PERCH_LISTEN=here", "PERCH_X_API_KEY=half"}, "", "serve").
		says(t, exitMisuse, "PERCH_STORE", "PERCH_LISTEN", "PERCH_X_API_SECRET")
}

func TestServeRefusesATokenOthersCanRead(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("perch.admin-token", []byte("0123456789abcdefghij\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("perch.admin-token", 0o644); err != nil {
		t.Fatal(err)
	}
	perch(t, quiet("PERCH_STORE=memory:"), "", "serve").says(t, exitFailed, "chmod 600 ./perch.admin-token")
}

func TestServeRefusesADamagedKeyset(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("keys", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	perch(t, quiet("PERCH_KEYSET_FILE=keys"), "", "serve").says(t, exitFailed, "keys is not a keyring of Perch")
}

func TestMigrate(t *testing.T) {
	t.Chdir(t.TempDir())
	perch(t, nil, "", "migrate", "--dry-run").says(t, exitDone, "does not exist yet")
	if _, err := os.Stat("perch.db"); err == nil {
		t.Fatal("a dry run made the store")
	}
	perch(t, nil, "", "migrate").says(t, exitDone, "sqlite:./perch.db: applied 0001_init.sql", "applied 0002_heads.sql")
	perch(t, nil, "", "migrate", "--dry-run").says(t, exitDone, "is up to date")
	perch(t, []string{"PERCH_STORE=memory:", "PERCH_VAULT=sqlite:v.db"}, "", "migrate").
		says(t, exitDone, "memory: needs no schema", "sqlite:v.db: applied 0001_init.sql", "applied 0002_heads.sql")
}

func TestTheSecondSignalInsists(t *testing.T) {
	s := untilStopped(t.Context())
	defer s.release()
	signal := func() {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	signal()
	<-s.asked.Done()
	select {
	case <-s.insisted.Done():
		t.Fatal("one signal insists already")
	case <-time.After(20 * time.Millisecond):
	}
	signal()
	<-s.insisted.Done()
}

func TestASlowRequestIsCutOffWhenTheGraceEnds(t *testing.T) {
	ln, err := listen(t.Context(), "", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived, stopped := make(chan struct{}), false
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	s := untilStopped(t.Context())
	go func() {
		<-arrived
		s.release()
	}()
	go func() { _, _ = asker().Get(urlOf(ln)) }() //nolint:bodyclose,noctx // it is cut off
	err = open(stops{s.asked, t.Context(), s.release}, 50*time.Millisecond, []door{plainDoor(ln, slow, func() { stopped = true })})
	if err == nil || !stopped {
		t.Errorf("got %v, stopped %v; want a cut-off request", err, stopped)
	}
}

// Servers wait some seconds for connections on which nothing was asked yet.
func TestAConnectionThatIsNotUsedIsNotWaitedFor(t *testing.T) {
	s := &http.Server{ReadHeaderTimeout: time.Minute}
	closeUnused(s)
	connected := func(states ...http.ConnState) (far net.Conn) {
		near, far := net.Pipe()
		t.Cleanup(func() { _ = near.Close() })
		for _, is := range states {
			s.ConnState(near, is)
		}
		return far
	}
	unused, used := connected(http.StateNew), connected(http.StateNew, http.StateActive)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, far := range []net.Conn{unused, connected(http.StateNew)} {
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("an unused connection: %v", err)
		}
	}
	if err := used.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := used.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection in use: %v", err)
	}
}

func TestServeNamesEveryAddressThatIsTaken(t *testing.T) {
	t.Chdir(t.TempDir())
	var at [2]string
	for i := range at {
		ln, err := listen(t.Context(), "", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ln.Close() }()
		at[i] = ln.Addr().String()
	}
	perch(t, quiet("PERCH_STORE=memory:", "PERCH_LISTEN="+at[0], "PERCH_ADMIN_LISTEN="+at[1]), "", "serve").
		says(t, exitFailed, "something listens on "+at[0], "something listens on "+at[1])
}
