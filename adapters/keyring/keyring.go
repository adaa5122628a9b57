// Package keyring seals secrets with Tink. A ring has two sets of keys: one
// seals and opens boxes, the other peppers digests. Of each set one key is the
// primary, which makes what is new; the others still read what is old.
package keyring

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

// digestSize is the length of a digest in bytes.
const digestSize = 32

// Ring is a ports.Keyring.
type Ring struct {
	now    atomic.Pointer[keys]
	path   string      // "": kept nowhere
	read   fs.FileInfo // of the file that the first keys came from
	follow *follower   // nil: the ring stays as it was opened
	lacks  lacks
}

var _ ports.Keyring = (*Ring)(nil)

// keys are those of a ring at one moment.
type keys struct {
	primary string
	boxes   tink.AEAD            // seals with the primary
	opens   map[string]tink.AEAD // by the key's name: what it sealed is opened by
	peppers []prf.PRF            // the primary first, then the newest of the others
	list    []Key
}

// Ephemeral returns a ring of new keys that are kept nowhere: what it seals is
// lost when the program ends. For the memory store and for tests.
func Ephemeral() *Ring {
	f, err := generated()
	if err != nil {
		panic(err) // our own templates, and a random source that cannot fail
	}
	k, err := f.keys()
	if err != nil {
		panic(err)
	}
	r := &Ring{}
	r.now.Store(k)
	return r
}

func (r *Ring) Seal(ctx context.Context, plain secret.Text, label string) (secret.Box, error) {
	if err := ended(ctx); err != nil {
		return "", err
	}
	if r.follow != nil {
		r.follow.glance(&r.now)
	}
	sealed, err := r.now.Load().boxes.Encrypt([]byte(plain.Reveal()), []byte(label))
	if err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	return secret.Box(base64.RawURLEncoding.EncodeToString(sealed)), nil
}

func (r *Ring) Open(ctx context.Context, box secret.Box, label string) (secret.Text, error) {
	if err := ended(ctx); err != nil {
		return secret.Text{}, err
	}
	sealed, err := decoded(box)
	if err != nil {
		return secret.Text{}, shut(err)
	}
	opener, err := r.opener(keyOf(sealed))
	if err != nil {
		r.lacks.note(keyOf(sealed), box)
		return secret.Text{}, shut(err)
	}
	plain, err := opener.Decrypt(sealed, []byte(label))
	if err != nil {
		return secret.Text{}, shut(err)
	}
	return secret.New(string(plain)), nil
}

// opener returns what opens boxes of the key. A key that is unknown may have
// been added to the file by somebody who seals with it already.
func (r *Ring) opener(key string) (tink.AEAD, error) {
	if key == "" { // no box, or of a key that leaves no name
		return r.now.Load().boxes, nil
	}
	if opener, ok := r.now.Load().opens[key]; ok {
		return opener, nil
	}
	if r.follow != nil {
		r.follow.seek(&r.now, key)
	}
	if opener, ok := r.now.Load().opens[key]; ok {
		return opener, nil
	}
	return nil, fmt.Errorf("it was sealed with the key %s, which is not among those in force", key)
}

func decoded(box secret.Box) ([]byte, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(string(box))
	if err != nil || strings.ContainsAny(string(box), "\r\n") { // which the decoder skips
		return nil, errors.New("it is not base64url")
	}
	return sealed, nil
}

func shut(err error) error {
	return fault.New(fault.Internal, "").Because(fmt.Errorf("a sealed box does not open with this keyring: %w", err))
}

// KeyOf reads the name that Tink puts before what it seals: a one, then the ID.
func (r *Ring) KeyOf(box secret.Box) string {
	sealed, err := decoded(box)
	if err != nil {
		return ""
	}
	return keyOf(sealed)
}

func keyOf(sealed []byte) string {
	const nonce, tag = 12, 16
	if len(sealed) < 5+nonce+tag || sealed[0] != 1 {
		return ""
	}
	return hex.EncodeToString(sealed[1:5])
}

func (r *Ring) Digests(ctx context.Context, value secret.Text, label string) ([]string, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	digests, err := r.now.Load().digests(secret.Label(label, value.Reveal()))
	if err != nil {
		return nil, fault.New(fault.Internal, "").Because(err)
	}
	return digests, nil
}

func (k *keys) digests(in string) ([]string, error) {
	digests := make([]string, len(k.peppers))
	for i, pepper := range k.peppers {
		sum, err := pepper.ComputePRF([]byte(in), digestSize)
		if err != nil {
			return nil, err
		}
		digests[i] = base64.RawURLEncoding.EncodeToString(sum)
	}
	return digests, nil
}

// Primary is Tink's ID of the key that seals, in hexadecimal.
func (r *Ring) Primary() string { return r.now.Load().primary }

// Keys tells of the keys that seal and open boxes, in the order they were added.
func (r *Ring) Keys() []Key { return slices.Clone(r.now.Load().list) }

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "the call has ended").Because(err)
	}
	return nil
}

// keysOf makes the keys of a ring of two keysets. Its errors name no key.
func keysOf(boxes, peppers *keyset.Handle) (*keys, error) {
	seal, err := aead.New(boxes)
	if err != nil {
		return nil, errors.New("the keys for boxes are not of a kind that seals")
	}
	set, err := prf.NewPRFSet(peppers)
	if err != nil {
		return nil, errors.New("the peppers are not of a kind that makes digests")
	}
	primary, err := boxes.Primary()
	if err != nil {
		return nil, errors.New("the keys for boxes have no primary")
	}
	k := &keys{primary: named(primary.KeyID()), boxes: seal, opens: map[string]tink.AEAD{}}
	for entry, err := range entries(boxes) {
		switch {
		case err != nil:
			return nil, errors.New("the keys for boxes cannot be read")
		case entry.KeyStatus() == keyset.Enabled:
			k.opens[named(entry.KeyID())] = seal
		}
	}
	k.peppers, err = peppersOf(peppers, set)
	return k, err
}

func peppersOf(peppers *keyset.Handle, set *prf.Set) ([]prf.PRF, error) {
	var others []uint32
	for entry, err := range entries(peppers) {
		if err != nil {
			return nil, errors.New("the peppers cannot be read")
		}
		if id := entry.KeyID(); entry.KeyStatus() == keyset.Enabled && id != set.PrimaryID {
			others = append(others, id)
		}
	}
	slices.Reverse(others)
	var all []prf.PRF
	for _, id := range append([]uint32{set.PrimaryID}, others...) {
		all = append(all, set.PRFs[id])
	}
	return all, nil
}

// entries are the keys of a keyset.
func entries(h *keyset.Handle) func(yield func(*keyset.Entry, error) bool) {
	return func(yield func(*keyset.Entry, error) bool) {
		for i := range h.Len() {
			if !yield(h.Entry(i)) {
				return
			}
		}
	}
}

// named is a key's ID as Perch writes it.
func named(id uint32) string { return fmt.Sprintf("%08x", id) }

// after returns the keys k in a process that had older ones. What those opened
// stays open: boxes may be on their way, and the file may be an old copy.
func (k *keys) after(older *keys) *keys {
	opens := maps.Clone(older.opens)
	maps.Copy(opens, k.opens)
	return &keys{primary: k.primary, boxes: k.boxes, opens: opens, peppers: k.peppers, list: k.list}
}
