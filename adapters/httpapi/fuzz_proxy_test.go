package httpapi

import (
	"net"
	"strings"
	"testing"
)

// FuzzForwarded: the client's address is the first from the right that is no
// trusted proxy, and nothing that stands left of it changes that.
func FuzzForwarded(f *testing.F) {
	proxies := []string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"}
	s := &Server{cfg: Config{Proxies: prefixes(proxies...)}}
	var networks []*net.IPNet
	for _, text := range proxies {
		_, n, err := net.ParseCIDR(text)
		must(f, err)
		networks = append(networks, n)
	}
	f.Fuzz(func(t *testing.T, names string) {
		got, err := s.clientOf(names)
		if err != nil {
			if got.IsValid() {
				t.Errorf("%q is refused and is %s", names, got)
			}
			return
		}
		parts := strings.Split(names, ",")
		at := len(parts) - 1
		for ; at > 0 && within(networks, host(parts[at])); at-- {
		}
		want := net.ParseIP(host(parts[at]))
		if want == nil || !want.Equal(net.IP(got.AsSlice())) || got.Is4In6() || got.Zone() != "" {
			t.Fatalf("%q is from %s, and should be from %s", names, got, want)
		}
		if s.trusts(got) {
			return // all are proxies; the first is as good as any
		}
		for _, more := range []string{"1.2.3.4", "10.0.0.1", "x", "", "::1"} {
			if again, err := s.clientOf(more + "," + names); err != nil || again != got {
				t.Errorf("with %q at its left, %q is from %s: %v", more, names, again, err)
			}
		}
	})
}

// host is an address without its brackets and its port.
func host(name string) string {
	name = strings.Trim(name, " \t")
	if h, _, err := net.SplitHostPort(name); err == nil {
		return h
	}
	return strings.Trim(name, "[]")
}

func within(networks []*net.IPNet, name string) bool {
	ip := net.ParseIP(name)
	for _, n := range networks {
		if ip != nil && n.Contains(ip) {
			return true
		}
	}
	return false
}
