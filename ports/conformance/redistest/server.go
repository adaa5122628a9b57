package redistest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// A Server is a Redis that can be stopped and started. It listens on a socket in
// a folder of its own and does not wait for the disk.
type Server struct {
	*leash.Server
	program  string
	settings []string
}

// Start returns a server for this test alone, which is gone when the test ends;
// settings are further ones, as "--appendonly", "no". Without a program to start
// one from, the test counts as one of the absent backend redis-restart.
func Start(t *testing.T, settings ...string) *Server {
	t.Helper()
	s, err := launch(settings...)
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
func (s *Server) URL() string { return "unix://" + s.socket() }

func (s *Server) socket() string { return filepath.Join(s.Dir, "redis.sock") }

func (s *Server) pidfile() string { return filepath.Join(s.Dir, "redis.pid") }

// Down stops the server as an operator would.
func (s *Server) Down(t *testing.T) {
	t.Helper()
	if err := s.End(true); err != nil {
		t.Fatal(err)
	}
}

// Up starts the server again.
func (s *Server) Up(t *testing.T) {
	t.Helper()
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
}

// Pause stops the server in the middle of what it does, until the test ends: it
// is there, takes connections and says nothing.
func (s *Server) Pause(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(s.pidfile())
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	})
}

// Forget removes what a stopped server has on its disk.
func (s *Server) Forget(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(s.Dir, "appendonlydir")); err != nil {
		t.Fatal(err)
	}
}

func launch(settings ...string) (*Server, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if program, err = exec.LookPath("valkey-server"); err != nil {
			return nil, errors.New("neither redis-server nor valkey-server is installed, and TEST_REDIS_URL is not set")
		}
	}
	l, err := leash.New("redis", "TERM")
	if err != nil {
		return nil, err
	}
	s := &Server{Server: l, program: program, settings: settings}
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return s, nil
}

func (s *Server) begin() error {
	return s.Begin(s.ping, s.program, append([]string{
		"--port", "0", "--unixsocket", s.socket(), "--pidfile", s.pidfile(), "--dir", s.Dir,
		"--appendonly", "yes", "--appendfsync", "no", "--save", "", "--maxmemory", "0", "--loglevel", "warning",
	}, s.settings...)...)
}

func (s *Server) ping() error {
	conn, err := new(net.Dialer).DialContext(context.Background(), "unix", s.socket())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	reply := make([]byte, len("+PONG"))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return err
	}
	if string(reply) != "+PONG" && string(reply) != "-NOAU" { // -NOAUTH: it wants a password first
		return fmt.Errorf("it answers %q", reply)
	}
	return nil
}
