package keyring

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"strconv"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"perch/domain/fault"
	"perch/domain/secret"
)

// parcelForm is the version of a parcel's form.
const parcelForm = 1

// endKind is the kind of a parcel's last record.
const endKind = "end"

// maxParcelLine bounds a line of a parcel, in bytes.
const maxParcelLine = 1 << 20

// The kinds of what is sealed in a parcel; part of their labels.
const (
	parcelKeyLabel    = "parcel.key"
	parcelRecordLabel = "parcel.record"
)

// A head is the first line of a parcel. It names a key that is used for this
// parcel alone and sealed to the recipient.
type head struct {
	Perch     string `json:"perch"` // says what the file is
	Version   int    `json:"version"`
	Recipient string `json:"recipient"`
	Parcel    string `json:"parcel"`
	Key       string `json:"key"`
}

const headOf = "parcel"

func (h head) label() []byte {
	return []byte(secret.Label(parcelKeyLabel, strconv.Itoa(h.Version), h.Recipient, h.Parcel))
}

// A tail is the last record of a parcel.
type tail struct {
	Records int    `json:"records"`
	SHA256  string `json:"sha256"` // of all lines before
}

// A Packer writes a parcel: records, one a line, sealed to a recipient. A line
// opens only in its parcel, in its place and as its kind, so that none can be
// changed, left out, moved, repeated or put into another parcel; and a parcel
// without its last line is not whole. It says who can read it, not who wrote it.
type Packer struct {
	out   *bufio.Writer
	sum   hash.Hash
	boxes *subtle.AESGCM
	head  string // what ties records to the first line
	count int
}

// Pack begins a parcel. What is not closed is not whole.
func Pack(w io.Writer, to Recipient) (*Packer, error) {
	h := head{Perch: headOf, Version: parcelForm, Recipient: to.ID, Parcel: rand.Text()}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	boxes, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, fault.New(fault.Internal, "").Because(err)
	}
	sealed, err := to.seal.Encrypt(key, h.label())
	if err != nil {
		return nil, fault.New(fault.Internal, "").Because(err)
	}
	h.Key = base64.RawURLEncoding.EncodeToString(sealed)
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fault.New(fault.Internal, "").Because(err)
	}
	p := &Packer{out: bufio.NewWriter(w), sum: sha256.New(), boxes: boxes}
	if err := p.line(line); err != nil {
		return nil, err
	}
	p.head = hex.EncodeToString(p.sum.Sum(nil))
	return p, nil
}

// Put adds a record. Its kind, a word of small letters, stays readable.
func (p *Packer) Put(kind string, record []byte) error {
	p.count++
	sealed, err := p.boxes.Encrypt(record, recordLabel(p.head, p.count, kind))
	if err != nil {
		return fault.New(fault.Internal, "").Because(err)
	}
	line := append([]byte(kind), ' ')
	line = base64.RawURLEncoding.AppendEncode(line, sealed)
	if len(line) >= maxParcelLine {
		return fault.New(fault.TooLarge, "a %s is too large for a parcel", kind)
	}
	return p.line(line)
}

// Close ends the parcel and returns the SHA-256 of all of it, by which two
// people can tell that they have the same one. It does not close the writer.
func (p *Packer) Close() (sum string, err error) {
	record, err := json.Marshal(tail{p.count, hex.EncodeToString(p.sum.Sum(nil))})
	if err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	if err := p.Put(endKind, record); err != nil {
		return "", err
	}
	if err := p.out.Flush(); err != nil {
		return "", unwritable(err)
	}
	return hex.EncodeToString(p.sum.Sum(nil)), nil
}

func (p *Packer) line(text []byte) error {
	text = append(text, '\n')
	_, _ = p.sum.Write(text)
	if _, err := p.out.Write(text); err != nil {
		return unwritable(err)
	}
	return nil
}

func unwritable(err error) error {
	return fault.New(fault.Unavailable, "the parcel cannot be written").Because(err)
}

func recordLabel(head string, position int, kind string) []byte {
	return []byte(secret.Label(parcelRecordLabel, head, strconv.Itoa(position), kind))
}
