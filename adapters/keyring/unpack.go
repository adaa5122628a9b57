package keyring

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"perch/domain/fault"
)

// An Unpacker reads a parcel. What it has given is genuine; that it was all of
// the parcel is certain only after io.EOF.
type Unpacker struct {
	in    *bufio.Reader
	sum   hash.Hash
	boxes *subtle.AESGCM
	head  string
	count int
	ended bool
}

// Unpack begins to read a parcel that was sealed to the key's recipient.
func Unpack(r io.Reader, key RecipientKey) (*Unpacker, error) {
	u := &Unpacker{in: bufio.NewReaderSize(r, maxParcelLine), sum: sha256.New()}
	line, err := u.line()
	if errors.Is(err, fault.Unavailable) {
		return nil, err
	}
	var h head
	switch {
	case err != nil || strict(line, &h) != nil || h.Perch != headOf:
		return nil, fault.New(fault.Invalid, "this is no parcel of Perch; perch grants export writes one")
	case h.Version != parcelForm:
		return nil, fault.New(fault.Invalid, "the parcel has version %d of its form and this program reads version %d; "+
			"use the version of Perch that wrote it, or a later one", h.Version, parcelForm)
	case h.Recipient != key.ID:
		return nil, fault.New(fault.Invalid, "the parcel is sealed to the recipient %q and this key is that of %s; "+
			"name the key that belongs to it, or export anew to the public half of this one", h.Recipient, key.ID)
	}
	sealed, err := decode([]byte(h.Key))
	if err != nil {
		return nil, changed(1)
	}
	plain, err := key.open.Decrypt(sealed, h.label())
	if err != nil {
		return nil, changed(1)
	}
	if u.boxes, err = subtle.NewAESGCM(plain); err != nil {
		return nil, changed(1)
	}
	u.head = hex.EncodeToString(u.sum.Sum(nil))
	return u, nil
}

// Next returns the next record, or io.EOF after the last one of a whole parcel.
func (u *Unpacker) Next() (kind string, record []byte, err error) {
	if u.ended {
		return "", nil, io.EOF
	}
	before := hex.EncodeToString(u.sum.Sum(nil))
	line, err := u.line()
	if err != nil {
		return "", nil, err
	}
	u.count++
	name, text, _ := bytes.Cut(line, []byte(" "))
	sealed, err := decode(text)
	if err != nil {
		return "", nil, changed(u.count + 1)
	}
	kind = string(name)
	record, err = u.boxes.Decrypt(sealed, recordLabel(u.head, u.count, kind))
	if err != nil {
		return "", nil, changed(u.count + 1)
	}
	if kind == endKind {
		return "", nil, u.end(record, before)
	}
	return kind, record, nil
}

// Sum is the SHA-256 of what was read so far; after io.EOF, of the whole parcel.
func (u *Unpacker) Sum() string { return hex.EncodeToString(u.sum.Sum(nil)) }

func (u *Unpacker) end(record []byte, sum string) error {
	var t tail
	if strict(record, &t) != nil || t.Records != u.count-1 || t.SHA256 != sum {
		return changed(u.count + 1)
	}
	if _, err := u.in.ReadByte(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "something follows the end of the parcel; copy it anew")
	}
	u.ended = true
	return io.EOF
}

// line returns the next line without its end, until the next call.
func (u *Unpacker) line() ([]byte, error) {
	text, err := u.in.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		return nil, fault.New(fault.Invalid, "the parcel is cut off after %d records: its end is missing; "+
			"copy it anew, or export again", u.count)
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fault.New(fault.Invalid, "line %d of the parcel is longer than any of Perch's", u.count+2)
	case err != nil:
		return nil, fault.New(fault.Unavailable, "the parcel cannot be read").Because(err)
	}
	_, _ = u.sum.Write(text)
	return text[:len(text)-1], nil
}

// changed says of a line only where it is.
func changed(line int) error {
	return fault.New(fault.Invalid, "line %d of the parcel does not open: it was changed, or a line before it is "+
		"missing, moved or repeated; nothing after it can be trusted. Copy the parcel anew, or export again", line)
}

func decode(text []byte) ([]byte, error) {
	if bytes.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, errors.New("it is not base64url")
	}
	return base64.RawURLEncoding.Strict().AppendDecode(nil, text)
}

// strict reads one JSON object, all of whose members are known.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows")
	}
	return nil
}
