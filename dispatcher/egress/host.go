package egress

import (
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// The limits of DNS (RFC 1035), without the trailing dot.
const (
	hostCharsMax  = 253
	labelCharsMax = 63
)

// specialUse lists endings that never lead to a merchant: special-use names (RFC 6761 and its registry),
// names reserved for private use, and the endings of cluster and office networks.
var specialUse = []string{
	"alt", "arpa", "consul", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local",
	"localdomain", "localhost", "onion", "private", "svc", "test",
}

// names maps a host to ASCII as browsers do (UTS-46, non-transitional, STD3). Hyphens are checked by
// validName, because UTS-46's rule refuses names that exist, like r3---sn-x.example.com.
var names = idna.New(
	idna.MapForLookup(),
	idna.BidiRule(),
	idna.Transitional(false),
	idna.StrictDomainName(true),
	idna.CheckHyphens(false),
)

// checkHost fills the target's host, or says which rule it breaks.
func (r *Rules) checkHost(t *Target, u parts) *URLError {
	if u.bracket {
		a, err := netip.ParseAddr(u.host)
		if err != nil || !a.Is6() {
			return refuse(RuleUnparsable)
		}
		return r.checkLiteral(t, a)
	}
	host, err := names.ToASCII(u.host)
	if err == nil && host != u.host {
		// The rules for right-to-left names are checked before the mapping, which may make such a name of one that
		// was none: what it made must be a name itself.
		_, err = names.ToASCII(host)
	}
	if err != nil {
		return refuse(RuleBadHost)
	}
	host = strings.TrimSuffix(host, ".")
	if !validName(host) {
		return refuse(RuleBadHost)
	}
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	if numericLabel(last) {
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Is4() {
			return refuse(RuleNumericHost)
		}
		return r.checkLiteral(t, a)
	}
	t.Host = host
	if r.Dev {
		return nil // its names are those of the developer's machine and containers
	}
	if len(labels) == 1 {
		return refuse(RuleSingleLabel)
	}
	if slices.Contains(specialUse, last) {
		return refuse(RuleSpecialUse)
	}
	return nil
}

func (r *Rules) checkLiteral(t *Target, a netip.Addr) *URLError {
	if r.checkDial(netip.AddrPortFrom(a, t.Port)) != nil {
		return refuse(RuleIPDenied)
	}
	t.addr = a.Unmap()
	t.Host = t.addr.String()
	return nil
}

// numericLabel reports whether resolvers in C would read a name with this last label as an IPv4 address.
func numericLabel(s string) bool {
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		s, digits = hex, "0123456789abcdef"
	}
	return strings.Trim(s, digits) == ""
}

// validName expects lower-case ASCII without the trailing dot.
func validName(host string) bool {
	if host == "" || len(host) > hostCharsMax {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > labelCharsMax || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// unescapeHost decodes percent-escapes in a host name. It reports false for a malformed escape and for one
// that decodes to what can stand in no host: hidden delimiters and control characters.
func unescapeHost(s *string) bool {
	if !strings.Contains(*s, "%") {
		return true
	}
	out := make([]byte, 0, len(*s))
	for i := 0; i < len(*s); i++ {
		c := (*s)[i]
		if c == '%' {
			d, ok := unhex(*s, i)
			if !ok || d <= 0x20 || d == 0x7f || strings.IndexByte(`%/\?#@:[]<>^|"`, d) >= 0 {
				return false
			}
			c, i = d, i+2
		}
		out = append(out, c)
	}
	*s = string(out)
	return utf8.ValidString(*s)
}

// unescapeZone decodes the one escape that an IPv6 literal may hold: %25 before its zone (RFC 6874). The zone
// itself is refused later, as an address and not as a typing error.
func unescapeZone(s *string) bool {
	addr, zone, found := strings.Cut(*s, "%")
	if !found {
		return true
	}
	zone, ok := strings.CutPrefix(zone, "25")
	if !ok || zone == "" || strings.Contains(zone, "%") {
		return false
	}
	*s = addr + "%" + zone
	return true
}

// validEscapes reports whether every % is followed by two hex digits.
func validEscapes(s string) bool {
	for i := range len(s) {
		if s[i] == '%' {
			if _, ok := unhex(s, i); !ok {
				return false
			}
		}
	}
	return true
}

// unhex reads the two hex digits behind s[i].
func unhex(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
	return hi<<4 | lo, hi < 16 && lo < 16
}

func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}
