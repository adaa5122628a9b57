package httpapi

import (
	"net"
	"strconv"
	"strings"

	"perch/domain/fault"
)

func malformed(format string, args ...any) error {
	return fault.New(fault.Invalid, format, args...).Named("malformed-request")
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// checkHost refuses a Host that is not one host and at most one port.
func checkHost(host string) error {
	name, port := host, "80"
	if at := strings.LastIndexByte(host, ':'); at >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:at], host[at+1:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || len(name) > 253 || !isRegisteredName(name) && !isAddress6(name) {
		return malformed("the Host header is not a host and a port")
	}
	return nil
}

func isAddress6(name string) bool {
	inner, ok := strings.CutPrefix(name, "[")
	inner, ok2 := strings.CutSuffix(inner, "]")
	return ok && ok2 && net.ParseIP(inner) != nil
}

func isRegisteredName(name string) bool {
	for i := range len(name) {
		if !alphanumeric(name[i]) && strings.IndexByte("-._", name[i]) < 0 {
			return false
		}
	}
	return name != ""
}

// splitTarget takes a request's target apart. It refuses anything but an
// absolute path in its one canonical spelling, so that whoever looks at the path
// later sees the same one.
func splitTarget(target string) (path, query string, err error) {
	path, query, _ = strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") {
		return "", "", malformed("the request target must be a path; absolute URLs are for proxies to guess at")
	}
	for i, segment := range strings.Split(path[1:], "/") {
		last := i == strings.Count(path, "/")-1
		if segment == "." || segment == ".." || segment == "" && !last {
			return "", "", badPath("empty segments and dot segments are not allowed in the path")
		}
		if err := checkSegment(segment); err != nil {
			return "", "", err
		}
	}
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return "", "", badPath("the query holds a character that must be percent-encoded")
		}
	}
	return path, query, nil
}

func badPath(say string) error { return fault.New(fault.Invalid, "%s", say).Named("invalid-path") }

// checkSegment allows the characters of RFC 3986 section 3.3 without the
// semicolon, and escapes only of what needs one, in upper case.
func checkSegment(segment string) error {
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if alphanumeric(c) || strings.IndexByte("-._~!$&'()*+,=:@", c) >= 0 {
			continue
		}
		if c != '%' {
			return badPath("the path holds a character that must be percent-encoded, or that is not allowed")
		}
		if i+2 >= len(segment) || !upperHex(segment[i+1]) || !upperHex(segment[i+2]) {
			return badPath("the path holds an escape that is not % and two digits or capital letters of hex")
		}
		b, _ := strconv.ParseUint(segment[i+1:i+3], 16, 8)
		if d := byte(b); alphanumeric(d) || strings.IndexByte("-._~/\\;", d) >= 0 || d < ' ' || d == 0x7f {
			return badPath("the path holds an escape that is not needed, or that is not allowed")
		}
		i += 2
	}
	return nil
}

func upperHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }
