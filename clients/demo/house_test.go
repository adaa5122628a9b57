package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A house is a running perch dev: Perch, X in a box and the demo.
type house struct {
	BaseURL string `json:"base_url"`
	XURL    string `json:"x_url"`
	DemoURL string `json:"demo_url"`

	said *output
}

// An output is what a process writes, while it writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start builds perch, or takes the binary PERCH_BINARY names, and runs it until the test ends.
func start(t *testing.T) house {
	t.Helper()
	h := house{said: &output{}}
	file := filepath.Join(t.TempDir(), "credentials.json")
	const free = "127.0.0.1:0"
	cmd := exec.Command(binary(t), "dev", "--listen", free, "--admin-listen", free, // #nosec G204 -- our own binary
		"--x-listen", free, "--demo-listen", free, "--credentials-file", file)
	cmd.Stdout, cmd.Stderr = h.said, h.said
	if err := cmd.Start(); err != nil {
		t.Fatalf("start perch dev: %v", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { stop(t, cmd, exited, h.said) })
	for deadline := time.Now().Add(2 * time.Minute); !h.read(file); time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("perch dev ended early: %v\n%s", err, h.said)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("perch dev did not write %s\n%s", file, h.said)
		}
	}
	return h
}

func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("PERCH_BINARY"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "perch")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "perch/cmd/perch").CombinedOutput()
	if err != nil {
		t.Fatalf("build perch: %v\n%s", err, out)
	}
	return path
}

// read takes the URLs from the file once it is whole.
func (h *house) read(file string) bool {
	b, err := os.ReadFile(file) // #nosec G304 -- a file of this test
	return err == nil && json.Unmarshal(b, h) == nil && h.BaseURL != "" && h.XURL != "" && h.DemoURL != ""
}

func stop(t *testing.T, cmd *exec.Cmd, exited <-chan error, said *output) {
	t.Helper()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("perch dev did not end well: %v", err)
		}
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		t.Errorf("perch dev did not end within a minute of SIGTERM; killed: %v", <-exited)
	}
	if t.Failed() {
		t.Logf("perch dev said:\n%s", said)
	}
}
