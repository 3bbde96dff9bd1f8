package egress

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// resolver finds the addresses of a name.
type resolver struct {
	server string       // HOST:PORT that is asked alone; empty means the system's configuration
	system net.Resolver // used when server is empty
}

func newResolver(server string) *resolver {
	r := &resolver{server: server}
	// Never the C resolver: it reads "127.1" and "0x7f000001" as addresses.
	r.system.PreferGo = true
	return r
}

// lookup returns the addresses of a name, which is taken as absolute: no search list applies. Errors are
// *net.DNSError; IsNotFound says that the name does not exist or has no address.
func (r *resolver) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761: asks no server
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	if r.server != "" {
		return lookupAt(ctx, r.server, name)
	}
	return r.system.LookupNetIP(ctx, "ip", name+".")
}
