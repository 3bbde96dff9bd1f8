package egress

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"net/netip"
	"strings"
)

// The IANA special-purpose address registries, as published; a newer one is dropped in over the old.
var (
	//go:embed iana/ipv4-special.csv
	registry4 string
	//go:embed iana/ipv6-special.csv
	registry6 string
)

// block is a range that no merchant's server can have.
type block struct {
	prefix netip.Prefix
	why    string // completes "the address is …"
}

// blocks are the refused ranges of both families: what the registries do not call globally reachable, and
// what they do not list. A range inside a refused one is refused as well, though the registry may call it
// reachable: the anycasts of protocols in 192.0.0.0/24 and 2001::/23 are no web servers.
var blocks = append(mustBlocks(registry4, registry6),
	block{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 5771)"},
	block{netip.MustParsePrefix("168.63.129.16/32"), "Azure's WireServer, which answers at a public address"},
)

// unicast6 is the only part of IPv6 from which public addresses have been handed out.
var unicast6 = netip.MustParsePrefix("2000::/3")

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
	why, bits := "", -1
	for i := range blocks { // the narrowest says most
		if b := &blocks[i]; b.prefix.Bits() > bits && b.prefix.Contains(a) {
			why, bits = b.why, b.prefix.Bits()
		}
	}
	if why == "" && a.Is6() && !unicast6.Contains(a) {
		return "outside 2000::/3, the public part of IPv6"
	}
	return why
}

// mustBlocks reads the registries that were built in.
func mustBlocks(registries ...string) (bs []block) {
	for _, text := range registries {
		more, err := readRegistry(text)
		if err != nil {
			panic(err)
		}
		bs = append(bs, more...)
	}
	return bs
}

// The columns of a registry that are read.
const (
	columnBlock     = "Address Block"
	columnName      = "Name"
	columnRFC       = "RFC"
	columnReachable = "Globally Reachable"
)

// readRegistry returns the ranges of a registry that are not globally reachable. Deprecated ranges and those
// of which the registry cannot tell are among them.
func readRegistry(text string) ([]block, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("address registry: %w", err)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("address registry: it has no rows")
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, name := range []string{columnBlock, columnName, columnRFC, columnReachable} {
		if _, ok := column[name]; !ok {
			return nil, fmt.Errorf("address registry: it has no column %q", name)
		}
	}
	var bs []block
	for _, row := range rows[1:] {
		if withoutNote(row[column[columnReachable]]) == "True" {
			continue
		}
		for text := range strings.SplitSeq(row[column[columnBlock]], ",") {
			p, err := netip.ParsePrefix(withoutNote(text))
			if err != nil {
				return nil, fmt.Errorf("address registry: %w", err)
			}
			why := fmt.Sprintf("in %s, %s %s", p, row[column[columnName]], rfcs(row[column[columnRFC]]))
			bs = append(bs, block{p, why})
		}
	}
	return bs, nil
}

// withoutNote takes the mark of a footnote off a cell.
func withoutNote(cell string) string {
	cell, _, _ = strings.Cut(cell, "[")
	return strings.TrimSpace(cell)
}

// rfcs writes "[RFC1122], Section 3.2.1.3" as "(RFC1122, Section 3.2.1.3)".
func rfcs(cell string) string {
	return "(" + strings.NewReplacer("][", ", ", "[", "", "]", "").Replace(cell) + ")"
}
