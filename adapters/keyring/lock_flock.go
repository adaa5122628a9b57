//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package keyring

import (
	"errors"
	"os"
	"syscall"
)

// locked opens the file for an edit that no other one runs beside. The lock is
// on the file itself and ends with the process; whoever waited for it looks
// whether the file is still the one under its name.
func locked(path string) (*os.File, func(), error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- the operator's own path
		if err != nil {
			return nil, nil, err
		}
		unlock := func() { _ = f.Close() }
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			unlock()
			return nil, nil, err
		}
		held, heldErr := f.Stat()
		named, namedErr := os.Stat(path)
		if err := errors.Join(heldErr, namedErr); err != nil {
			unlock()
			return nil, nil, err
		}
		if os.SameFile(held, named) {
			return f, unlock, nil
		}
		unlock()
	}
}

// inherit gives the file at path the owner that the other one has: an edit by
// root must not lock Perch out.
func inherit(path string, other *os.File) error {
	theirs, err := other.Stat()
	if err != nil {
		return err
	}
	ours, err := os.Stat(path)
	if err != nil {
		return err
	}
	was, okWas := theirs.Sys().(*syscall.Stat_t)
	is, okIs := ours.Sys().(*syscall.Stat_t)
	if !okWas || !okIs || was.Uid == is.Uid && was.Gid == is.Gid {
		return nil
	}
	return os.Chown(path, int(was.Uid), int(was.Gid))
}
