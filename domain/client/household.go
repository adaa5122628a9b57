package client

import "net/netip"

// Household is who an address counts for: who has one address of IPv6 has all of
// the /64. Those of whom no address is known count together.
func Household(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
