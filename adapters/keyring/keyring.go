// Package keyring seals secrets with Tink. A ring has two sets of keys: one
// seals and opens boxes, the other peppers digests. Of each set one key is the
// primary, which makes what is new; the others still read what is old.
package keyring

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	primary string
	boxes   tink.AEAD
	peppers []prf.PRF // the primary first, then the newest of the others
}

var _ ports.Keyring = (*Ring)(nil)

// Ephemeral returns a ring of new keys that are kept nowhere: what it seals is
// lost when the program ends. For the memory store and for tests.
func Ephemeral() *Ring {
	f, err := generated()
	if err != nil {
		panic(err) // our own templates, and a random source that cannot fail
	}
	r, err := f.ring()
	if err != nil {
		panic(err)
	}
	return r
}

func (r *Ring) Seal(ctx context.Context, plain secret.Text, label string) (secret.Box, error) {
	if err := ended(ctx); err != nil {
		return "", err
	}
	sealed, err := r.boxes.Encrypt([]byte(plain.Reveal()), []byte(label))
	if err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	return secret.Box(base64.RawURLEncoding.EncodeToString(sealed)), nil
}

func (r *Ring) Open(ctx context.Context, box secret.Box, label string) (secret.Text, error) {
	if err := ended(ctx); err != nil {
		return secret.Text{}, err
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(string(box))
	if err != nil || strings.ContainsAny(string(box), "\r\n") { // which the decoder skips
		return secret.Text{}, shut(errors.New("it is not base64url"))
	}
	plain, err := r.boxes.Decrypt(sealed, []byte(label))
	if err != nil {
		return secret.Text{}, shut(err)
	}
	return secret.New(string(plain)), nil
}

func shut(err error) error {
	return fault.New(fault.Internal, "").Because(fmt.Errorf("a sealed box does not open with this keyring: %w", err))
}

func (r *Ring) Digests(ctx context.Context, value secret.Text, label string) ([]string, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	in := []byte(secret.Label(label, value.Reveal()))
	digests := make([]string, len(r.peppers))
	for i, pepper := range r.peppers {
		sum, err := pepper.ComputePRF(in, digestSize)
		if err != nil {
			return nil, fault.New(fault.Internal, "").Because(err)
		}
		digests[i] = base64.RawURLEncoding.EncodeToString(sum)
	}
	return digests, nil
}

// Primary is Tink's ID of the key that seals, in hexadecimal.
func (r *Ring) Primary() string { return r.primary }

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "the call has ended").Because(err)
	}
	return nil
}

// ringOf makes a ring of two keysets. Its errors name no key.
func ringOf(boxes, peppers *keyset.Handle) (*Ring, error) {
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
	ids := []uint32{set.PrimaryID}
	for i := peppers.Len() - 1; i >= 0; i-- {
		entry, err := peppers.Entry(i)
		if err != nil {
			return nil, errors.New("the peppers cannot be read")
		}
		if id := entry.KeyID(); entry.KeyStatus() == keyset.Enabled && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	r := &Ring{primary: fmt.Sprintf("%08x", primary.KeyID()), boxes: seal}
	for _, id := range ids {
		r.peppers = append(r.peppers, set.PRFs[id])
	}
	return r, nil
}
