package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"

	"perch/domain/fault"
)

// The format of the file. The first one told nothing of the keys' ages.
const (
	version      = 2
	firstVersion = 1
)

// maxFile is more than any sensible number of keys takes, in bytes.
const maxFile = 1 << 20

// A file is a ring as it is kept: two keysets of Tink in the clear. Who can read
// it can open every box.
type file struct {
	Version int             `json:"version"`
	Boxes   json.RawMessage `json:"aead"`
	Peppers json.RawMessage `json:"prf"`
	Ages    []age           `json:"keys,omitempty"`
}

// An age is what a keyset of Tink does not tell of a key that seals.
type age struct {
	ID      string     `json:"id"`
	Created time.Time  `json:"created"`
	Since   *time.Time `json:"seals_since,omitempty"` // nil: it was never the primary
}

// OpenOrCreate opens the ring at path, or makes a new one if there is no such
// file. It reports whether it made one.
func OpenOrCreate(path string) (r *Ring, created bool, err error) {
	r, err = Open(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return r, false, err
	}
	err = Generate(path)
	if errors.Is(err, fs.ErrExist) {
		r, err = Open(path) // somebody else was quicker
		return r, false, err
	}
	if err != nil {
		return nil, false, err
	}
	r, err = Open(path)
	return r, err == nil, err
}

// Generate writes a ring of new keys to path, for its owner's eyes only. It
// never overwrites: if the file exists the error is fs.ErrExist.
func Generate(path string) error {
	f, err := generated()
	if err != nil {
		return err
	}
	whole, err := beside(path, f)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(whole) }()
	if err := os.Link(whole, path); err != nil {
		return fault.New(fault.Invalid, "the keyring %s cannot be created", path).Because(err)
	}
	return syncDir(filepath.Dir(path))
}

// beside writes the ring under a name of its own, in the folder of path, and
// returns the name: nobody may ever see half a ring under path.
func beside(path string, f file) (string, error) {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".keyring-*") // mode 0600
	if err != nil {
		return "", fault.New(fault.Invalid, "the keyring %s cannot be created", path).Because(err)
	}
	if err := write(out, append(text, '\n')); err != nil {
		return "", errors.Join(fault.New(fault.Unavailable, "the keyring %s cannot be written", path).Because(err),
			os.Remove(out.Name()))
	}
	return out.Name(), nil
}

// Open reads the ring at path. It refuses a file that others than its owner may
// read, and one that is not a whole ring.
func Open(path string) (*Ring, error) {
	k, seen, err := read(path)
	if err != nil {
		return nil, err
	}
	r := &Ring{path: path, read: seen}
	r.now.Store(k)
	return r, nil
}

// read returns the keys in the file, and the file as it was before it was read.
func read(path string) (*keys, fs.FileInfo, error) {
	in, err := os.Open(path) // #nosec G304 -- the operator's own path
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "the keyring %s cannot be opened", path).Because(err)
	}
	defer func() { _ = in.Close() }()
	f, seen, err := readFile(path, in)
	if err != nil {
		return nil, seen, err
	}
	k, err := f.keys()
	if err != nil {
		return nil, seen, damaged(path, err)
	}
	return k, seen, nil
}

func readFile(path string, in *os.File) (file, fs.FileInfo, error) {
	seen, err := private(path, in)
	if err != nil {
		return file{}, seen, err
	}
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return file{}, seen, fault.New(fault.Unavailable, "the keyring %s cannot be read", path).Because(err)
	}
	f, err := parse(text)
	if err != nil {
		return file{}, seen, damaged(path, err)
	}
	return f, seen, nil
}

func damaged(path string, err error) error {
	return fault.New(fault.Invalid, "%s is not a keyring of Perch: %s; restore it from a backup, "+
		"for without its keys nothing that was sealed can be opened", path, err)
}

func private(path string, in *os.File) (fs.FileInfo, error) {
	stat, err := in.Stat()
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the keyring %s cannot be read", path).Because(err)
	}
	if !stat.Mode().IsRegular() {
		return stat, fault.New(fault.Invalid, "the keyring %s is not a regular file", path)
	}
	if open := stat.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" {
		return stat, fault.New(fault.Invalid, "the keyring %s can be read or changed by others (mode %04o); "+
			"run: chmod 600 %s", path, stat.Mode().Perm(), path)
	}
	return stat, nil
}

// parse reads the outer form. Errors of the parser are not passed on, because
// they may quote what they stumble over.
func parse(text []byte) (file, error) {
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return file{}, errors.New("it is empty")
	case len(text) > maxFile:
		return file{}, errors.New("it is larger than 1 MiB")
	}
	var f file
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return file{}, errors.New("it is not well-formed")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return file{}, errors.New("something follows its end")
	}
	if f.Version < firstVersion || f.Version > version {
		return file{}, fmt.Errorf("its version is %d and this program reads up to version %d", f.Version, version)
	}
	return f, nil
}

func (f file) keys() (*keys, error) {
	boxes, err := handle(f.Boxes)
	if err != nil {
		return nil, errors.New("its member aead is not a keyset")
	}
	peppers, err := handle(f.Peppers)
	if err != nil {
		return nil, errors.New("its member prf is not a keyset")
	}
	k, err := keysOf(boxes, peppers)
	if err != nil {
		return nil, err
	}
	k.list, err = described(boxes, f.Ages)
	return k, err
}

func handle(text []byte) (*keyset.Handle, error) {
	return insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
}

func generated() (file, error) {
	boxes, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return file{}, fault.New(fault.Internal, "").Because(err)
	}
	peppers, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return file{}, fault.New(fault.Internal, "").Because(err)
	}
	f, err := fileOf(boxes, peppers)
	if err != nil {
		return file{}, err
	}
	primary, err := boxes.Primary()
	if err != nil {
		return file{}, fault.New(fault.Internal, "").Because(err)
	}
	now := clock()
	f.Ages = []age{{ID: named(primary.KeyID()), Created: now, Since: &now}}
	return f, nil
}

func fileOf(boxes, peppers *keyset.Handle) (file, error) {
	f := file{Version: version}
	for h, to := range map[*keyset.Handle]*json.RawMessage{boxes: &f.Boxes, peppers: &f.Peppers} {
		var text bytes.Buffer
		if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)); err != nil {
			return file{}, fault.New(fault.Internal, "").Because(err)
		}
		*to = text.Bytes()
	}
	return f, nil
}

// write puts text on the disk and closes the file.
func write(out *os.File, text []byte) error {
	_, err := out.Write(text)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// syncDir makes a new name in the directory last.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir) // #nosec G304 -- the operator's own path
	if err != nil {
		return fault.New(fault.Unavailable, "the folder %s cannot be opened", dir).Because(err)
	}
	err = errors.Join(d.Sync(), d.Close())
	if err != nil {
		return fault.New(fault.Unavailable, "the folder %s cannot be written", dir).Because(err)
	}
	return nil
}
