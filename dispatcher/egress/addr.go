package egress

import "net/netip"

// The tables below are the IANA special-purpose address registries (iana-ipv4-special-registry and
// iana-ipv6-special-registry, RFC 6890) as they stood after their entry of April 2025, 100:0:0:1::/64 (RFC
// 9780). They are stricter than the registries on purpose: protocol anycasts inside 192.0.0.0/24 and
// 2001::/23 are no web servers, Azure's WireServer answers at a public address, and outside 2000::/3 nothing
// is public at all.

// block is a range that no merchant's server can have.
type block struct {
	prefix netip.Prefix
	why    string // completes "the address is …"
}

// blocks4 lists the IPv4 ranges that are refused; everything else is public.
var blocks4 = []block{
	{netip.MustParsePrefix("0.0.0.0/8"), "of this host (RFC 1122)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared address space (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback (RFC 1122)"},
	{netip.MustParsePrefix("168.63.129.16/32"), "Azure's WireServer"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, where clouds keep their metadata (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved for IETF protocols (RFC 6890)"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private (RFC 1918)"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks (RFC 2544)"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 5771)"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved or broadcast (RFC 1112, RFC 919)"},
}

// unicast6 is the only part of IPv6 from which public addresses have been handed out.
var unicast6 = netip.MustParsePrefix("2000::/3")

// blocks6 lists what is refused inside unicast6. 6to4 and Teredo carry IPv4 addresses, so they go whole.
var blocks6 = []block{
	{netip.MustParsePrefix("2001::/23"), "reserved for IETF protocols, Teredo among them (RFC 2928)"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation (RFC 3849)"},
	{netip.MustParsePrefix("2002::/16"), "6to4, which embeds an IPv4 address (RFC 3056)"},
	{netip.MustParsePrefix("3fff::/20"), "documentation (RFC 9637)"},
}

// classify says why an address is not public: a phrase that completes "the address is …". A public address
// gives "". An IPv4-mapped address is judged as the IPv4 address that it reaches.
func classify(a netip.Addr) string {
	if !a.IsValid() {
		return "not an IP address"
	}
	if a.Zone() != "" {
		return "bound to a zone of this host"
	}
	a = a.Unmap()
	blocks := blocks4
	if a.Is6() {
		if !unicast6.Contains(a) {
			return "outside 2000::/3, the public part of IPv6"
		}
		blocks = blocks6
	}
	for i := range blocks {
		if blocks[i].prefix.Contains(a) {
			return blocks[i].why
		}
	}
	return ""
}
