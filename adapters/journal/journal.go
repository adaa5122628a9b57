// Package journal keeps renewals in files of a folder on this machine: what X
// gave for a refresh token is on the disk before anything else is tried with it,
// so that neither a crash nor a store that is away loses a grant.
//
// Each attempt has a file of its own. Tokens in it are sealed. Several processes
// may share the folder: whoever finds a renewal may bring it to the vault.
package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"perch/domain/fault"
	"perch/ports"
)

const (
	suffix = ".renewal"

	// room is what a reservation takes of the disk, in bytes: more than a renewal
	// with the longest tokens that X was seen to give.
	room = 16 << 10

	// forgotten is how old a reservation must be for its attempt to be over.
	forgotten = time.Hour
)

// Journal is a ports.Journal.
type Journal struct{ dir string }

var _ ports.Journal = (*Journal)(nil)

// Open returns the journal in the folder, which is made, for its owner's eyes
// only, if there is none.
func Open(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.New(fault.Invalid, "the journal's folder %s cannot be made", dir).Because(err)
	}
	j := &Journal{dir}
	probe := "probe of " + time.Now().Format(time.RFC3339Nano)
	if err := j.Reserve(context.Background(), probe); err != nil {
		return nil, err
	}
	if err := j.Drop(context.Background(), probe); err != nil {
		return nil, err
	}
	return j, nil
}

func (j *Journal) Reserve(ctx context.Context, attempt string) error {
	if err := ended(ctx); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path(attempt), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- as above
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return j.unwritable(err)
	}
	if err := written(f, make([]byte, room)); err != nil {
		_ = os.Remove(f.Name()) // half a reservation is none
		return j.unwritable(err)
	}
	return nil
}

// Keep writes over what was reserved, so that no room is needed, and waits for
// the disk.
func (j *Journal) Keep(ctx context.Context, r ports.Renewal) error {
	if err := ended(ctx); err != nil {
		return err
	}
	text, err := encode(r)
	if err != nil {
		return fault.New(fault.Internal, "").Because(err)
	}
	f, err := os.OpenFile(j.path(r.Attempt), os.O_WRONLY|os.O_CREATE, 0o600) // #nosec G304 -- as above
	if err != nil {
		return j.unwritable(err)
	}
	if err := written(f, text); err != nil {
		return j.unwritable(err)
	}
	if err := syncDir(j.dir); err != nil {
		return j.unwritable(err)
	}
	return nil
}

func (j *Journal) Drop(ctx context.Context, attempt string) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if err := ignoreGone(os.Remove(j.path(attempt))); err != nil {
		return j.unwritable(err)
	}
	return nil
}

func (j *Journal) Pending(ctx context.Context) ([]ports.Renewal, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	var all []ports.Renewal
	err := j.each(func(path string) error {
		text, err := os.ReadFile(path) // #nosec G304 -- in our own folder
		if err != nil {
			return ignoreGone(err)
		}
		if r, ok := decode(text); ok {
			all = append(all, r)
			return nil
		}
		return forget(path, text)
	})
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the journal in %s cannot be read; give its folder back to Perch", j.dir).
			Because(err)
	}
	slices.SortStableFunc(all, func(a, b ports.Renewal) int { return a.At.Compare(b.At) })
	return all, nil
}

// forget removes a reservation whose attempt is long over: the process died.
func forget(path string, text []byte) error {
	info, err := os.Stat(path)
	if err != nil || !reserved(text) || time.Since(info.ModTime()) < forgotten {
		return ignoreGone(err)
	}
	return ignoreGone(os.Remove(path))
}

// Damaged returns how many entries are neither reservations nor renewals: what
// was in them is lost, unless somebody can repair the file.
func (j *Journal) Damaged() (n int, err error) {
	err = j.each(func(path string) error {
		text, err := os.ReadFile(path) // #nosec G304 -- in our own folder
		if err != nil {
			return ignoreGone(err)
		}
		if _, ok := decode(text); !ok && !reserved(text) {
			n++
		}
		return nil
	})
	return n, err
}

func (j *Journal) each(do func(path string) error) error {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		if err := do(filepath.Join(j.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// path is the attempt's file. Attempts may have any name.
func (j *Journal) path(attempt string) string {
	sum := sha256.Sum256([]byte(attempt))
	return filepath.Join(j.dir, hex.EncodeToString(sum[:16])+suffix)
}

func (j *Journal) unwritable(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fault.New(fault.Unavailable, "the disk that holds the journal is full, and without it no token is "+
			"refreshed; make room").Named("journal-full").Because(err)
	}
	return fault.New(fault.Unavailable, "the journal cannot be written, and without it no token is refreshed; "+
		"let Perch write into its folder").Named("journal-unwritable").Because(err)
}

// reserved reports whether nothing was written into a reservation yet.
func reserved(text []byte) bool { return len(bytes.Trim(text, "\x00")) == 0 }

// written puts text at the front of the file, on the disk, and closes it.
func written(f *os.File, text []byte) error {
	_, err := f.WriteAt(text, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes names in the folder last.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir) // #nosec G304 -- the operator's own path
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ignoreGone is for files that another process was quicker to remove.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "the call has ended").Because(err)
	}
	return nil
}
