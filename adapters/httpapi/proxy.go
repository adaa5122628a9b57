package httpapi

import (
	"net"
	"net/netip"
	"strings"

	"perch/domain/fault"
)

// Where a proxy says whom it speaks for. Who is no trusted proxy may send these,
// and nothing comes of it. X-Forwarded-Host and Forwarded are never read.
const (
	forwardedFor   = "X-Forwarded-For"
	forwardedProto = "X-Forwarded-Proto"
)

const plainHTTP = "plain-http"

// addressOf returns the IP address of a connection's other end, IPv4 as IPv4.
// It is invalid where there is none.
func addressOf(c net.Conn) netip.Addr {
	at, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return at.AddrPort().Addr().Unmap().WithZone("")
}

// trusts reports whether a proxy at the address is believed.
func (s *Server) trusts(addr netip.Addr) bool {
	for _, p := range s.cfg.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// whence sets the client's address. If the peer is a trusted proxy, it is the one
// the proxy names. What the client sent in the open is refused.
func (s *Server) whence(r *request) error {
	if !s.trusts(r.addr) {
		if !r.conn.secure() && !r.addr.IsLoopback() {
			return fault.New(fault.Forbidden, "plain HTTP is spoken here only with this machine and with declared proxies; "+
				"use %s, and replace the credential if one was sent", s.cfg.PublicURL).Named(plainHTTP)
		}
		return nil
	}
	if names := r.header(forwardedFor); names != "" {
		addr, err := s.clientOf(names)
		if err != nil {
			return err
		}
		r.addr = addr
	}
	plain, err := saysPlain(r.header(forwardedProto))
	if err != nil {
		return err
	}
	if plain && s.secure() && r.mayHoldSecrets() {
		return fault.New(fault.Forbidden, "this request came over plain HTTP, and whatever is secret in it has travelled "+
			"in the open; use %s, and replace the credential", s.cfg.PublicURL).Named(plainHTTP)
	}
	return nil
}

// clientOf returns the address that the nearest of the trusted proxies saw. Each
// proxy adds its peer at the right; what is left of the first that is no proxy of
// ours is the client's own invention and is not looked at.
func (s *Server) clientOf(names string) (addr netip.Addr, err error) {
	for more := true; more; {
		name := names
		if at := strings.LastIndexByte(names, ','); at >= 0 {
			names, name = names[:at], names[at+1:]
		} else {
			more = false
		}
		if addr, err = parseAddress(strings.Trim(name, " \t")); err != nil {
			return addr, err
		}
		if !s.trusts(addr) {
			break
		}
	}
	return addr, nil
}

// parseAddress reads an IP address, with or without a port: some proxies add it.
func parseAddress(name string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(name)
	if err != nil {
		if inner, ok := strings.CutPrefix(name, "["); ok && strings.HasSuffix(name, "]") {
			addr, err = netip.ParseAddr(inner[:len(inner)-1])
		} else {
			var both netip.AddrPort
			both, err = netip.ParseAddrPort(name)
			addr = both.Addr()
		}
	}
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, malformed("%s names something that is no IP address", forwardedFor)
	}
	return addr.Unmap(), nil
}

// saysPlain reports whether the proxy, or one before it, was spoken to without TLS.
func saysPlain(protos string) (plain bool, err error) {
	if protos == "" {
		return false, nil
	}
	for proto := range strings.SplitSeq(protos, ",") {
		switch strings.ToLower(strings.Trim(proto, " \t")) {
		case "https":
		case "http":
			plain = true
		default:
			return false, malformed("%s is neither http nor https", forwardedProto)
		}
	}
	return plain, nil
}

// mayHoldSecrets reports whether there is any place in the request for a secret.
// What has none may be asked in the open: health, keys, metadata.
func (r *request) mayHoldSecrets() bool {
	return r.body != nil || r.query != "" || r.has("Authorization") || r.has("Cookie") || r.has(dpopHeader)
}
