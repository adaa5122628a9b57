package xapi

import (
	"strconv"
	"time"
)

// LongestWait is how long X is left alone at most because it asks for it.
const LongestWait = 24 * time.Hour

// RetryAfter is how long X asks to be left alone, up to LongestWait: of several
// Retry-After headers (RFC 9110 section 10.2.3) the longest; zero if there is none
// that can be read.
func RetryAfter(said []string, now time.Time) (wait time.Duration) {
	for _, v := range said {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			wait = max(wait, time.Duration(min(max(n, 0), int64(LongestWait/time.Second)))*time.Second)
			continue
		}
		for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} { // section 5.6.7
			if at, err := time.Parse(layout, v); err == nil {
				wait = max(wait, at.Sub(now))
			}
		}
	}
	return min(wait, LongestWait)
}
