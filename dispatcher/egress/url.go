package egress

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// URLCharsMax is the longest notify_url, in characters: what every server and proxy on the way takes.
const URLCharsMax = 2048

// URLRule names the rule that a URL breaks. The words are fixed; they appear in the API's answers.
type URLRule string

// The rules, in the order in which they are checked (as far as one URL can break several).
const (
	RuleTooLong        URLRule = "too-long"
	RuleIllegalChar    URLRule = "illegal-char"
	RuleUnparsable     URLRule = "unparsable"
	RuleScheme         URLRule = "scheme"
	RuleNoHost         URLRule = "no-host"
	RuleUserinfo       URLRule = "userinfo"
	RuleFragment       URLRule = "fragment"
	RuleHTTPSRequired  URLRule = "https-required"
	RulePort           URLRule = "port"
	RulePortNotAllowed URLRule = "port-not-allowed"
	RuleBadHost        URLRule = "bad-host"
	RuleNumericHost    URLRule = "numeric-host"
	RuleIPDenied       URLRule = "ip-denied"
	RuleSingleLabel    URLRule = "single-label"
	RuleSpecialUse     URLRule = "special-use"
)

// cures says, in one sentence per rule, what to write instead.
var cures = map[URLRule]string{
	RuleTooLong: "Use a URL of at most 2048 characters.",
	RuleIllegalChar: "Remove blanks, control characters, backslashes and invalid UTF-8, or percent-encode " +
		"them in the path or query.",
	RuleUnparsable: "Write it as http(s)://host[:port]/path[?query], with valid percent-escapes and " +
		"IPv6 in [brackets].",
	RuleScheme:        "Start it with https:// or http://.",
	RuleNoHost:        "Name the host right after the two slashes.",
	RuleUserinfo:      "Remove everything before the @ in front of the host.",
	RuleFragment:      "Remove the # and what follows it: a fragment is never sent to a server.",
	RuleHTTPSRequired: "Use https: this server is configured with egress.require_https.",
	RulePort: "Write the port as a plain decimal number from 1 to 65535 without a leading zero, " +
		"or leave it out.",
	RulePortNotAllowed: "Use one of the ports that egress.ports allows (80, 443, 8080 and 8443 unless " +
		"configured otherwise).",
	RuleBadHost: "Use a valid DNS name: labels of 1 to 63 letters, digits and inner hyphens, " +
		"253 characters in all.",
	RuleNumericHost: "Write an IPv4 address as four decimal numbers from 0 to 255 without leading " +
		"zeros, or use a name.",
	RuleIPDenied:    "Use a public address; an operator can open others with egress.allow_cidrs.",
	RuleSingleLabel: "Use the full public domain name, with at least one dot.",
	RuleSpecialUse:  "Use a public domain name: this ending never leads to a server on the internet.",
}

// URLError says which rule a URL breaks, and how to cure it.
type URLError struct {
	Rule URLRule // one of the constants
	Cure string  // one sentence
}

// Error is the rule and the cure; the URL itself is not repeated.
func (e *URLError) Error() string { return "URL refused (" + string(e.Rule) + "): " + e.Cure }

func refuse(rule URLRule) *URLError { return &URLError{Rule: rule, Cure: cures[rule]} }

// Target is a URL that passed the rules, parsed once and reused for every send. Only CheckURL makes one.
type Target struct {
	Scheme     string // "http" or "https"
	Host       string // ASCII, lower case, no trailing dot, no port; an IP literal without brackets, unmapped
	Port       uint16 // never 0
	HostHeader string // the value of the Host header: brackets for IPv6, the port unless it is the scheme's own
	RequestURI string // path and query, byte for byte as the caller wrote them; at least "/"

	addr   netip.Addr // of an IP literal; invalid for a name
	server string     // scheme://host:port, what a connection is good for
}

// Secure reports whether the target is reached over TLS.
func (t *Target) Secure() bool { return t.Scheme == "https" }

// CheckURL judges a URL at write time and takes it apart. It asks no DNS: what a name resolves to proves
// nothing about the next send and is judged at every dial.
func (r *Rules) CheckURL(raw string) (*Target, *URLError) {
	u, err := splitURL(raw)
	if err != nil {
		return nil, err
	}
	if r.RequireHTTPS && u.scheme != "https" {
		return nil, refuse(RuleHTTPSRequired)
	}
	port, err := u.portNumber()
	if err != nil {
		return nil, err
	}
	if !r.portAllowed(port) {
		return nil, refuse(RulePortNotAllowed)
	}
	t := &Target{Scheme: u.scheme, Port: port, RequestURI: u.requestURI()}
	if err := r.checkHost(t, u); err != nil {
		return nil, err
	}
	text := t.Host
	if t.addr.Is6() {
		text = "[" + text + "]"
	}
	withPort := text + ":" + strconv.Itoa(int(port))
	t.HostHeader, t.server = withPort, u.scheme+"://"+withPort
	if port == defaultPort(u.scheme) {
		t.HostHeader = text
	}
	return t, nil
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// parts is a URL cut at its delimiters; nothing is decoded yet.
type parts struct {
	scheme  string // lower case
	host    string // without brackets
	bracket bool   // it stood in brackets
	port    string // digits, or empty
	hasPort bool   // there was a colon
	rest    string // path and query
}

// splitURL cuts a URL with the strictness of this package alone: net/url knows neither percent-escapes in a
// host nor the difference between an empty userinfo and none.
func splitURL(raw string) (parts, *URLError) {
	var u parts
	if len(raw) > URLCharsMax && utf8.RuneCountInString(raw) > URLCharsMax {
		return u, refuse(RuleTooLong)
	}
	if !utf8.ValidString(raw) || strings.IndexFunc(raw, illegalInURL) >= 0 {
		return u, refuse(RuleIllegalChar)
	}
	raw, _, fragment := strings.Cut(raw, "#")
	scheme, rest, ok := strings.Cut(raw, ":")
	if !ok || !validScheme(scheme) {
		return u, refuse(RuleScheme)
	}
	u.scheme = strings.ToLower(scheme)
	authority, hasAuthority := strings.CutPrefix(rest, "//")
	if hasAuthority {
		end := strings.IndexAny(authority, "/?")
		if end < 0 {
			end = len(authority)
		}
		authority, u.rest = authority[:end], authority[end:]
	}
	at := strings.LastIndexByte(authority, '@')
	if hasAuthority && !u.splitHostPort(authority[at+1:]) {
		return u, refuse(RuleUnparsable)
	}
	path, _, _ := strings.Cut(u.rest, "?")
	switch {
	case u.scheme != "http" && u.scheme != "https":
		return u, refuse(RuleScheme)
	case !hasAuthority, u.host == "":
		return u, refuse(RuleNoHost)
	case at >= 0:
		return u, refuse(RuleUserinfo)
	case fragment:
		return u, refuse(RuleFragment)
	case !validEscapes(path):
		return u, refuse(RuleUnparsable)
	}
	return u, nil
}

func illegalInURL(c rune) bool { return c <= 0x20 || c == 0x7f || c == '\\' }

func validScheme(s string) bool {
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= s[i] && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// splitHostPort fills host and port and reports whether the authority has a shape at all.
func (u *parts) splitHostPort(s string) bool {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		u.bracket, u.host, s = true, s[1:end], s[end+1:]
		if s != "" && s[0] != ':' || !unescapeZone(&u.host) {
			return false
		}
		s, u.hasPort = strings.CutPrefix(s, ":")
		u.port = s
	} else {
		u.host, u.port, u.hasPort = strings.Cut(s, ":")
		if strings.ContainsAny(u.host, "[]") || !unescapeHost(&u.host) {
			return false
		}
	}
	for i := range len(u.port) {
		if u.port[i] < '0' || u.port[i] > '9' {
			return false
		}
	}
	return true
}

func (u *parts) portNumber() (uint16, *URLError) {
	if !u.hasPort {
		return defaultPort(u.scheme), nil
	}
	n, err := strconv.ParseUint(u.port, 10, 16)
	if err != nil || n == 0 || u.port[0] == '0' {
		return 0, refuse(RulePort)
	}
	return uint16(n), nil
}

func (u *parts) requestURI() string {
	if strings.HasPrefix(u.rest, "/") {
		return u.rest
	}
	return "/" + u.rest
}
