package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/hybrid/hpke"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"perch/domain/fault"
)

// PublicSuffix is what the name of a pair's public half ends in.
const PublicSuffix = ".pub"

// A Recipient is whom a parcel is sealed to: the public half of a pair (RFC
// 9180). It can seal, and open nothing.
type Recipient struct {
	ID   string
	seal tink.HybridEncrypt
}

// A RecipientKey is the private half, which opens.
type RecipientKey struct {
	ID   string
	open tink.HybridDecrypt
}

// A pairFile is one half as it is kept: a keyset of Tink in the clear.
type pairFile struct {
	Version int             `json:"version"`
	Private json.RawMessage `json:"recipient_private,omitempty"`
	Public  json.RawMessage `json:"recipient_public,omitempty"`
}

// GenerateRecipient writes a new pair: the private half to path, for its
// owner's eyes only, and the public half beside it. It never overwrites either:
// if one exists the error is fs.ErrExist. It returns the name of the pair.
func GenerateRecipient(path string) (id string, err error) {
	public := path + PublicSuffix
	for _, name := range []string{path, public} {
		if _, err := os.Lstat(name); err == nil {
			return "", fault.New(fault.Conflict, "%s exists already and stays as it is; name another file", name).
				Because(fs.ErrExist)
		}
	}
	pair, err := keyset.NewHandle(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template())
	if err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	half, err := pair.Public()
	if err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	if id, err = nameOf(half); err != nil {
		return "", err
	}
	var secrets, open bytes.Buffer
	if err := insecurecleartextkeyset.Write(pair, keyset.NewJSONWriter(&secrets)); err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	if err := half.WriteWithNoSecrets(keyset.NewJSONWriter(&open)); err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	if err := lay(path, pairFile{Version: version, Private: secrets.Bytes()}, 0o600); err != nil {
		return "", err
	}
	if err := lay(public, pairFile{Version: version, Public: open.Bytes()}, 0o644); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return id, nil
}

// lay writes a file that nobody sees half, and never in the place of another.
func lay(path string, half pairFile, mode fs.FileMode) error {
	text, err := json.MarshalIndent(half, "", "  ")
	if err != nil {
		return fault.New(fault.Internal, "").Because(err)
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".recipient-*") // mode 0600
	if err != nil {
		return fault.New(fault.Invalid, "%s cannot be created", path).Because(err)
	}
	defer func() { _ = os.Remove(out.Name()) }()
	if err := errors.Join(write(out, append(text, '\n')), os.Chmod(out.Name(), mode)); err != nil {
		return fault.New(fault.Unavailable, "%s cannot be written", path).Because(err)
	}
	if err := os.Link(out.Name(), path); err != nil {
		return fault.New(fault.Invalid, "%s cannot be created", path).Because(err)
	}
	return syncDir(filepath.Dir(path))
}

// OpenRecipient reads the public half of a pair.
func OpenRecipient(path string) (Recipient, error) {
	half, err := readHalf(path, false)
	if err != nil {
		return Recipient{}, err
	}
	if len(half.Public) == 0 {
		return Recipient{}, fault.New(fault.Invalid, "%s is the private half of a pair, which stays where it was made; "+
			"name the public one, %s", path, filepath.Base(path)+PublicSuffix)
	}
	keys, err := keyset.ReadWithNoSecrets(keyset.NewJSONReader(bytes.NewReader(half.Public)))
	if err != nil {
		return Recipient{}, noHalf(path)
	}
	seal, err := hybrid.NewHybridEncrypt(keys)
	if err != nil {
		return Recipient{}, noHalf(path)
	}
	id, err := nameOf(keys)
	return Recipient{id, seal}, err
}

// OpenRecipientKey reads the private half of a pair. It refuses a file that
// others than its owner may read.
func OpenRecipientKey(path string) (RecipientKey, error) {
	half, err := readHalf(path, true)
	if err != nil {
		return RecipientKey{}, err
	}
	if len(half.Private) == 0 {
		return RecipientKey{}, fault.New(fault.Invalid, "%s is the public half of a pair, which opens nothing; "+
			"name the private one", path)
	}
	keys, err := handle(half.Private)
	if err != nil {
		return RecipientKey{}, noHalf(path)
	}
	public, err := keys.Public()
	if err != nil {
		return RecipientKey{}, noHalf(path)
	}
	open, err := hybrid.NewHybridDecrypt(keys)
	if err != nil {
		return RecipientKey{}, noHalf(path)
	}
	id, err := nameOf(public)
	return RecipientKey{id, open}, err
}

// readHalf reads the outer form of either half. Errors of the parser are not
// passed on, because they may quote what they stumble over.
func readHalf(path string, hidden bool) (pairFile, error) {
	in, err := os.Open(path) // #nosec G304 -- the operator's own path
	if err != nil {
		return pairFile{}, fault.New(fault.Invalid, "%s cannot be opened", path).Because(err)
	}
	defer func() { _ = in.Close() }()
	text, err := io.ReadAll(io.LimitReader(in, maxFile))
	if err != nil {
		return pairFile{}, fault.New(fault.Unavailable, "%s cannot be read", path).Because(err)
	}
	var half pairFile
	if json.Unmarshal(text, &half) != nil || (len(half.Private) == 0) == (len(half.Public) == 0) {
		return pairFile{}, noHalf(path)
	}
	if half.Version != version {
		return pairFile{}, fault.New(fault.Invalid, "%s has version %d of its form and this program reads version %d",
			path, half.Version, version)
	}
	if hidden && len(half.Private) > 0 {
		_, err = private(path, in)
	}
	return half, err
}

func noHalf(path string) error {
	return fault.New(fault.Invalid, "%s holds no recipient's key; perch keyset recipient makes a pair", path)
}

// nameOf is the name of a pair: a fingerprint of its public key.
func nameOf(public *keyset.Handle) (string, error) {
	entry, err := public.Primary()
	if err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	key, ok := entry.Key().(*hpke.PublicKey)
	if !ok {
		return "", fault.New(fault.Invalid, "the recipient's key is of a kind that parcels are not sealed with")
	}
	sum := sha256.Sum256(key.PublicKeyBytes())
	return hex.EncodeToString(sum[:8]), nil
}
