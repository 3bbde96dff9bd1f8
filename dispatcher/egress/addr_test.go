package egress

import (
	"encoding/csv"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestRegistriesAreWhole: both files have the rows that make them what they are, and say how old they are.
func TestRegistriesAreWhole(t *testing.T) {
	for name, f := range map[string]struct {
		text    string
		rows    int
		refused int // ranges; one row has two
	}{
		"ipv4": {registry4, 24, 20},
		"ipv6": {registry6, 25, 16},
	} {
		r := csv.NewReader(strings.NewReader(f.text))
		r.Comment = '#'
		rows, err := r.ReadAll()
		if err != nil || len(rows) != f.rows+1 {
			t.Errorf("%s: %d rows, %v; want %d", name, len(rows)-1, err, f.rows)
			continue
		}
		var dates []string
		for _, row := range rows[1:] {
			dates = append(dates, row[slices.Index(rows[0], "Allocation Date")])
		}
		if date := "# Newest entry: " + slices.Max(dates) + "\n"; !strings.Contains(f.text, date) {
			t.Errorf("%s: its head does not say %q", name, date)
		}
		if bs, err := readRegistry(f.text); err != nil || len(bs) != f.refused {
			t.Errorf("%s: %d ranges are refused, %v; want %d", name, len(bs), err, f.refused)
		}
	}
}

// TestRegistriesAreObeyed: the first and the last address of everything that is not globally reachable are
// refused, and those of the rest are not, unless they lie inside a refused range or outside 2000::/3.
func TestRegistriesAreObeyed(t *testing.T) {
	for _, b := range blocks {
		for _, a := range []netip.Addr{b.prefix.Addr(), lastOf(b.prefix)} {
			if why := classify(a); why == "" || strings.Contains(why, "  ") {
				t.Errorf("%s of %s: %q", a, b.prefix, why)
			}
		}
	}
	for _, p := range prefixes("192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48") {
		for _, a := range []netip.Addr{p.Addr(), lastOf(p)} {
			if why := classify(a); why != "" {
				t.Errorf("%s of %s is refused as %s, but the registry calls it reachable", a, p, why)
			}
		}
	}
	for addr, want := range map[string]string{
		"127.0.0.1":        "in 127.0.0.0/8, Loopback (RFC1122, Section 3.2.1.3)",
		"::ffff:127.0.0.1": "in 127.0.0.0/8, Loopback (RFC1122, Section 3.2.1.3)",
		"192.0.0.9":        "in 192.0.0.0/24, IETF Protocol Assignments (RFC6890, Section 2.1)",
		"2001::1":          "in 2001::/32, TEREDO (RFC4380, RFC8190)",
		"4000::1":          "outside 2000::/3, the public part of IPv6",
		"64:ff9b::808:808": "outside 2000::/3, the public part of IPv6",
		"1.1.1.1":          "",
	} {
		if got := classify(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

// lastOf is the last address of a range.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func TestReadRegistryRefuses(t *testing.T) {
	const head = "Address Block,Name,RFC,Globally Reachable\n"
	for name, text := range map[string]string{
		"empty":     "",
		"no rows":   head,
		"no column": "Address Block,Name,RFC\n10.0.0.0/8,Private-Use,[RFC1918]\n",
		"no range":  head + "10.0.0.0,Private-Use,[RFC1918],False\n",
		"ragged":    head + "10.0.0.0/8,Private-Use\n",
	} {
		if bs, err := readRegistry(text); err == nil {
			t.Errorf("%s: read as %v", name, bs)
		}
	}
}
