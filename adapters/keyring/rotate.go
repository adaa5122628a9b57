package keyring

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"perch/domain/fault"
)

// A State says what a key does.
type State string

// The primary key seals and opens. An enabled one only opens, and so does a
// staged one, which has never sealed: it waits to become the primary. A disabled
// one does nothing.
const (
	Primary  State = "primary"
	Enabled  State = "enabled"
	Staged   State = "staged"
	Disabled State = "disabled"
)

// A Key is what may be told of a key that seals and opens boxes.
type Key struct {
	ID      string
	State   State
	Created time.Time // zero: unknown
	Since   time.Time // when it began to seal; zero: unknown, or it never has
}

// Stopped is when the key ceased to seal, as far as the keys tell: when the next
// one began to. It is zero for a key that never sealed, and where nothing tells.
func Stopped(list []Key, id string) (at time.Time) {
	i := slices.IndexFunc(list, func(k Key) bool { return k.ID == id })
	if i < 0 || list[i].State == Staged {
		return at
	}
	for _, k := range list {
		if k.ID != id && k.Since.After(list[i].Since) && (at.IsZero() || k.Since.Before(at)) {
			at = k.Since
		}
	}
	return at
}

func clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func described(boxes *keyset.Handle, ages []age) ([]Key, error) {
	var list []Key
	for entry, err := range entries(boxes) {
		if err != nil {
			return nil, errors.New("the keys for boxes cannot be read")
		}
		k := Key{ID: named(entry.KeyID()), State: Enabled}
		i := slices.IndexFunc(ages, func(a age) bool { return a.ID == k.ID })
		if i >= 0 {
			k.Created = ages[i].Created
			if ages[i].Since != nil {
				k.Since = *ages[i].Since
			}
		}
		switch {
		case entry.IsPrimary():
			k.State = Primary
		case entry.KeyStatus() != keyset.Enabled:
			k.State = Disabled
		case i >= 0 && k.Since.IsZero():
			k.State = Staged
		}
		list = append(list, k)
	}
	return list, nil
}

// Rotate makes another key the one that seals, in the file at path: the staged
// one if there is one, else a new one. It returns the keys as they are now.
// Peppers stay: what was digested with them cannot be digested anew.
func Rotate(path string) ([]Key, error) {
	return edit(path, func(m *keyset.Manager, list []Key) error {
		i := slices.IndexFunc(list, func(k Key) bool { return k.State == Staged })
		if i >= 0 {
			return m.SetPrimary(number(list[i].ID))
		}
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		return cmp.Or(err, m.SetPrimary(id))
	})
}

// Stage adds a key that opens and does not seal yet, in the file at path, so
// that copies of the file can have it before it does. It returns the keys as
// they are now.
func Stage(path string) ([]Key, error) {
	return edit(path, func(m *keyset.Manager, list []Key) error {
		if i := slices.IndexFunc(list, func(k Key) bool { return k.State == Staged }); i >= 0 {
			return fault.New(fault.Conflict, "the key %s is staged already; copy the file to every replica, "+
				"and let it seal with perch keyset rotate", list[i].ID)
		}
		_, err := m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
}

// Retire removes a key from the file at path. Whether anything still needs it is
// the caller's to know.
func Retire(path, id string) ([]Key, error) {
	return edit(path, func(m *keyset.Manager, list []Key) error {
		i := slices.IndexFunc(list, func(k Key) bool { return k.ID == id })
		switch {
		case i < 0:
			return fault.New(fault.NotFound, "%s has no key %s; perch keyset list shows those it has", path, id)
		case list[i].State == Primary:
			return fault.New(fault.Conflict, "the key %s is the one that seals; let another one seal first: "+
				"perch keyset rotate", id)
		}
		return m.Delete(number(id))
	})
}

func number(id string) (n uint32) {
	_, _ = fmt.Sscanf(id, "%08x", &n) // our own writing
	return n
}

// edit changes the keys for boxes in the file at path. Of several edits at once
// each sees what the one before it left, and whoever reads the file, or finds it
// after a crash, finds it as it was before an edit or after it.
func edit(path string, change func(*keyset.Manager, []Key) error) ([]Key, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the keyring %s cannot be opened", path).Because(err)
	}
	in, unlock, err := locked(real)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the keyring %s cannot be changed", path).Because(err)
	}
	defer unlock()
	f, _, err := readFile(path, in)
	if err != nil {
		return nil, err
	}
	k, err := f.keys()
	if err != nil {
		return nil, damaged(path, err)
	}
	if f, err = f.changed(k.list, change); err != nil {
		return nil, err
	}
	if err := replace(real, in, f); err != nil {
		return nil, err
	}
	next, _, err := read(real)
	if err != nil {
		return nil, err
	}
	return next.list, nil
}

func (f file) changed(list []Key, change func(*keyset.Manager, []Key) error) (file, error) {
	boxes, err := handle(f.Boxes)
	if err != nil {
		return file{}, fault.New(fault.Internal, "").Because(err)
	}
	m := keyset.NewManagerFromHandle(boxes)
	if err := change(m, list); err != nil {
		return file{}, err
	}
	peppers, err := handle(f.Peppers)
	if err != nil {
		return file{}, fault.New(fault.Internal, "").Because(err)
	}
	if boxes, err = m.Handle(); err != nil {
		return file{}, fault.New(fault.Internal, "").Because(err)
	}
	next, err := fileOf(boxes, peppers)
	if err != nil {
		return file{}, err
	}
	next.Ages, err = aged(boxes, list)
	return next, err
}

// aged returns the ages of the keys, of which some had been listed before.
func aged(boxes *keyset.Handle, before []Key) ([]age, error) {
	now := clock()
	list, err := described(boxes, nil)
	if err != nil {
		return nil, err
	}
	var ages []age
	for _, k := range list {
		a := age{ID: k.ID, Created: now}
		i := slices.IndexFunc(before, func(b Key) bool { return b.ID == k.ID })
		if i >= 0 {
			a.Created = before[i].Created
			if since := before[i].Since; !since.IsZero() {
				a.Since = &since
			}
		}
		if k.State == Primary && (i < 0 || before[i].State != Primary) {
			a.Since = &now
		}
		if a.Since != nil || !a.Created.IsZero() {
			ages = append(ages, a)
		}
	}
	return ages, nil
}

// replace puts f in the place of the file at path, which is open as in.
func replace(path string, in *os.File, f file) error {
	whole, err := beside(path, f)
	if err != nil {
		return err
	}
	if err = inherit(whole, in); err == nil {
		err = os.Rename(whole, path)
	}
	if err != nil {
		return errors.Join(fault.New(fault.Unavailable, "the keyring %s cannot be written", path).Because(err),
			os.Remove(whole))
	}
	return syncDir(filepath.Dir(path))
}
