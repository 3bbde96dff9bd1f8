package egress

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

func addressTable(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/addresses.txt")
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			rows = append(rows, strings.Split(strings.TrimSpace(line), "\t"))
		}
	}
	if len(rows) != 84 {
		t.Fatalf("the table has %d addresses, want 84", len(rows))
	}
	return rows
}

func TestCheckAddr(t *testing.T) {
	var r Rules
	for _, row := range addressTable(t) {
		a := netip.MustParseAddr(row[0])
		err := r.CheckAddr(a)
		if got := err != nil; got != (row[1] == "block") {
			t.Errorf("%s (%s): got %v, want %s", row[0], row[2], err, row[1])
		}
		var blocked *BlockedError
		if err != nil && (!errors.As(err, &blocked) || blocked.Why == "" || blocked.Addr != a) {
			t.Errorf("%s: the refusal %#v does not name the address and why", row[0], err)
		}
	}
	if r.CheckAddr(netip.Addr{}) == nil {
		t.Error("an invalid address is allowed")
	}
}

// TestCheckAddrInControl runs the same table through the hook that has the last word at dial time.
func TestCheckAddrInControl(t *testing.T) {
	d := newDialer(new(Rules).checkDial)
	for _, row := range addressTable(t) {
		err := d.net.ControlContext(t.Context(), "tcp", net.JoinHostPort(row[0], "443"), nil)
		if got := err != nil; got != (row[1] == "block") {
			t.Errorf("%s: got %v, want %s", row[0], err, row[1])
		}
	}
	for _, address := range []string{"", ":80", "localhost:80", "1.1.1.1"} {
		if d.net.ControlContext(t.Context(), "tcp", address, nil) == nil {
			t.Errorf("%q is allowed, though it is no address and port", address)
		}
	}
}

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func TestRulesPrecedence(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules Rules
		addr  string
		ok    bool
	}{
		{"allow opens", Rules{AllowCIDRs: prefixes("10.0.0.0/8")}, "10.1.2.3", true},
		{"allow opens the mapped form", Rules{AllowCIDRs: prefixes("10.0.0.0/8")}, "::ffff:10.1.2.3", true},
		{"allow never narrows", Rules{AllowCIDRs: prefixes("10.0.0.0/8")}, "1.1.1.1", true},
		{"allow opens nothing else", Rules{AllowCIDRs: prefixes("10.0.0.0/8")}, "127.0.0.1", false},
		{"deny closes", Rules{DenyCIDRs: prefixes("1.1.1.0/24")}, "1.1.1.1", false},
		{
			"deny wins over allow",
			Rules{AllowCIDRs: prefixes("10.0.0.0/8"), DenyCIDRs: prefixes("10.1.0.0/16")},
			"10.1.2.3", false,
		},
		{"deny wins over dev", Rules{Dev: true, DenyCIDRs: prefixes("169.254.0.0/16")}, "169.254.169.254", false},
		{
			"deny sees through mapping",
			Rules{Dev: true, DenyCIDRs: prefixes("169.254.0.0/16")},
			"::ffff:169.254.169.254", false,
		},
		{"a mapped prefix works", Rules{Dev: true, DenyCIDRs: prefixes("::ffff:10.0.0.0/104")}, "10.1.2.3", false},
		{"dev opens", Rules{Dev: true}, "127.0.0.1", true},
		{"dev opens no zone", Rules{Dev: true}, "fe80::1%eth0", false},
		{"allow opens no zone", Rules{AllowCIDRs: prefixes("fe80::/10")}, "fe80::1%eth0", false},
		{"allow opens IPv6", Rules{AllowCIDRs: prefixes("fd00::/8")}, "fd00:ec2::254", true},
	} {
		if err := tt.rules.CheckAddr(netip.MustParseAddr(tt.addr)); (err == nil) != tt.ok {
			t.Errorf("%s: %s: got %v, want allowed=%v", tt.name, tt.addr, err, tt.ok)
		}
	}
}

func TestOwnListeners(t *testing.T) {
	own := func(ss ...string) func() []netip.AddrPort {
		var aps []netip.AddrPort
		for _, s := range ss {
			aps = append(aps, netip.MustParseAddrPort(s))
		}
		return func() []netip.AddrPort { return aps }
	}
	for _, tt := range []struct {
		listen, dial string
		refused      bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", "127.0.0.1:8081", false},
		{"127.0.0.1:8080", "127.0.0.2:8080", false},
		{"127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", true},
		{"127.0.0.1:8080", "0.0.0.0:8080", true},
		{"[::1]:8080", "[::]:8080", true},
		{"0.0.0.0:8080", "127.0.0.9:8080", true},
		{"[::]:8080", "127.0.0.1:8080", true},
		{"[::]:8080", "[::1]:8080", true},
		{"[::]:8080", "1.1.1.1:8080", false},
		{"[::]:8080", "127.0.0.1:9999", false},
	} {
		// Neither --dev nor allow_cidrs opens a listener of our own.
		r := Rules{Dev: true, AllowCIDRs: prefixes("0.0.0.0/0", "::/0"), Own: own(tt.listen)}
		err := r.checkDial(netip.MustParseAddrPort(tt.dial))
		if (err != nil) != tt.refused {
			t.Errorf("listening on %s, dialling %s: got %v, want refused=%v", tt.listen, tt.dial, err, tt.refused)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	r := Rules{Dev: true, Own: own("0.0.0.0:8080")}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if !ok {
			t.Fatalf("interface address %v is no IP", a)
		}
		if r.checkDial(netip.AddrPortFrom(ip.Unmap(), 8080)) == nil {
			t.Errorf("%v is this machine and the listener is a wildcard, but the dial is allowed", ip)
		}
	}
}
