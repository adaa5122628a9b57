package client

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"perch/domain/fault"
)

// An Origin is what a browser sends in the Origin header (RFC 6454), in its
// one canonical spelling: scheme, host in lower case, and a port unless it is
// the scheme's own.
type Origin string

// ParseOrigin takes an origin exactly as browsers write it. It refuses "*" and
// "null", paths, upper case, a default port written out, a trailing dot, and
// plain http outside loopback.
func ParseOrigin(s string) (Origin, error) {
	u, err := url.Parse(s)
	if err != nil || len(s) > 260 || !plain(s) || u.Host == "" || u.Scheme+"://"+u.Host != s {
		return "", fault.New(fault.Invalid, "%q is not an origin; write it as https://app.example, "+
			"without path and in lower case", clip(s))
	}
	if err := checkHost(u); err != nil {
		return "", err
	}
	if s != strings.ToLower(s) || strings.HasSuffix(u.Hostname(), ".") || u.Port() == defaultPort(u.Scheme) {
		return "", fault.New(fault.Invalid, "%q is not written as browsers send it: lower case, "+
			"no trailing dot, no default port", clip(s))
	}
	return Origin(s), nil
}

// answered are the parameters of an authorization response (RFC 6749 section
// 4.1.2, RFC 9207). A redirect URI that brought its own would be a forged answer.
var answered = []string{"code", "state", "iss", "error", "error_description", "error_uri"}

// CheckRedirectURI refuses a redirect URI that could lead elsewhere than it
// reads: it must be absolute, https (or http on loopback), without fragment,
// user and dot segments, and in plain ASCII. What Perch adds must not be there.
func CheckRedirectURI(s string) error {
	u, err := url.Parse(s)
	if err != nil || len(s) > 1000 || !plain(s) || u.Host == "" {
		return fault.New(fault.Invalid, "%q is not a redirect URI; write an absolute https URL", clip(s))
	}
	if u.User != nil || u.Fragment != "" || strings.Contains(s, "#") {
		return fault.New(fault.Invalid, "redirect URI %q must have no user and no fragment", clip(s))
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		if dots := strings.ReplaceAll(strings.ToLower(segment), "%2e", "."); dots == "." || dots == ".." {
			return fault.New(fault.Invalid, "redirect URI %q has a dot segment, which browsers resolve; "+
				"write the path it leads to", clip(s))
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fault.New(fault.Invalid, "the query of redirect URI %q is not well-formed", clip(s))
	}
	for name := range query {
		if slices.Contains(answered, name) {
			return fault.New(fault.Invalid, "redirect URI %q has the parameter %s, which Perch adds itself", clip(s), name)
		}
	}
	return checkHost(u)
}

func checkHost(u *url.URL) error {
	if !isHost(u.Hostname()) {
		return fault.New(fault.Invalid, "%q has no usable host; write a name without empty labels, or an address "+
			"in its usual spelling", clip(u.String()))
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !Loopback(u.Hostname())) {
		return fault.New(fault.Invalid, "%q must use https; http is for 127.0.0.1, [::1] and localhost only",
			clip(u.String()))
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != p {
			return fault.New(fault.Invalid, "%q has no usable port", clip(u.String()))
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return fault.New(fault.Invalid, "%q ends in a colon", clip(u.String()))
	}
	return nil
}

// isHost reports whether host is a domain name or an address in its usual
// spelling. Browsers take whatever ends in a number for an IPv4 address.
func isHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Zone() == ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.ContainsFunc(label, func(c rune) bool { return !inName(c) }) {
			return false
		}
	}
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

func inName(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// Loopback reports whether host is this machine itself.
func Loopback(host string) bool {
	return host == "127.0.0.1" || host == "::1" || host == "localhost"
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// plain reports whether s has only visible ASCII and none of the characters
// that readers of URLs disagree on.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>^`{|}*", c) >= 0 {
			return false
		}
	}
	return s != ""
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
