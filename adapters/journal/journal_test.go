package journal_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"perch/adapters/journal"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
	"perch/ports/conformance"
)

func open(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func renewal(attempt string) ports.Renewal {
	return ports.Renewal{
		Attempt: attempt, Grant: "g", Pair: oauth.Pair{Access: "box"}, At: time.UnixMicro(1e15).UTC(),
	}
}

func TestConformance(t *testing.T) {
	conformance.Journal(t, func(t *testing.T) ports.Journal { return open(t, filepath.Join(t.TempDir(), "a", "b")) })
}

func TestWhatIsKeptOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Keep(t.Context(), renewal("a")); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, dir).Pending(t.Context())
	if err != nil || len(got) != 1 || got[0].Attempt != "a" {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
}

func TestOnlyTheOwnerReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := open(t, dir)
	if err := errors.Join(j.Reserve(t.Context(), "a"), j.Keep(t.Context(), renewal("b"))); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		info, statErr := e.Info()
		if statErr == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return errors.Join(err, statErr)
	}); err != nil {
		t.Fatal(err)
	}
}

// files returns the journal's files.
func files(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.renewal"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A disk that lost power in the middle of a write leaves any part of it.
func TestHalfAnEntryIsNone(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if err := errors.Join(j.Reserve(t.Context(), "a"), j.Keep(t.Context(), renewal("a"))); err != nil {
		t.Fatal(err)
	}
	path := files(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := len(bytes.TrimRight(whole, "\x00"))
	for cut := range size {
		torn := append(bytes.Clone(whole[:cut]), make([]byte, len(whole)-cut)...)
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := j.Pending(t.Context()); err != nil || len(got) != 0 {
			t.Fatalf("cut after %d of %d bytes: %+v, %v", cut, size, got, err)
		}
		if n, err := j.Damaged(); err != nil || (n == 1) != (cut > 0) {
			t.Fatalf("cut after %d bytes: %d are damaged, %v", cut, n, err)
		}
		if len(files(t, dir)) != 1 {
			t.Fatalf("cut after %d bytes: the file is gone", cut)
		}
	}
}

func TestOldReservationsAreClearedAway(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for _, attempt := range []string{"old", "new"} {
		if err := j.Reserve(t.Context(), attempt); err != nil {
			t.Fatal(err)
		}
		if attempt == "old" {
			past := time.Now().Add(-2 * time.Hour)
			if err := os.Chtimes(files(t, dir)[0], past, past); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Keep(t.Context(), renewal("kept")); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Pending(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 2 {
		t.Errorf("%d entries are left, want the new reservation and the renewal", len(left))
	}
}

func TestAFolderThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(filepath.Join(file, "journal")); !errors.Is(err, fault.Invalid) {
		t.Errorf("a folder below a file: %v", err)
	}
	dir := t.TempDir()
	j := open(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := j.Reserve(t.Context(), "a")
	if !errors.Is(err, fault.Unavailable) || fault.SlugOf(err) != "journal-unwritable" {
		t.Errorf("a folder that has gone: %v", err)
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && strings.Contains(f.Say, dir) {
		t.Errorf("clients are told of the folder: %s", f.Say)
	}
}

// On a disk that is full nothing can be reserved, and what is reserved can be kept.
func TestTheDiskIsFull(t *testing.T) {
	dir := small(t)
	j := open(t, dir)
	if err := j.Reserve(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(dir, "ballast"))
	err := j.Reserve(t.Context(), "second")
	if !errors.Is(err, fault.Unavailable) || !errors.Is(err, syscall.ENOSPC) || fault.SlugOf(err) != "journal-full" {
		t.Errorf("reserving on a full disk: %v", err)
	}
	if err := j.Keep(t.Context(), renewal("first")); err != nil {
		t.Errorf("keeping what was reserved: %v", err)
	}
	if got, err := j.Pending(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("what is pending: %+v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	if err := j.Reserve(t.Context(), "second"); err != nil {
		t.Errorf("reserving when there is room again: %v", err)
	}
}

// small mounts a file system of one mebibyte, which only root can.
func small(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		conformance.Absent(t, "full-disk", "only root on Linux can mount a small file system")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).CombinedOutput(); err != nil {
		conformance.Absent(t, "full-disk", "a small file system cannot be mounted: "+string(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	conformance.Verified(t, "full-disk")
	return dir
}

// fill takes all the room there is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, size := range []int{1 << 16, 4096, 1} {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
}
