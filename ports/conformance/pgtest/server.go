package pgtest

import (
	crand "crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"perch/ports/conformance"
	"perch/ports/conformance/leash"
)

// A Server is a PostgreSQL that can be stopped and started. It listens on a
// socket in a folder of its own and does not wait for the disk.
type Server struct {
	*leash.Server
	bin  string
	port string // on loopback, too; empty: on the socket alone

	killed bool
}

// Start returns a server for this test alone, which is gone when the test ends.
// It takes a second or two. Without programs to start one from, the test counts
// as one of the absent backend postgres-restart.
func Start(t *testing.T) *Server {
	t.Helper()
	return start(t, "")
}

// StartOnLoopback is Start for tests that stand between a store and its server:
// it listens on a port of 127.0.0.1, too, and keeps it when it is restarted.
func StartOnLoopback(t *testing.T) *Server {
	t.Helper()
	for range 100 {
		// Below those that systems give to whoever asks for any: nobody is given it
		// while the server is down.
		port := strconv.Itoa(20_000 + rand.IntN(10_000)) // #nosec G404 -- no secret
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			continue // somebody has it
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return start(t, port)
	}
	t.Fatal("no port is free")
	return nil
}

func start(t *testing.T, port string) *Server {
	t.Helper()
	s, err := launch(port)
	if err != nil {
		conformance.Absent(t, backend+"-restart", err.Error())
	}
	t.Cleanup(func() {
		if err := s.End(false); err != nil {
			t.Error(err)
		}
	})
	return s
}

// URL returns where the server is.
func (s *Server) URL() string {
	q := url.Values{"host": {s.Dir}, "user": {"perch"}, "sslmode": {"disable"}}
	if s.port != "" {
		q.Set("port", s.port) // names the socket
	}
	return "postgres:///postgres?" + q.Encode()
}

// Addr returns where on loopback the server is.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", s.port) }

// Empty returns the URL of an empty schema. It goes with the server.
func (s *Server) Empty(t *testing.T) string {
	t.Helper()
	return schema(t, s.URL(), "t_"+strings.ToLower(crand.Text()))
}

// Down stops the server as an operator would who does not wait for clients.
func (s *Server) Down(t *testing.T) {
	t.Helper()
	if err := s.End(true); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server as the machine's kernel would, in the midst of whatever it
// does. It may be called from any goroutine.
func (s *Server) Kill() error {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	s.killed = true
	return errors.Join(syscall.Kill(pid, syscall.SIGKILL), s.End(true))
}

// Up starts the server again.
func (s *Server) Up(t *testing.T) {
	t.Helper()
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
}

// launch makes a cluster and starts a server on it.
func launch(port string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	l, err := leash.New("pg", "INT")
	if err != nil {
		return nil, err
	}
	s := &Server{Server: l, bin: bin, port: port}
	for _, step := range []func() error{s.disown, s.initialise, s.begin} {
		if err := step(); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.Dir))
		}
	}
	return s, nil
}

// initialise makes the cluster. Its texts sort as people expect and not as
// bytes do, so that a column which must sort by bytes has to say so.
func (s *Server) initialise() error {
	out, err := s.Command(filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", "perch", "--auth=trust", "--no-sync",
		"-E", "UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

func (s *Server) begin() error {
	args := []string{"-D", s.data(), "-k", s.Dir}
	listen := []string{"listen_addresses="}
	if s.port != "" {
		listen = []string{"listen_addresses=127.0.0.1", "port=" + s.port}
	}
	for _, setting := range append(listen,
		"fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=64MB",
		"logging_collector=off", "log_min_messages=fatal", "autovacuum=off",
		"wal_level=minimal", "max_wal_senders=0", "checkpoint_timeout=1h", "wal_init_zero=off",
	) {
		args = append(args, "-c", setting)
	}
	db, err := sql.Open("pgx", s.URL())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	err = s.Begin(db.Ping, filepath.Join(s.bin, "postgres"), args...)
	// The processes of a server that was killed notice it, and none starts before.
	for end := time.Now().Add(time.Minute); s.killed && errors.Is(err, leash.ErrEnded) && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
		err = s.Begin(db.Ping, filepath.Join(s.bin, "postgres"), args...)
	}
	s.killed = false
	return err
}

// programs returns the folder that holds PostgreSQL's programs.
func programs() (string, error) {
	var folders []string
	if found, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(found))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		folders = append(folders, found...)
	}
	for _, folder := range folders {
		if real, err := filepath.EvalSymlinks(filepath.Join(folder, "initdb")); err == nil {
			return filepath.Dir(real), nil
		}
	}
	return "", errors.New("no PostgreSQL is installed, and TEST_DATABASE_URL is not set; looked in PATH and " +
		strings.Join([]string{"/usr/lib/postgresql", "/usr/pgsql", "Homebrew"}, ", "))
}
