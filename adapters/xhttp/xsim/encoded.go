package xsim

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

var errNotJSON = errors.New("xsim: not a JSON object with base64 media")

// readEncoded reads a JSON upload without holding its media: the base64 string
// goes to k piece by piece, every other value into fields.
func readEncoded(r io.Reader, k io.Writer, fields map[string]string) (found bool, err error) {
	in := &scanner{bufio.NewReader(r)}
	if in.next() != '{' {
		return false, errNotJSON
	}
	for {
		switch in.next() {
		case '}':
			return found, in.end()
		case ',':
			continue
		case '"':
		default:
			return found, errNotJSON
		}
		name, err := in.rest('"')
		if err != nil || in.next() != ':' {
			return found, errNotJSON
		}
		if name != "media" {
			if fields[name], err = in.value(); err != nil {
				return found, err
			}
			continue
		}
		found = true
		if err := in.media(k); err != nil {
			return found, err
		}
	}
}

// media passes a base64 string, decoded, to k.
func (s *scanner) media(k io.Writer) error {
	if s.next() != '"' {
		return errNotJSON
	}
	_, err := io.Copy(k, base64.NewDecoder(base64.StdEncoding, &quoted{in: s}))
	return err
}

// A scanner walks over JSON text.
type scanner struct{ *bufio.Reader }

// next returns the next byte that is not space, or 0 at the end.
func (s *scanner) next() byte {
	for {
		b, err := s.ReadByte()
		if err != nil {
			return 0
		}
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			return b
		}
	}
}

func (s *scanner) end() error {
	if s.next() != 0 {
		return errNotJSON
	}
	return nil
}

// rest reads a short string up to its closing quote.
func (s *scanner) rest(quote byte) (string, error) {
	raw := []byte{quote}
	for len(raw) < maxJSON {
		b, err := s.ReadByte()
		if err != nil {
			return "", errNotJSON
		}
		raw = append(raw, b)
		if b == '\\' {
			if b, err = s.ReadByte(); err != nil {
				return "", errNotJSON
			}
			raw = append(raw, b)
			continue
		}
		if b == quote {
			var text string
			return text, errors.Join(json.Unmarshal(raw, &text), nil)
		}
	}
	return "", errNotJSON
}

// value reads a string, a number or a word, and returns it as text.
func (s *scanner) value() (string, error) {
	b := s.next()
	switch b {
	case '"':
		return s.rest('"')
	case '{', '[', 0:
		return "", errNotJSON // no field of an upload is an object or a list
	}
	var text strings.Builder
	for text.Len() < 64 && b != 0 {
		if b == ',' || b == '}' {
			return text.String(), s.UnreadByte()
		}
		text.WriteByte(b)
		b = s.next()
	}
	return "", errNotJSON
}

// quoted reads a JSON string's characters up to its closing quote. Of the
// escapes it knows the one that base64 can have: \/.
type quoted struct {
	in   *scanner
	done bool
}

func (q *quoted) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !q.done {
		b, err := q.in.ReadByte()
		if err != nil {
			return n, errNotJSON
		}
		switch b {
		case '"':
			q.done = true
			continue
		case '\\':
			if b, err = q.in.ReadByte(); err != nil || b != '/' {
				return n, errNotJSON
			}
		}
		p[n] = b
		n++
	}
	if n == 0 && q.done {
		return 0, io.EOF
	}
	return n, nil
}
