package xsim

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
)

// maxChunk is the largest segment the edge in front of X lets through, in
// bytes. X does not document it; larger ones were answered with 413.
const maxChunk = 5 << 20

// received is an upload after its bytes went by.
type received struct {
	found    bool   // there was a media field
	size     int64  // of the media, decoded
	sum      string // its SHA-256
	encoding string // multipart or json
	fields   map[string]string
	base     int    // how many segments the running hash had seen before
	state    []byte // the running hash after this one
}

var errTooLarge = errors.New("xsim: the media is too large")

// A counter hashes media as it goes by, alone and as the next segment of a whole.
type counter struct {
	alone, running hash.Hash
	left           int64
}

func (k *counter) Write(b []byte) (int, error) {
	if k.left -= int64(len(b)); k.left < 0 {
		return 0, errTooLarge
	}
	k.alone.Write(b)
	k.running.Write(b)
	return len(b), nil
}

// resumed goes on with a SHA-256 where its state was taken.
func resumed(state []byte) hash.Hash {
	h := sha256.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		panic(err) // the state is our own
	}
	return h
}

// readUpload takes an upload, multipart or JSON, and keeps its size and hash only.
func (s *Sim) readUpload(c *call) (reply, bool) {
	const largestEver = 512 << 20
	k := &counter{alone: sha256.New(), left: largestEver}
	if c.act.ID != "mediaUpload" {
		k.left = maxChunk
	}
	size := k.left
	base, state := s.running(c.params["id"])
	k.running = resumed(state)

	u := received{fields: map[string]string{}, base: base}
	kind, params, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	var err error
	switch kind {
	case "multipart/form-data":
		u.encoding = "multipart"
		u.found, err = readMultipart(multipart.NewReader(c.r.Body, params["boundary"]), k, u.fields)
	case "application/json":
		u.encoding = "json"
		u.found, err = readEncoded(c.r.Body, k, u.fields)
	default:
		return invalid(param{"content-type", kind, "The body must be multipart/form-data or application/json"}), false
	}
	if errors.Is(err, errTooLarge) {
		return tooLarge(), false
	}
	if err != nil {
		return invalid(param{"", "", "The request body cannot be read as " + kind}), false
	}
	u.size, u.sum = size-k.left, hex.EncodeToString(k.alone.Sum(nil))
	u.state, _ = k.running.(encoding.BinaryMarshaler).MarshalBinary() // never fails
	c.upload = u
	return reply{}, true
}

// running is the state of the running hash of media, and how many segments it has seen.
func (s *Sim) running(id string) (int, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.media.files[id]
	if !ok {
		return 0, fresh()
	}
	return len(f.states) - 1, f.states[len(f.states)-1]
}

// readMultipart passes the media part to k and keeps the other fields. The
// order of the parts does not matter.
func readMultipart(r *multipart.Reader, k io.Writer, fields map[string]string) (found bool, err error) {
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		if part.FormName() == "media" {
			found = true
			if _, err := io.Copy(k, part); err != nil {
				return found, err
			}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, 64<<10))
		if err != nil {
			return found, err
		}
		fields[part.FormName()] = string(value)
	}
}

// octets is a binary download.
func octets(size int) reply {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i)
	}
	return reply{status: http.StatusOK, kind: "application/octet-stream", raw: b}
}
