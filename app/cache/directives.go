package cache

import (
	"strconv"
	"strings"
	"time"
)

// Directives are what a request says of answers from memory (RFC 9111 section
// 5.2.1).
type directives struct {
	noStore bool
	noCache bool          // also max-age=0
	oldest  time.Duration // max-age; negative: not said
	left    time.Duration // min-fresh
}

// read reads a Cache-Control header. What it does not know is ignored, and what
// cannot be read is taken for the strictest.
func read(header string) directives {
	d := directives{oldest: -1}
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(name) {
		case "no-store":
			d.noStore = true
		case "no-cache":
			d.noCache = true
		case "max-age":
			d.oldest = seconds(value, 0)
			d.noCache = d.noCache || d.oldest == 0
		case "min-fresh":
			d.left = seconds(value, longest)
		}
	}
	return d
}

// seconds reads delta-seconds (RFC 9111 section 1.2.2).
func seconds(text string, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(text), `"`), 10, 32)
	if err != nil {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

// takes reports whether an answer of that age, good for so much longer, will do.
func (d directives) takes(age, left time.Duration) bool {
	return !d.noCache && (d.oldest < 0 || age <= d.oldest) && left >= d.left
}
