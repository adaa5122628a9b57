// Package leash runs the servers that tests need, so that none outlives whoever
// started it.
package leash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// patience is how long a server may take to start, on a busy machine.
const patience = 3 * time.Minute

// ErrEnded says that a program has ended by itself instead of getting ready.
var ErrEnded = errors.New("it has ended by itself")

// watchdog runs a server until its standard input ends, as it does when the
// process that started it has gone in whatever way, also one that is paused. Unless it was told to keep
// the server's files, it removes them. The standard output belongs to the server alone.
const watchdog = `"$@" & p=$!; exec >/dev/null; said=$(cat); kill -"$SIGNAL" "$p"; kill -CONT "$p"; wait "$p"
[ "$said" = keep ] || rm -rf "$DIR"`

// A Server is a program that can be stopped and started again, and its files.
type Server struct {
	Dir    string // a folder of its own
	Signal string // that ends the program, as INT
	Attr   *syscall.SysProcAttr

	running *exec.Cmd
	leash   io.WriteCloser // the program ends when this does
}

// New returns a server in a new folder, with nothing running. The folder's name
// is short, as paths of sockets must be.
func New(name, signal string) (*Server, error) {
	dir, err := os.MkdirTemp("", "perch-"+name+"-")
	if err != nil {
		return nil, err
	}
	return &Server{Dir: dir, Signal: signal, Attr: &syscall.SysProcAttr{Setpgid: true}}, nil
}

// Command is a program in the server's folder, with nothing of our own variables.
func (s *Server) Command(name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(context.Background(), name, args...) // #nosec G204 -- programs of the server
	c.Dir, c.SysProcAttr = s.Dir, s.Attr
	c.Env = []string{
		"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin", "HOME=" + s.Dir, "DIR=" + s.Dir, "SIGNAL=" + s.Signal,
	}
	return c
}

// Begin starts the program and waits until it is ready.
func (s *Server) Begin(ready func() error, program string, args ...string) error {
	c := s.Command("/bin/sh", append([]string{"-c", watchdog, "sh", program}, args...)...)
	leash, err := c.StdinPipe()
	if err != nil {
		return err
	}
	ended, err := start(c)
	if err != nil {
		return err
	}
	s.running, s.leash = c, leash
	for end := time.After(patience); ; {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
			continue
		case <-ended:
			err = errors.Join(ErrEnded, err)
		case <-end:
		}
		return errors.Join(fmt.Errorf("%s does not start: %w", program, err), s.End(true))
	}
}

// start returns what is closed when nobody has the program's standard output any
// more.
func start(c *exec.Cmd) (ended <-chan struct{}, err error) {
	near, far, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.Stdout = far
	err = errors.Join(c.Start(), far.Close())
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, near)
		_ = near.Close()
		close(gone)
	}()
	return gone, err
}

// End stops the program, if it runs. Its files go with it unless they are kept.
func (s *Server) End(keep bool) error {
	if s.running == nil {
		return nil
	}
	why := ""
	if keep {
		why = "keep"
	}
	_, err := io.WriteString(s.leash, why)
	err = errors.Join(err, s.leash.Close())
	_ = s.running.Wait() // whatever the program's last word was
	s.running = nil
	return err
}
