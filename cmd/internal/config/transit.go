package config

import (
	"fmt"
	"net/netip"
	"strings"
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
