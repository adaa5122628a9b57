package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"perch/domain/client"
)

// A Mistake is one thing wrong with a setting.
type Mistake struct {
	Variable string
	Say      string // what is wrong and what to do; follows the variable's name
}

func (m Mistake) String() string { return m.Variable + " " + m.Say }

// Mistakes is everything wrong with the settings.
type Mistakes []Mistake

// Error lists the mistakes, one a line.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, one := range m {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Check returns every mistake in settled settings.
func (c Config) Check() Mistakes {
	return slices.Concat(c.checkListen(), c.checkTransit(), c.checkPublicURL(), c.CheckStores(), c.checkLimits(),
		c.checkX(), c.checkRest())
}

func (c Config) checkListen() (m Mistakes) {
	m = append(m, checkAddress("PERCH_LISTEN", c.Listen)...)
	if c.AdminListen == "" {
		return m
	}
	m = append(m, checkAddress("PERCH_ADMIN_LISTEN", c.AdminListen)...)
	if len(m) == 0 && collide(c.Listen, c.AdminListen) {
		m = append(m, Mistake{"PERCH_ADMIN_LISTEN", fmt.Sprintf("is the same address as PERCH_LISTEN (%s); "+
			"operators have a listener of their own: give it another port, or off", c.Listen)})
	}
	return m
}

func checkAddress(variable, address string) Mistakes {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Mistakes{{variable, fmt.Sprintf("is %q, which is no address; write host:port, as 127.0.0.1:8080", address)}}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return Mistakes{{variable, fmt.Sprintf("has the port %q; ports are numbers up to 65535", port)}}
	}
	if strings.ContainsAny(host, " /") {
		return Mistakes{{variable, fmt.Sprintf("has the host %q; write a name or an IP address, without http://", host)}}
	}
	return nil
}

// collide reports whether two addresses cannot both be listened on.
func collide(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	return portA == portB && portA != "0" && (hostA == hostB || everywhere(hostA) || everywhere(hostB))
}

func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || (ip != nil && ip.IsUnspecified())
}

func (c Config) checkPublicURL() Mistakes {
	const name = "PERCH_PUBLIC_URL"
	if c.PublicURL == "" {
		return nil // follows from the port that is chosen
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		if c.followed() && err == nil {
			return everyAddress(c)
		}
		return Mistakes{{name, "is no absolute URL; write it as https://perch.example"}}
	}
	switch {
	case c.followed() && everywhere(u.Hostname()):
		return everyAddress(c)
	case c.followed() && len(c.TrustedProxies) == 0 && c.open(c.Listen):
		return nil // said of the listener
	case u.Scheme == "http" && !client.Loopback(u.Hostname()):
		return Mistakes{{name, "uses http, which anybody on the way can read; use https (PERCH_TLS_CERT_FILE lets Perch " +
			"speak TLS, or a proxy in front of it can). Only 127.0.0.1, [::1] and localhost may do without"}}
	case u.Scheme == "http" && c.TLS():
		return Mistakes{{name, "uses http, though Perch speaks TLS (PERCH_TLS_CERT_FILE); use https"}}
	case u.User != nil || u.RawQuery != "" || strings.ContainsAny(c.PublicURL, "?#"):
		return Mistakes{{name, "must have no user, query or fragment; write scheme and host only"}}
	case u.Path != "":
		return Mistakes{{name, fmt.Sprintf("has the path %q; write scheme and host only, without a slash behind", u.Path)}}
	}
	return nil
}

func everyAddress(c Config) Mistakes {
	return Mistakes{{"PERCH_PUBLIC_URL", fmt.Sprintf("must be set, because PERCH_LISTEN (%s) is every address of "+
		"this machine; give the URL that browsers use, as https://perch.example", c.Listen)}}
}

func (c Config) checkX() (m Mistakes) {
	if c.X.ClientID == "" && !c.X.ClientSecret.Empty() {
		m = append(m, Mistake{"PERCH_X_CLIENT_ID", "is not set, though the client secret is; X shows both together"})
	}
	if c.X.APIKey == "" && !c.X.APISecret.Empty() {
		m = append(m, Mistake{"PERCH_X_API_KEY", "is not set, though PERCH_X_API_SECRET is; they come together"})
	}
	if c.X.APIKey != "" && c.X.APISecret.Empty() {
		m = append(m, Mistake{"PERCH_X_API_SECRET", "is not set, though PERCH_X_API_KEY is; they come together"})
	}
	m = append(m, checkXURL("PERCH_X_API_URL", c.X.APIURL)...)
	return append(m, checkXURL("PERCH_X_AUTHORIZE_URL", c.X.AuthorizeURL)...)
}

func checkXURL(variable, raw string) Mistakes {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return Mistakes{{variable, "is no absolute URL; leave it out to use X itself"}}
	case u.Scheme == "http" && !client.Loopback(u.Hostname()):
		return Mistakes{{variable, "uses http, and tokens would travel in the open; use https. " +
			"Only 127.0.0.1, [::1] and localhost may do without"}}
	case u.User != nil || strings.ContainsAny(raw, "?#"):
		return Mistakes{{variable, "must have no user, query or fragment"}}
	}
	return nil
}

func (c Config) checkRest() (m Mistakes) {
	if !c.AdminToken.Empty() && len(c.AdminToken.Reveal()) < 20 {
		say := "is shorter than 20 characters and could be guessed; make one with: openssl rand -hex 32"
		if c.AdminTokenFile != "" {
			say = "in " + c.AdminTokenFile + " " + say
		}
		m = append(m, Mistake{"PERCH_ADMIN_TOKEN", say})
	}
	if c.ClientLimit < 0 {
		m = append(m, Mistake{"PERCH_CLIENT_LIMIT_PER_MINUTE", "is negative; write 0 for no limit"})
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		m = append(m, Mistake{"PERCH_LOG_LEVEL", fmt.Sprintf("is %q; use debug, info, warn or error", c.LogLevel)})
	}
	if c.LogFormat != "json" && c.LogFormat != "text" {
		m = append(m, Mistake{"PERCH_LOG_FORMAT", fmt.Sprintf("is %q; use json or text", c.LogFormat)})
	}
	if c.ShutdownGrace < 0 {
		m = append(m, Mistake{"PERCH_SHUTDOWN_GRACE", "is negative; write 0s to end at once"})
	}
	return m
}
