package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
)

// resolver finds the addresses of a name.
type resolver struct {
	server string       // HOST:PORT that is asked alone; empty means the system's configuration
	system net.Resolver // used when server is empty
	hosts  net.Resolver // knows /etc/hosts and nothing else
}

func newResolver(server string) *resolver {
	r := &resolver{server: server}
	// Never the C resolver: it reads "127.1" and "0x7f000001" as addresses.
	r.system.PreferGo, r.hosts.PreferGo = true, true
	r.hosts.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errHostsOnly }
	return r
}

var errHostsOnly = errors.New("only /etc/hosts is asked")

// lookup returns the addresses of a name, which is taken as absolute: no search list applies. Errors are
// *net.DNSError; IsNotFound says that the name does not exist or has no address.
func (r *resolver) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761: asks no server
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	if r.server != "" {
		return lookupAt(ctx, r.server, name)
	}
	if !strings.Contains(name, ".") { // net finds such a name in /etc/hosts only where it is not absolute
		if addrs, err := r.hosts.LookupNetIP(ctx, "ip", name); err == nil {
			return addrs, nil
		}
	}
	return r.system.LookupNetIP(ctx, "ip", name+".")
}
