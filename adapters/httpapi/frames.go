package httpapi

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
)

// A frames follows the requests on a connection byte by byte, for what fasthttp
// lets pass and other readers may understand differently: bare line feeds, chunk
// extensions, blanks after a chunk's size, and trailers. It need not be right
// about requests that are refused for another reason: nothing follows them.
type frames struct {
	crooked atomic.Bool // there was one; nothing more of the connection counts

	at      part
	line    []byte // its beginning
	long    bool   // it is longer
	left    uint64 // bytes of the body, or of the chunk
	length  uint64 // as the header declares it
	chunked bool
}

// A part is what of a request comes next.
type part int

const (
	requestLine part = iota
	headerLine
	wholeBody
	chunkSize
	chunkData
	chunkEnd // CRLF
	lastLine
)

// maxLine is more than any line has that is looked at to its end.
const maxLine = 128

// follow takes the next bytes that have come.
func (f *frames) follow(p []byte) {
	for len(p) > 0 && !f.crooked.Load() {
		if f.at == wholeBody || f.at == chunkData {
			p = f.skip(p)
			continue
		}
		piece, rest, ended := bytes.Cut(p, []byte("\n"))
		p = rest
		f.keep(piece)
		if ended {
			line, ok := bytes.CutSuffix(f.line, []byte("\r"))
			if !ok || !f.take(string(line)) {
				f.crooked.Store(true)
			}
			f.line, f.long = f.line[:0], false
		}
	}
}

// skip passes over what belongs to the body.
func (f *frames) skip(p []byte) (rest []byte) {
	n := min(f.left, uint64(len(p)))
	if f.left -= n; f.left == 0 && f.at == chunkData {
		f.at = chunkEnd
	} else if f.left == 0 {
		f.at = requestLine
	}
	return p[n:]
}

// keep adds to the line: its beginning, and its last byte, which tells how it ends.
func (f *frames) keep(piece []byte) {
	room := maxLine - len(f.line)
	if len(piece) <= room && !f.long {
		f.line = append(f.line, piece...)
	} else if len(piece) > 0 {
		f.long = true
		f.line = append(f.line, piece[:min(max(room, 0), len(piece))]...)
		f.line = append(f.line[:maxLine-1], piece[len(piece)-1])
	}
}

// take reports whether the line is as it must be, and goes on to what follows it.
func (f *frames) take(line string) bool {
	switch f.at {
	case requestLine:
		if line != "" {
			f.at, f.length, f.chunked = headerLine, 0, false
		}
		return true
	case headerLine:
		if line == "" {
			f.begin()
			return true
		}
		return f.header(line)
	case chunkSize:
		n, err := strconv.ParseUint(line, 16, 63) // takes digits alone: no sign, no blank, no 0x
		f.left, f.at = n, chunkData
		if n == 0 {
			f.at = lastLine
		}
		return err == nil && !f.long
	case chunkEnd:
		f.at = chunkSize
	case lastLine, wholeBody, chunkData: // bodies have no lines
		f.at = requestLine
	}
	return line == ""
}

func (f *frames) begin() {
	switch f.left = f.length; {
	case f.chunked:
		f.at = chunkSize
	case f.length > 0:
		f.at = wholeBody
	default:
		f.at = requestLine
	}
}

func (f *frames) header(line string) (ok bool) {
	name, value, _ := strings.Cut(line, ":")
	switch strings.ToLower(name) {
	case singles[0]:
		n, err := strconv.ParseUint(strings.Trim(value, " \t"), 10, 64)
		f.length = n
		return err == nil && n <= math.MaxInt64 && !f.long
	case singles[1]:
		f.chunked = true
	}
	return true
}
