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
	"syscall"
	"testing"
	"time"

	"perch/ports/conformance"
)

// patience is how long a server may take to start.
const patience = 30 * time.Second

// watchdog runs a server until its standard input ends, as it does when the
// process that started it has gone in whatever way. Unless it was told to keep
// the server's files, it removes them.
const watchdog = `"$@" & p=$!; said=$(cat); kill -TERM "$p"; wait "$p"; [ "$said" = keep ] || rm -rf "$DIR"`

// A Server is a Redis that can be stopped and started. It listens on a socket in
// a folder of its own and does not wait for the disk.
type Server struct {
	program, dir string
	settings     []string
	running      *exec.Cmd
	leash        io.WriteCloser // the server ends when this does
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
		if err := s.end(""); err != nil {
			t.Error(err)
		}
	})
	return s
}

// URL returns where the server is.
func (s *Server) URL() string { return "unix://" + s.socket() }

func (s *Server) socket() string { return filepath.Join(s.dir, "redis.sock") }

// Down stops the server as an operator would.
func (s *Server) Down(t *testing.T) {
	t.Helper()
	if err := s.end("keep"); err != nil {
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

// Forget removes what a stopped server has on its disk.
func (s *Server) Forget(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "appendonlydir")); err != nil {
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
	dir, err := os.MkdirTemp("", "perch-redis-") // short, as paths of sockets must be
	if err != nil {
		return nil, err
	}
	s := &Server{program: program, dir: dir, settings: settings}
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) begin() error {
	args := append([]string{
		"-c", watchdog, "sh", s.program, "--port", "0", "--unixsocket", s.socket(), "--dir", s.dir,
		"--appendonly", "yes", "--appendfsync", "no", "--save", "", "--maxmemory", "0", "--loglevel", "warning",
	}, s.settings...)
	c := exec.CommandContext(context.Background(), "/bin/sh", args...) // #nosec G204 -- the program of Redis
	c.Dir, c.SysProcAttr = s.dir, &syscall.SysProcAttr{Setpgid: true}
	c.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin", "HOME=" + s.dir, "DIR=" + s.dir}
	leash, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	s.running, s.leash = c, leash
	if err := s.await(); err != nil {
		return errors.Join(fmt.Errorf("redis does not start: %w", err), s.end("keep"))
	}
	return nil
}

// await waits until the server answers.
func (s *Server) await() error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if err := s.ping(); err == nil || time.Now().After(end) {
			return err
		}
	}
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

// end stops the server, if it runs, and tells its watchdog why.
func (s *Server) end(why string) error {
	if s.running == nil {
		return nil
	}
	_, err := io.WriteString(s.leash, why)
	err = errors.Join(err, s.leash.Close())
	_ = s.running.Wait() // whatever the server's last word was
	s.running = nil
	return err
}
