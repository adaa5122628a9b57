package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"perch/domain/client"
)

const trustedProxies = "PERCH_TRUSTED_PROXIES"

// Proxies are the networks of the trusted proxies, IPv4 as IPv4. The settings
// must have been checked.
func (c Config) Proxies() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range c.TrustedProxies {
		if p, say := parseProxy(text); say == "" {
			all = append(all, p)
		}
	}
	return all
}

// TLS reports whether the listeners speak TLS.
func (c Config) TLS() bool { return c.TLSCertFile != "" }

// Scheme is how URLs of the listeners begin.
func (c Config) Scheme() string {
	if c.TLS() {
		return "https://"
	}
	return "http://"
}

// followed reports whether the public URL is only where Perch listens.
func (c Config) followed() bool { return c.PublicURL == c.Scheme()+c.Listen }

func (c Config) checkTransit() (m Mistakes) {
	switch {
	case c.TLSCertFile != "" && c.TLSKeyFile == "":
		m = append(m, Mistake{"PERCH_TLS_KEY_FILE", "is not set, though PERCH_TLS_CERT_FILE is; they come together"})
	case c.TLSCertFile == "" && c.TLSKeyFile != "":
		m = append(m, Mistake{"PERCH_TLS_CERT_FILE", "is not set, though PERCH_TLS_KEY_FILE is; they come together"})
	default:
		if len(c.TrustedProxies) == 0 && c.open(c.Listen) {
			m = append(m, Mistake{"PERCH_LISTEN", fmt.Sprintf(inTheOpen, c.Listen,
				", or PERCH_TRUSTED_PROXIES to the proxy in front that speaks TLS")})
		}
		if c.open(c.AdminListen) {
			m = append(m, Mistake{"PERCH_ADMIN_LISTEN", fmt.Sprintf(inTheOpen, c.AdminListen, "")})
		}
	}
	if c.MaxConnections < 1 {
		m = append(m, Mistake{"PERCH_MAX_CONNECTIONS", "is less than 1; write how many there may be, as 10000"})
	}
	if c.MaxConnectionsPerAddress < 0 {
		m = append(m, Mistake{"PERCH_MAX_CONNECTIONS_PER_ADDRESS", "is negative; write 0 for as many as there are"})
	}
	return append(m, c.checkProxies()...)
}

// open reports whether other machines would speak to a listener in the open.
func (c Config) open(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && !c.TLS() && !client.Loopback(host)
}

const inTheOpen = "(%s) can be reached from other machines, and Perch would be spoken to in the open; " +
	"set PERCH_TLS_CERT_FILE and PERCH_TLS_KEY_FILE%s, or listen on 127.0.0.1"

func (c Config) checkProxies() (m Mistakes) {
	for _, text := range c.TrustedProxies {
		if _, say := parseProxy(text); say != "" {
			m = append(m, Mistake{trustedProxies, say})
		}
	}
	return m
}

// parseProxy reads an address or a network. say is what is wrong with it.
func parseProxy(text string) (p netip.Prefix, say string) {
	text = strings.TrimSpace(text)
	addr, err := netip.ParseAddr(text)
	if err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), ""
	}
	p, err = netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Sprintf("names %q, which is no address and no network; "+
			"write them with commas between, as 10.0.0.5,192.168.7.0/24", text)
	case p.Addr().Is4In6():
		return p, fmt.Sprintf("names %s, which is IPv4 written as IPv6; write it as IPv4", text)
	case p.Bits() < widest(p.Addr()):
		return p, fmt.Sprintf("names %s, which is everybody or almost: anyone in it could say to be anyone, and networks "+
			"of IPv4 wider than /8, of IPv6 wider than /16, are not taken. Name the proxies alone", text)
	case p != p.Masked():
		return p, fmt.Sprintf("names %s, an address within the network %s; write the one that is meant", text, p.Masked())
	}
	return p, ""
}

// widest is the shortest prefix of a network that is taken.
func widest(addr netip.Addr) int {
	if addr.Is4() {
		return 8
	}
	return 16
}
