package egress

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// watched is a client with real rules and a real resolver whose sockets end in the control hook: what the
// rules let through is noted and refused there, so that the tests reach for the internet without touching it.
type watched struct {
	*Client

	mu     sync.Mutex
	dialed []string
}

func newWatched(t *testing.T, o Options) *watched {
	w := &watched{Client: New(o)}
	t.Cleanup(w.Close)
	judge := w.dialer.net.ControlContext
	w.dialer.net.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
		if err := judge(ctx, network, address, c); err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dialed = append(w.dialed, address)
		return syscall.ECONNREFUSED
	}
	return w
}

// take returns what was dialled since the last time.
func (w *watched) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.dialed
	w.dialed = nil
	return d
}

// TestAddressesAtDialTime: every address of the table, as what a name resolves to, and as what a literal says
// that was written down when the rules were others.
func TestAddressesAtDialTime(t *testing.T) {
	table := addressTable(t)
	answer := func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		var n int
		if _, err := fmt.Sscanf(q.Name.String(), "a%d.example.com.", &n); err != nil {
			t.Errorf("asked for %s", q.Name)
			return nil
		}
		return dnsRecords(q, "", table[n][0])
	}
	w := newWatched(t, Options{Resolver: newFakeDNS(t, answer).addr()})
	for n, row := range table {
		addr, want := netip.MustParseAddr(row[0]), AddressBlocked
		var dialed []string
		if row[1] == "allow" {
			want, dialed = ConnRefused, []string{netip.AddrPortFrom(addr.Unmap(), 443).String()}
		}
		check := func(how string, r *Request) {
			t.Helper()
			res := w.Do(t.Context(), r)
			if got := w.take(); res.Fault != want || res.Wrote || strings.Join(got, " ") != strings.Join(dialed, " ") {
				t.Errorf("%s %s (%s): got %q (%s), dialled %q; want %q", row[0], how, row[2], res.Fault, res.Detail,
					got, want)
			}
		}
		text := row[0]
		if addr.Is6() {
			text = "[" + strings.Replace(text, "%", "%25", 1) + "]"
		}
		if addr.Zone() == "" { // no record can hold a zone, and no rules let one be written down
			named, uerr := w.opts.Rules.CheckURL(fmt.Sprintf("https://a%d.example.com/", n))
			if uerr != nil {
				t.Fatal(uerr)
			}
			check("by name", &Request{Target: named})
			literal, uerr := (&Rules{Dev: true}).CheckURL("https://" + text + "/")
			if uerr != nil {
				t.Fatal(uerr)
			}
			check("as a literal", &Request{Target: literal})
		}
		_, uerr := w.opts.Rules.CheckURL("https://" + text + "/")
		if refused := uerr != nil && uerr.Rule == RuleIPDenied; refused != (row[1] == "block") {
			t.Errorf("%s written down: %v, want %s", text, uerr, row[1])
		}
	}
}

// TestURLFormsAtDialTime: every form that is a URL at all, written down under the widest rules and sent under
// the real ones, with a resolver that says yes to everything: what leads inside is refused, however written.
func TestURLFormsAtDialTime(t *testing.T) {
	const public = "93.184.216.34"
	answer := func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		name := strings.TrimSuffix(q.Name.String(), ".")
		if inner, ok := strings.CutSuffix(name, ".nip.io"); ok {
			return dnsRecords(q, "", inner)
		}
		for _, tt := range urlForms {
			if target, err := new(Rules).CheckURL(tt.raw); err == nil && target.Host == name {
				return dnsRecords(q, "", public)
			}
		}
		return dnsRecords(q, "", "127.0.0.1", "::1") // an inner name, as an inner resolver knows it
	}
	w := newWatched(t, Options{Resolver: newFakeDNS(t, answer).addr()})
	reached := 0
	for _, tt := range urlForms {
		target, err := (&Rules{Dev: true}).CheckURL(tt.raw)
		if err != nil {
			if tt.rule == "" {
				t.Errorf("%q: %v", tt.raw, err)
			}
			continue
		}
		res := w.Do(t.Context(), &Request{Target: target})
		dialed := w.take()
		inside := strings.Contains(tt.raw, "nip.io")
		switch {
		case tt.rule == "" && !inside:
			reached++
			if res.Fault != ConnRefused || len(dialed) != 1 {
				t.Errorf("%q: got %q (%s), dialled %q; want one dial", tt.raw, res.Fault, res.Detail, dialed)
			}
		case tt.rule == "port-not-allowed" && strings.Contains(tt.raw, "merchant.cn"):
			// The port was allowed when it was written down; CheckURL judges it again at every send.
		case res.Fault != AddressBlocked || len(dialed) != 0:
			t.Errorf("%q: got %q (%s), dialled %q; want it blocked", tt.raw, res.Fault, res.Detail, dialed)
		}
	}
	if reached != 9 {
		t.Errorf("%d of the forms reached a public address, want 9", reached)
	}
}

// TestEveryDialAsksAgain: a name is looked up for every fresh connection, whatever its time to live, so that
// nothing learnt before decides about a dial; and one look-up's answer is what is dialled, there is no
// second.
func TestEveryDialAsksAgain(t *testing.T) {
	answers := make(chan string, 10)
	dns := newFakeDNS(t, func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		if q.Type != dnsmessage.TypeA {
			return &dnsmessage.Message{}
		}
		return dnsRecords(q, "", <-answers) // its time to live is 0
	})
	w := newWatched(t, Options{Resolver: dns.addr()})
	r := &Request{Target: target(t, w.Client, "https://shop.example.com/")}
	for _, step := range []struct {
		answer string
		fault  Fault
		dialed string
	}{
		{"1.1.1.1", ConnRefused, "1.1.1.1:443"},
		{"127.0.0.1", AddressBlocked, ""},
		{"8.8.8.8", ConnRefused, "8.8.8.8:443"},
		{"169.254.169.254", AddressBlocked, ""},
	} {
		answers <- step.answer
		res := w.Do(t.Context(), r)
		if got := strings.Join(w.take(), " "); res.Fault != step.fault || got != step.dialed || len(answers) != 0 {
			t.Errorf("%s: got %q (%s), dialled %q", step.answer, res.Fault, res.Detail, got)
		}
	}
}

// TestSixteenOneOfThemInside: the public ones are dialled, the other is not.
func TestSixteenOneOfThemInside(t *testing.T) {
	var addrs []string
	for i := range 15 {
		addrs = append(addrs, fmt.Sprintf("1.1.1.%d", i+1))
	}
	addrs = append(addrs[:7], append([]string{"10.0.0.1"}, addrs[7:]...)...)
	dns := newFakeDNS(t, func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		return dnsRecords(q, "", addrs...)
	})
	w := newWatched(t, Options{Resolver: dns.addr()})
	res := w.Do(t.Context(), &Request{Target: target(t, w.Client, "https://shop.example.com/")})
	if got := strings.Join(w.take(), " "); res.Fault != ConnRefused || res.Skipped != 1 ||
		strings.Count(got, ":443") != 15 || strings.Contains(got, "10.0.0.1") {
		t.Errorf("got %q, skipped %d, dialled %q", res.Fault, res.Skipped, got)
	}
}

// TestHostsFileIsJudged: what /etc/hosts says about a name is an address like any other.
func TestHostsFileIsJudged(t *testing.T) {
	text, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Skip(err)
	}
	w := newWatched(t, Options{})
	asked := 0
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil || classify(addr) == "" || classify(addr) != "" && fields[1] == "localhost" {
			continue
		}
		target, uerr := (&Rules{Dev: true}).CheckURL("http://" + fields[1] + "/")
		if uerr != nil {
			continue
		}
		asked++
		res := w.Do(t.Context(), &Request{Target: target})
		if res.Fault != AddressBlocked || res.Phases.DNS <= 0 || len(w.take()) != 0 {
			t.Errorf("%s: got %q (%s)", fields[1], res.Fault, res.Detail)
		}
	}
	if asked == 0 {
		t.Skip("/etc/hosts has no name for an inner address")
	}
}

// TestNothingIsFollowed: whatever a reply points to, nobody goes there: not by Location, absolute or
// relative, not by Refresh, not by Alt-Svc.
func TestNothingIsFollowed(t *testing.T) {
	s, inside := publicServer(t)
	_, port, _ := net.SplitHostPort(s.l.Addr().String())
	trap := "127.0.0.1:" + port
	for _, header := range []string{
		"302 F\r\nLocation: http://" + trap + "/", "307 T\r\nLocation: http://" + trap + "/",
		"308 P\r\nLocation: //" + trap,
		"301 M\r\nLocation: /login", "303 S\r\nLocation: ?again", "302 F\r\nLocation: file:///etc/passwd",
		"302 F\r\nLocation: http://169.254.169.254/latest/meta-data/", "302 F", "304 N",
		"200 OK\r\nRefresh: 0; url=http://" + trap + "/", "200 OK\r\nContent-Location: http://" + trap + "/",
		"200 OK\r\nAlt-Svc: h3=\"" + trap + "\", http/1.1=\"" + trap + "\"",
		"200 OK\r\nLink: <http://" + trap + "/>; rel=preload",
	} {
		other := newServer(t, func(s *server, _ int, c net.Conn) {
			for br := bufio.NewReader(c); s.request(br); {
				_, _ = c.Write([]byte("HTTP/1.1 " + header + "\r\nContent-Length: 0\r\n\r\n"))
			}
		})
		c := devClient(t, Options{})
		for range 2 {
			if res := c.Do(t.Context(), post(t, c, other.url())); res.Fault != "" ||
				!strings.HasPrefix(header, fmt.Sprint(res.Status)) || res.RemoteAddr != other.l.Addr().String() {
				t.Errorf("%q: got %+v", header, res)
			}
		}
		if conns, requests := other.count(); conns != 1 || requests != 2 {
			t.Errorf("%q: %d connections, %d requests, want 1 and 2", header, conns, requests)
		}
	}
	if n := inside.Load(); n != 0 {
		t.Errorf("%d connections to where replies pointed", n)
	}
}

// TestPoolsAreByHost: when a merchant's URL changes, a connection that was vetted for the old host serves no
// request for the new one, even where both names lead to one address.
func TestPoolsAreByHost(t *testing.T) {
	s, _ := publicServer(t)
	dns := newFakeDNS(t, always("127.0.0.2"))
	c := New(Options{Rules: rulesFor(s), Resolver: dns.addr()})
	t.Cleanup(c.Close)
	for i, tt := range []struct {
		host   string
		reused bool
	}{
		{"old.example.com", false},
		{"new.example.com", false},
		{"old.example.com", true},
		{"NEW.example.com.", true},
	} {
		res := c.Do(t.Context(), post(t, c, hostURL(s, "http", tt.host)))
		if res.Fault != "" || res.Reused != tt.reused || !strings.HasPrefix(res.RemoteAddr, "127.0.0.2:") {
			t.Errorf("%d: got %q (%s), reused %v", i, res.Fault, res.Detail, res.Reused)
		}
	}
}
