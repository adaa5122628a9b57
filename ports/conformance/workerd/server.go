package workerd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// places is how many databases, and how many namespaces, tests may use at once.
const places = 32

// patience is how long the engine may take to start, on a busy machine.
const patience = 3 * time.Minute

// watchdog runs the engine until its standard input ends, as it does when the
// process that started it has gone in whatever way. It ends its whole group and
// removes its files.
const watchdog = `"$@" & trap '' TERM; cat >/dev/null; kill -TERM 0; wait; rm -rf "$TMPDIR"`

// A server is a running engine.
type server struct {
	url, account, token   string
	databases, namespaces chan string // that nobody uses

	leash io.Closer // the engine ends when this does
}

// launch starts the engine and waits for its first line, which says where it is.
func launch(token string) (*server, error) {
	folder, node, err := installed()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(memory(), "perch-workerd-")
	if err != nil {
		return nil, err
	}
	s := &server{token: token}
	// #nosec G204 -- programs that npm has put there
	c := exec.CommandContext(context.Background(), "/bin/sh", "-c", watchdog, "sh",
		node, filepath.Join(folder, "local.mjs"), strconv.Itoa(places))
	c.Dir, c.SysProcAttr = folder, &syscall.SysProcAttr{Setpgid: true}
	c.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=" + dir, "TMPDIR=" + dir, "TZ=UTC", "CI=1", "API_TOKEN=" + s.token,
		"WRANGLER_SEND_METRICS=false", "CLOUDFLARE_CF_FETCH_ENABLED=false", "NO_COLOR=1",
	}
	var complaint bytes.Buffer
	c.Stderr = &limited{to: &complaint}
	leash, errIn := c.StdinPipe()
	out, errOut := c.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := c.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.leash = leash
	if err := s.await(out); err != nil {
		err = errors.Join(err, leash.Close())
		_ = c.Wait() // it was told to end
		return nil, fmt.Errorf("workerd does not start: %w: %s", err, complaint.String())
	}
	return s, nil
}

// memory is a folder that is kept in memory, if there is one and TMPDIR does not
// say otherwise: the engine waits for the disk at each write.
func memory() string {
	const shared = "/dev/shm"
	if at, err := os.Stat(shared); os.Getenv("TMPDIR") != "" || err != nil || !at.IsDir() {
		return ""
	}
	return shared
}

// await reads the engine's first line.
func (s *server) await(out io.Reader) error {
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		lines <- line
	}()
	var line string
	select {
	case line = <-lines:
	case <-time.After(patience):
		return errors.New("it has said nothing in " + patience.String())
	}
	var at struct {
		URL, Account          string
		Databases, Namespaces []string
	}
	if err := json.Unmarshal([]byte(line), &at); err != nil {
		return fmt.Errorf("its first line is %q", line)
	}
	s.url, s.account = at.URL, at.Account
	s.databases, s.namespaces = free(at.Databases), free(at.Namespaces)
	return nil
}

func free(ids []string) chan string {
	all := make(chan string, len(ids))
	for _, id := range ids {
		all <- id
	}
	return all
}

// limited keeps the beginning of what is written.
type limited struct{ to *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.to.Len() < 4096 {
		l.to.Write(p)
	}
	return len(p), nil
}

// began is where the test binary was started: in its package's folder. Tests may
// have gone elsewhere since.
var began, _ = os.Getwd() //nolint:gochecknoglobals // is known only before the tests

// installed returns the folder of the store Worker, and a Node that runs it: the
// one that npm has put there where it has one for this machine.
func installed() (folder, node string, err error) {
	root := began
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return "", "", errors.New("no go.mod above the test's folder")
		}
		root = filepath.Dir(root)
	}
	folder = filepath.Join(root, "adapters", "edge", "store")
	modules := filepath.Join(folder, "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "miniflare")); err != nil {
		return "", "", errors.New("it is not installed; run make edge, which wants npm")
	}
	node = filepath.Join(modules, ".bin", "node")
	if _, err := os.Stat(node); err == nil {
		return folder, node, nil
	}
	if node, err = exec.LookPath("node"); err != nil {
		return "", "", errors.New("there is no Node; install Node 22 or later")
	}
	return folder, node, nil
}
