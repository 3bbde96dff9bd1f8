package egress

import (
	"net"
	"net/netip"
	"slices"
)

// DefaultPorts are the ports that may be dialled when Rules.Ports is empty.
var DefaultPorts = []uint16{80, 443, 8080, 8443}

// Rules say which addresses and URLs may be reached. The zero value allows public addresses only, on
// DefaultPorts, over http and https. Rules must not be changed while a Client uses them.
type Rules struct {
	// AllowCIDRs opens addresses that the built-in rules refuse; it never narrows.
	AllowCIDRs []netip.Prefix
	// DenyCIDRs refuses addresses; it wins over AllowCIDRs and over Dev.
	DenyCIDRs []netip.Prefix
	// Ports may be dialled; empty means DefaultPorts. Dev lifts the list.
	Ports []uint16
	// RequireHTTPS refuses http URLs.
	RequireHTTPS bool
	// Dev opens loopback, private and every other address, every port, single-label and special-use names.
	Dev bool
	// Own returns the addresses that this process listens on; they are refused always, whatever the other
	// rules say. A wildcard address stands for every address of this machine. Nil means none.
	Own func() []netip.AddrPort
}

// BlockedError says that the rules refuse an address.
type BlockedError struct {
	Addr netip.Addr // as it was judged; may be invalid
	Why  string     // completes "the address is …"; for operators only, never for a merchant
}

// Error names the address and why it is refused.
func (e *BlockedError) Error() string {
	return "egress rules refuse " + e.Addr.String() + ": the address is " + e.Why
}

// CheckAddr judges one address. It returns nil or a *BlockedError. It knows no port, so it does not see the
// process's own listeners; the check at dial time does.
func (r *Rules) CheckAddr(a netip.Addr) error {
	if why := r.refuses(a); why != "" {
		return &BlockedError{Addr: a, Why: why}
	}
	return nil
}

// checkDial is the authoritative check of one concrete address and port.
func (r *Rules) checkDial(ap netip.AddrPort) error {
	if r.isOwn(ap) {
		return &BlockedError{Addr: ap.Addr(), Why: "a listener of this server itself"}
	}
	return r.CheckAddr(ap.Addr())
}

func (r *Rules) refuses(a netip.Addr) string {
	if !a.IsValid() || a.Zone() != "" {
		return classify(a)
	}
	a = a.Unmap()
	switch {
	case containsAddr(r.DenyCIDRs, a):
		return "in deny_cidrs"
	case r.Dev, containsAddr(r.AllowCIDRs, a):
		return ""
	}
	return classify(a)
}

// containsAddr expects an unmapped address without a zone. A prefix written in the mapped form counts as the
// IPv4 prefix it stands for, because netip would never match it.
func containsAddr(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// portAllowed reports whether a port may be dialled.
func (r *Rules) portAllowed(port uint16) bool {
	if r.Dev {
		return true
	}
	if len(r.Ports) == 0 {
		return slices.Contains(DefaultPorts, port)
	}
	return slices.Contains(r.Ports, port)
}

// isOwn reports whether the address leads back into a listener of this process.
func (r *Rules) isOwn(ap netip.AddrPort) bool {
	if r.Own == nil {
		return false
	}
	a := ap.Addr().WithZone("").Unmap()
	for _, own := range r.Own() {
		if own.Port() != ap.Port() {
			continue
		}
		l := own.Addr().WithZone("").Unmap()
		switch {
		case l == a:
			return true
		case l.IsUnspecified(), !l.IsValid():
			if isLocal(a) {
				return true
			}
		case a.IsUnspecified() && l.IsLoopback():
			return true // Linux connects 0.0.0.0 and :: to loopback
		}
	}
	return false
}

// isLocal reports whether an address is one of this machine's. The interfaces are read each time: they
// change, and only a dial to the port of a wildcard listener asks. Where they cannot be read the answer is
// yes.
func isLocal(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, ia := range addrs {
		if ipn, ok := ia.(*net.IPNet); ok {
			if l, ok := netip.AddrFromSlice(ipn.IP); ok && l.Unmap() == a {
				return true
			}
		}
	}
	return false
}
