package egress

import (
	"net/netip"
	"strings"
	"testing"
)

// urlForms are URLs that have fooled filters, and honest ones, with the rule that refuses them; empty =
// allowed.
var urlForms = []struct{ raw, rule string }{
	{`http://127.0.0.1/`, "ip-denied"},
	{`http://127.1/`, "numeric-host"},
	{`http://127.0.1/`, "numeric-host"},
	{`http://0/`, "numeric-host"},
	{`http://0.0.0.0/`, "ip-denied"},
	{`http://2130706433/`, "numeric-host"},
	{`http://0x7f000001/`, "numeric-host"},
	{`http://0x7f.1/`, "numeric-host"},
	{`http://0x7f.0x0.0x0.0x1/`, "numeric-host"},
	{`http://017700000001/`, "numeric-host"},
	{`http://0177.0.0.1/`, "numeric-host"},
	{`http://0o177.0.0.1/`, "numeric-host"},
	{`http://00000177.0.0.1/`, "numeric-host"},
	{`http://127.000.000.001/`, "numeric-host"},
	{`http://425.510.425.510/`, "numeric-host"},
	{`http://7147006462/`, "numeric-host"},
	{`http://127.0.0.1./`, "ip-denied"},
	{`http://localhost/`, "single-label"},
	{`http://LOCALHOST./`, "single-label"},
	{`http://localhost6/`, "single-label"},
	{`http://ip6-localhost/`, "single-label"},
	{`http://[::1]/`, "ip-denied"},
	{`http://[::]/`, "ip-denied"},
	{`http://[0000::1]/`, "ip-denied"},
	{`http://[::ffff:127.0.0.1]/`, "ip-denied"},
	{`http://[::ffff:7f00:1]/`, "ip-denied"},
	{`http://[::1%25lo]/`, "ip-denied"},
	{`http://[::1%lo]/`, "unparsable"},
	{`http://[fe80::1%25eth0]/`, "ip-denied"},
	{`http://[::127.0.0.1]/`, "ip-denied"},
	{`http://①②⑦.⓪.⓪.①/`, "ip-denied"},
	{`http://127。0。0。1/`, "ip-denied"},
	{`http://１２７.0.0.1/`, "ip-denied"},
	{`http://ⓛocalhost/`, "single-label"},
	{"http://127.0.0.1\t/", "illegal-char"},
	{`http://127.0.0.1%00.example.com/`, "unparsable"},
	{`http://127.0.0.1%2f/`, "unparsable"},
	{`http://%31%32%37.0.0.1/`, "ip-denied"},
	{`http://evil.test@127.0.0.1/`, "userinfo"},
	{`http://user:pw@127.0.0.1/`, "userinfo"},
	{`http://127.0.0.1#@evil.test/`, "fragment"},
	{`http://127.0.0.1?@evil.test/`, "ip-denied"},
	{`http://evil.test\@127.0.0.1/`, "illegal-char"},
	{`http://127.0.0.1:80\@evil.test/`, "illegal-char"},
	{`http://1.1.1.1 &@127.0.0.1# @3.3.3.3/`, "illegal-char"},
	{`http:127.0.0.1/`, "no-host"},
	{`http:/127.0.0.1/`, "no-host"},
	{`http:///127.0.0.1/`, "no-host"},
	{`//127.0.0.1/`, "scheme"},
	{`127.0.0.1/`, "scheme"},
	{`http://:80/`, "no-host"},
	{`http://:@/`, "no-host"},
	{`http://127.0.0.1:/`, "port"},
	{`http://127.0.0.1:0/`, "port"},
	{`http://127.0.0.1:65536/`, "port"},
	{`http://127.0.0.1:-1/`, "unparsable"},
	{`http://127.0.0.1:80x/`, "unparsable"},
	{`http://127.0.0.1:080/`, "port"},
	{`http://127.0.0.1:８０/`, "unparsable"},
	{`HTTP://127.0.0.1/`, "ip-denied"},
	{`hTTps://127.0.0.1/`, "ip-denied"},
	{`ftp://127.0.0.1/`, "scheme"},
	{`file:///etc/passwd`, "scheme"},
	{`gopher://127.0.0.1:6379/_X`, "scheme"},
	{`unix:///var/run/docker.sock`, "scheme"},
	{`http+unix://%2Fvar%2Frun%2Fdocker.sock/`, "unparsable"},
	{`jar:http://127.0.0.1!/`, "scheme"},
	{`javascript:alert(1)`, "scheme"},
	{`data:text/html,x`, "scheme"},
	{"http://127.0.0.1/\r\nX-Injected: 1", "illegal-char"},
	{`http://127.0.0.1/%0d%0aX:1`, "ip-denied"},
	{`http://exa mple.test/`, "illegal-char"},
	{"http://" + strings.Repeat("a", 64) + ".test/", "bad-host"},
	{"http://" + strings.Repeat("a.", 130) + "test/", "bad-host"},
	{`http://-bad.test/`, "bad-host"},
	{`http://under_score.test/`, "bad-host"},
	{`http://xn--/`, "bad-host"},
	{`http://*.test/`, "bad-host"},
	{`http://1.1.1.1.1/`, "numeric-host"},
	{`http://0x7f.0.0.1.nip.io.test/`, "special-use"},
	{`http://[::1]:80]/`, "unparsable"},
	{`http://[::1/`, "unparsable"},
	{`http://::1/`, "unparsable"},
	{`http://[1.2.3.4]/`, "unparsable"},
	{`http://metadata/`, "single-label"},
	{`http://metadata.google.internal/`, "special-use"},
	{`http://instance-data/`, "single-label"},
	{`http://kubernetes.default.svc/`, "special-use"},
	{`http://redis:6379/`, "port-not-allowed"},
	{`http://printer.local/`, "special-use"},
	{`https://merchant.example.com/notify`, ""},
	{`https://pay.merchant.cn/notify?x=1`, ""},
	{`https://münchen-shop.de/n`, ""},
	{`https://xn--mnchen-shop-9db.de/n`, ""},
	{`https://8.8.8.8/n`, ""},
	{`https://[2606:4700:4700::1111]/n`, ""},
	{`https://pay.merchant.cn:22/n`, "port-not-allowed"},
	{`https://pay.merchant.cn:6379/n`, "port-not-allowed"},
	{`https://pay.merchant.cn:8443/n`, ""},
	{`https://pay.merchant.cn/n#frag`, "fragment"},
	{`http://pay.merchant.cn/n`, ""},
	{`https://169.254.169.254.nip.io/`, ""},
	{`https://[64:ff9b::a9fe:a9fe]/`, "ip-denied"},
	{`https://[2002:7f00:1::]/`, "ip-denied"},
	{`https://pay.merchant.cn./n`, ""},
	{`https://foo.cluster.local/`, "special-use"},
}

func TestCheckURLForms(t *testing.T) {
	var r Rules
	if len(urlForms) != 106 {
		t.Fatalf("the table has %d forms, want 106", len(urlForms))
	}
	for _, tt := range urlForms {
		target, err := r.CheckURL(tt.raw)
		var got string
		if err != nil {
			got = string(err.Rule)
			if err.Cure == "" || strings.Contains(err.Error(), tt.raw) {
				t.Errorf("%q: no cure, or the URL is repeated: %v", tt.raw, err)
			}
		}
		if got != tt.rule {
			t.Errorf("%q: got rule %q (%+v), want %q", tt.raw, got, target, tt.rule)
		}
	}
}

// moreURLs are the rules that the forms above do not reach, each under the rules given.
var moreURLs = []struct {
	name  string
	rules Rules
	raw   string
	rule  string
}{
	{"longest", Rules{}, "https://a.example.com/" + strings.Repeat("x", URLCharsMax-22), ""},
	{"too long", Rules{}, "https://a.example.com/" + strings.Repeat("x", URLCharsMax-21), "too-long"},
	{"characters, not bytes", Rules{}, "https://a.example.com/" + strings.Repeat("é", URLCharsMax-22), ""},
	{"empty", Rules{}, "", "scheme"},
	{"DEL", Rules{}, "https://a.example.com/\x7f", "illegal-char"},
	{"invalid UTF-8", Rules{}, "https://a.example.com/\xff", "illegal-char"},
	{"empty userinfo", Rules{}, "https://@a.example.com/", "userinfo"},
	{"empty fragment", Rules{}, "https://a.example.com/#", "fragment"},
	{"bad escape in the path", Rules{}, "https://a.example.com/%zz", "unparsable"},
	{"cut escape in the path", Rules{}, "https://a.example.com/%2", "unparsable"},
	{"any percent in the query", Rules{}, "https://a.example.com/?%zz", ""},
	{"bad escape in the host", Rules{}, "https://a%zz.example.com/", "unparsable"},
	{"escaped name", Rules{}, "https://%70ay.example.com/n", ""},
	{"escaped UTF-8 name", Rules{}, "https://m%C3%BCnchen-shop.de/n", ""},
	{"escaped invalid UTF-8", Rules{}, "https://m%FFnchen-shop.de/n", "unparsable"},
	{"escaped dot", Rules{}, "http://127%2e0.0.1/", "ip-denied"},
	{"escaped full-width dot", Rules{}, "http://127%E3%80%820.0.1/", "ip-denied"},
	{"escaped percent", Rules{}, "http://127.0.0.1%2525/", "unparsable"},
	{"empty label", Rules{}, "https://a..example.com/", "bad-host"},
	{"two trailing dots", Rules{}, "https://example.com../", "bad-host"},
	{"only a dot", Rules{}, "https://./", "bad-host"},
	{"hyphens inside", Rules{}, "https://r3---sn-x.example.com/", ""},
	{"hyphen at the end", Rules{}, "https://bad-.example.com/", "bad-host"},
	{"63 characters", Rules{}, "https://" + strings.Repeat("a", 63) + ".com/", ""},
	{"punycode of ASCII", Rules{}, "https://xn--localhost-.com/", "bad-host"},
	{"hex label", Rules{}, "https://shop.0x7f/", "numeric-host"},
	{"bare 0x", Rules{}, "https://shop.0x/", "numeric-host"},
	{"hex-looking name", Rules{}, "https://shop.0xg.com/", ""},
	{"uncompressed IPv6", Rules{}, "https://[2606:4700:4700:0:0:0:0:1111]/", ""},
	{"mapped public", Rules{}, "https://[::ffff:1.1.1.1]/", ""},
	{"zone on a public address", Rules{}, "https://[2606:4700:4700::1111%25eth0]/", "ip-denied"},
	{"empty zone", Rules{}, "https://[2606:4700:4700::1111%25]/", "unparsable"},
	{"junk behind brackets", Rules{}, "https://[2606:4700:4700::1111]x/", "unparsable"},
	{"port over 65535", Rules{Dev: true}, "https://a.example.com:99999999999999999999/", "port"},
	{"ports given", Rules{Ports: []uint16{9443}}, "https://a.example.com:9443/", ""},
	{
		"ports given close the default",
		Rules{Ports: []uint16{9443}},
		"https://a.example.com/",
		"port-not-allowed",
	},
	{"https required", Rules{RequireHTTPS: true}, "http://a.example.com/", "https-required"},
	{"https given", Rules{RequireHTTPS: true}, "https://a.example.com/", ""},
	{"dev: any port", Rules{Dev: true}, "http://127.0.0.1:6379/", ""},
	{"dev: localhost", Rules{Dev: true}, "http://localhost:3000/", ""},
	{"dev: single label", Rules{Dev: true}, "http://shop:3000/", ""},
	{"dev: special use", Rules{Dev: true}, "http://host.docker.internal/", ""},
	{"dev: IPv6 loopback", Rules{Dev: true}, "http://[::1]:3000/", ""},
	{"dev: still no numeric host", Rules{Dev: true}, "http://127.1/", "numeric-host"},
	{"dev: still no zone", Rules{Dev: true}, "http://[fe80::1%25eth0]/", "ip-denied"},
	{"dev: deny wins", Rules{Dev: true, DenyCIDRs: prefixes("127.0.0.0/8")}, "http://127.0.0.1/", "ip-denied"},
	{"allow opens a literal", Rules{AllowCIDRs: prefixes("10.0.0.0/8")}, "http://10.0.0.1/", ""},
	{"our own listener", Rules{Dev: true, Own: func() []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080")}
	}}, "http://127.0.0.1:8080/", "ip-denied"},
}

func TestCheckURLMore(t *testing.T) {
	for _, tt := range moreURLs {
		_, err := tt.rules.CheckURL(tt.raw)
		var got string
		if err != nil {
			got = string(err.Rule)
		}
		if got != tt.rule {
			t.Errorf("%s: %q: got %q, want %q", tt.name, tt.raw, got, tt.rule)
		}
	}
}

func TestEveryRuleHasACure(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range urlForms {
		seen[tt.rule] = true
	}
	for _, tt := range moreURLs {
		seen[tt.rule] = true
	}
	for rule, cure := range cures {
		if cure == "" || !strings.HasSuffix(cure, ".") {
			t.Errorf("%s: the cure %q is no sentence", rule, cure)
		}
		if !seen[string(rule)] {
			t.Errorf("%s: no URL in the tables breaks it", rule)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, tt := range []struct {
		raw, scheme, host, header, uri string
		port                           uint16
	}{
		{"https://pay.example.com", "https", "pay.example.com", "pay.example.com", "/", 443},
		{
			"HTTPS://Pay.Example.com./N?x=1&Y=%2f", "https", "pay.example.com", "pay.example.com", "/N?x=1&Y=%2f",
			443,
		},
		{"http://pay.example.com?x", "http", "pay.example.com", "pay.example.com", "/?x", 80},
		{
			"http://pay.example.com:8080//a/../b;c", "http", "pay.example.com", "pay.example.com:8080", "//a/../b;c",
			8080,
		},
		{"https://pay.example.com:443/n", "https", "pay.example.com", "pay.example.com", "/n", 443},
		{"http://pay.example.com:443/n", "http", "pay.example.com", "pay.example.com:443", "/n", 443},
		{"https://münchen-shop.de/ü?ü", "https", "xn--mnchen-shop-thb.de", "xn--mnchen-shop-thb.de", "/ü?ü", 443},
		{
			"https://[2606:4700:4700:0::1111]:8443/", "https", "2606:4700:4700::1111", "[2606:4700:4700::1111]:8443",
			"/", 8443,
		},
		{"https://[::ffff:1.1.1.1]/", "https", "1.1.1.1", "1.1.1.1", "/", 443},
		{"https://8.8.8.8./?", "https", "8.8.8.8", "8.8.8.8", "/?", 443},
	} {
		target, err := new(Rules).CheckURL(tt.raw)
		if err != nil {
			t.Errorf("%q: %v", tt.raw, err)
			continue
		}
		if target.Scheme != tt.scheme || target.Host != tt.host || target.HostHeader != tt.header ||
			target.RequestURI != tt.uri || target.Port != tt.port || target.Secure() != (tt.scheme == "https") {
			t.Errorf("%q: got %+v, want %+v", tt.raw, target, tt)
		}
	}
}

// FuzzCheckURL: never a panic, and whatever is accepted is a clean target that the dial rules know how to
// judge.
func FuzzCheckURL(f *testing.F) {
	for _, tt := range urlForms {
		f.Add(tt.raw, false)
	}
	for _, tt := range moreURLs {
		f.Add(tt.raw, tt.rules.Dev)
	}
	f.Fuzz(func(t *testing.T, raw string, dev bool) {
		r := Rules{Dev: dev}
		target, uerr := r.CheckURL(raw)
		if uerr != nil {
			if cures[uerr.Rule] != uerr.Cure {
				t.Errorf("%q: rule %q is unknown", raw, uerr.Rule)
			}
			return
		}
		if !r.portAllowed(target.Port) || target.Port == 0 {
			t.Errorf("%q: port %d", raw, target.Port)
		}
		if a, err := netip.ParseAddr(target.Host); err == nil {
			if a != target.addr || r.CheckAddr(a) != nil {
				t.Errorf("%q: literal %v was accepted", raw, a)
			}
		} else if !validName(target.Host) || target.addr.IsValid() {
			t.Errorf("%q: host %q", raw, target.Host)
		}
		if !strings.HasPrefix(target.RequestURI, "/") ||
			!strings.HasSuffix(raw, strings.TrimPrefix(target.RequestURI, "/")) {
			t.Errorf("%q: request target %q is not what was written", raw, target.RequestURI)
		}
		req := Request{Target: target}
		head := string(req.append(nil, "x"))
		if err := req.check(); err != nil || strings.Count(head, "\r\n\r\n") != 1 ||
			strings.Count(head, "\r\nHost: ") != 1 {
			t.Errorf("%q: the request is %q, %v", raw, head, err)
		}
		again, uerr := r.CheckURL(target.Scheme + "://" + target.HostHeader + target.RequestURI)
		if uerr != nil || *again != *target {
			t.Errorf("%q: its target %+v checked again gives %+v, %v", raw, target, again, uerr)
		}
	})
}
