package client

import (
	"net/url"
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

// CheckRedirectURI refuses a redirect URI that could lead elsewhere than it
// reads: it must be absolute, https (or http on loopback), without fragment and
// user, and in plain ASCII.
func CheckRedirectURI(s string) error {
	u, err := url.Parse(s)
	if err != nil || len(s) > 1000 || !plain(s) || u.Host == "" {
		return fault.New(fault.Invalid, "%q is not a redirect URI; write an absolute https URL", clip(s))
	}
	if u.User != nil || u.Fragment != "" || strings.Contains(s, "#") {
		return fault.New(fault.Invalid, "redirect URI %q must have no user and no fragment", clip(s))
	}
	return checkHost(u)
}

func checkHost(u *url.URL) error {
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
