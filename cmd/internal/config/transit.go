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
		m = append(m, c.checkOpen("PERCH_LISTEN", c.Listen)...)
		m = append(m, c.checkOpen("PERCH_ADMIN_LISTEN", c.AdminListen)...)
	}
	if c.MaxConnections < 1 {
		m = append(m, Mistake{"PERCH_MAX_CONNECTIONS", "is less than 1; write how many there may be, as 10000"})
	}
	if c.MaxConnectionsPerAddress < 0 {
		m = append(m, Mistake{"PERCH_MAX_CONNECTIONS_PER_ADDRESS", "is negative; write 0 for as many as there are"})
	}
	return append(m, c.checkProxies()...)
}

// checkOpen refuses a listener that other machines would speak to in the open.
func (c Config) checkOpen(variable, address string) Mistakes {
	host, _, err := net.SplitHostPort(address)
	if err != nil || c.TLS() || len(c.TrustedProxies) > 0 || client.Loopback(host) {
		return nil
	}
	return Mistakes{{variable, fmt.Sprintf("(%s) can be reached from other machines, and Perch would be spoken to in "+
		"the open; set PERCH_TLS_CERT_FILE and PERCH_TLS_KEY_FILE, or PERCH_TRUSTED_PROXIES to the proxy in front that "+
		"speaks TLS, or listen on 127.0.0.1", address)}}
}

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
	case p.Bits() == 0:
		return p, fmt.Sprintf("names %s, which is everybody: anyone could say to be anyone. Name the proxies alone", text)
	case p != p.Masked():
		return p, fmt.Sprintf("names %s, an address within the network %s; write the one that is meant", text, p.Masked())
	}
	return p, ""
}
