package apikey

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"perch/domain/fault"
	"perch/domain/xapi"
)

// most is how many grants, actions or addresses one key may name.
const most = 100

// Check refuses a key that could not work, or would be unsafe.
func (k Key) Check() error {
	switch {
	case k.Kind != Publishable && k.Kind != Secret:
		return fault.New(fault.Invalid, "a key is publishable or secret, not %q", k.Kind)
	case k.Kind == Publishable && (k.AppOnly || k.Batch || len(k.Grants)+len(k.Actions)+len(k.Addresses) > 0):
		return fault.New(fault.Invalid, "a publishable key only starts sign-ins, from wherever users are; "+
			"only a secret key can be bound to grants, actions or addresses, act app-only or be for batches")
	case len(k.Name) > 200 || strings.ContainsFunc(k.Name, unicode.IsControl):
		return fault.New(fault.Invalid, "a key's name has at most 200 characters, none of them for control")
	case len(k.Grants) > most || len(k.Actions) > most || len(k.Addresses) > most:
		return fault.New(fault.Invalid, "a key names at most %d grants, actions and addresses each; "+
			"make several keys, or name a preset or a network", most)
	case slices.Contains(k.Grants, ""):
		return fault.New(fault.Invalid, "the ID of a grant is empty; leave it out")
	case slices.ContainsFunc(k.Addresses, func(p netip.Prefix) bool { return !p.IsValid() }):
		return fault.New(fault.Invalid, "an address of the key is none; write it as 192.0.2.7 or 192.0.2.0/24")
	}
	return xapi.CheckWords(k.Actions)
}

// ParseAddresses reads IP addresses and networks in CIDR notation.
func ParseAddresses(list []string) ([]netip.Prefix, error) {
	var addresses []netip.Prefix
	for _, text := range list {
		a, err := parseAddress(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses, nil
}

func parseAddress(text string) (netip.Prefix, error) {
	if one, err := netip.ParseAddr(text); err == nil && one.Zone() == "" {
		one = one.Unmap()
		return netip.PrefixFrom(one, one.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fault.New(fault.Invalid, "%q is no IP address or network; write it as 192.0.2.7, 192.0.2.0/24 or "+
			"2001:db8::/32", clip(text)).With("field", "addresses")
	case p.Bits() == 0:
		return p, fault.New(fault.Invalid, "%q is everywhere, which is no restriction; leave it out", clip(text)).
			With("field", "addresses")
	case p.Addr().Is4In6():
		return p, fault.New(fault.Invalid, "%q is IPv4 written as IPv6; write it as IPv4", clip(text)).
			With("field", "addresses")
	case p != p.Masked():
		return p, fault.New(fault.Invalid, "%q is an address and a network at once; write %s for the network, or %s",
			clip(text), p.Masked(), p.Addr()).With("field", "addresses")
	}
	return p, nil
}

func clip(s string) string { return s[:min(len(s), 60)] }
