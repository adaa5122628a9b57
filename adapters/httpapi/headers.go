package httpapi

import (
	"bytes"
	"strings"

	"perch/domain/fault"
)

// singles are the headers that must not come twice: readers disagree on which of
// two counts. The first two also exclude each other.
var singles = []string{
	"content-length", "transfer-encoding", "host", "authorization", "proxy-authorization", "cookie", "dpop",
	"idempotency-key", "content-type", "content-encoding", "origin", "referer", "x-csrf-token",
	"access-control-request-method", "access-control-request-headers", "access-control-request-private-network",
	"expect", "range", "upgrade", "x-http-method-override",
}

// singleFamilies are the same for all headers whose names begin so.
var singleFamilies = []string{"perch-", "x-forwarded-", "sec-fetch-"}

// maxHeaders is how many headers a request may have.
const maxHeaders = 100

// single reports whether the header, in small letters, must not come twice.
func single(name string) bool {
	for _, family := range singleFamilies {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	for _, one := range singles {
		if one == name {
			return true
		}
	}
	return false
}

// checkHeaders refuses a header block that another reader could understand
// differently: line ends other than CRLF, folded lines, odd names, headers that
// come twice, and two ways of framing the body at once.
func checkHeaders(raw []byte) error {
	seen := tally{}
	for lines := 0; len(raw) > 0; lines++ {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		line, ok := bytes.CutSuffix(line, []byte("\r"))
		if !ok {
			return malformed("a header line does not end in CRLF")
		}
		if raw = rest; len(line) == 0 {
			break
		}
		if lines == maxHeaders {
			return fault.New(fault.Invalid, "the request has more than %d headers", maxHeaders).Named(largeHeaders)
		}
		if err := seen.take(line); err != nil {
			return err
		}
	}
	if seen[singles[0]] && seen[singles[1]] {
		return malformed("%s and %s exclude each other", singles[0], singles[1])
	}
	return nil
}

// A tally holds the names of the single headers that have come.
type tally map[string]bool

func (seen tally) take(line []byte) error {
	name, value, err := cutHeader(line)
	if err != nil {
		return err
	}
	key := strings.ReplaceAll(strings.ToLower(name), "_", "-") // some readers take one for the other
	switch {
	case !single(key):
		return nil
	case seen[key]:
		return malformed("the header %s comes twice", name)
	case key == singles[1] && !strings.EqualFold(value, "chunked"): // then nobody knows where the body ends
		return malformed("the only %s there is here is chunked", name)
	}
	seen[key] = true
	return nil
}

// cutHeader returns the name and the value of a header line that is well-formed.
func cutHeader(line []byte) (name, value string, err error) {
	before, after, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isName(before) {
		return "", "", malformed("a header line does not begin with a name of letters, digits, - and _, and a colon")
	}
	if bytes.IndexFunc(after, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) >= 0 {
		return "", "", malformed("a header value holds a control character")
	}
	return string(before), strings.Trim(string(after), " \t"), nil
}

// isName allows less than RFC 9110 section 5.6.2 does: what proxies and other
// readers understand alike.
func isName(name []byte) bool {
	for _, c := range name {
		if !alphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return len(name) > 0
}
