//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !dragonfly

package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// locked opens the file for an edit that no other one runs beside.
func locked(path string) (*os.File, func(), error) {
	lock := path + ".lock"
	l, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil, fmt.Errorf("another perch keyset changes it; if none runs, remove %s", lock)
	}
	if err != nil {
		return nil, nil, err
	}
	unlock := func() { _ = os.Remove(lock) }
	if err := l.Close(); err != nil {
		unlock()
		return nil, nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return f, func() { _ = f.Close(); unlock() }, nil
}

// inherit has nothing to do: the folder decides who may read a file.
func inherit(string, *os.File) error { return nil }
