package cache

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"perch/domain/field"
)

// Directives are what a request says of answers from memory (RFC 9111 section
// 5.2.1).
type directives struct {
	noStore bool
	noCache bool          // also max-age=0
	oldest  time.Duration // max-age
	left    time.Duration // min-fresh
}

// ever is longer than any time that a header can name.
const ever = (most + 1) * time.Second

// most is what more seconds than that count as (RFC 9111 section 1.2.2).
const most = 1 << 31

// read reads a Cache-Control header. What it does not know is ignored, and what
// cannot be read is taken for the strictest, as is the strictest of several.
func read(header string) directives {
	d := directives{oldest: ever}
	for _, part := range field.Split(header, ',') {
		name, value := field.Pair(part)
		switch strings.ToLower(name) {
		case "no-store":
			d.noStore = true
		case "no-cache":
			d.noCache = true
		case "max-age":
			d.oldest = min(d.oldest, seconds(value, 0))
			d.noCache = d.noCache || d.oldest == 0
		case "min-fresh":
			d.left = max(d.left, seconds(value, longest))
		}
	}
	return d
}

// seconds reads delta-seconds (RFC 9111 section 1.2.2).
func seconds(text string, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return otherwise
	}
	return time.Duration(min(n, most)) * time.Second
}

// takes reports whether an answer of that age, good for so much longer, will do.
func (d directives) takes(age, left time.Duration) bool {
	return !d.noCache && age <= d.oldest && left >= d.left
}
