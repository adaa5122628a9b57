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

// Neighbours names the many among whom an address is, as the crowd of a quota.Charge:
// its /16, of IPv6 its /32. It is empty where no address is known.
func Neighbours(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	kind, bits := "address4:", 16
	if a.Is6() {
		kind, bits = "address6:", 32
	}
	p, err := a.Prefix(bits)
	if err != nil || !a.IsValid() {
		return ""
	}
	return kind + p.String()
}
