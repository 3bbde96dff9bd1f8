package profile

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"paynotify/store"
)

// A merchant may have headers of its own: what its gateway wants to see before it lets a request through,
// such as Authorization for basic and bearer auth. They are sent as given, behind the profile's, and signed
// by nothing. Their values are secrets: sealed where they are kept, and never shown.

// Limits of a merchant's own headers. Servers bound the head of a request, many at 8 KiB a line.
const (
	OwnHeadersMax      = 32
	OwnHeaderBytesMax  = 4 << 10 // of one value
	OwnHeadersBytesMax = 8 << 10 // of all names and values
	ownHeaderNameMax   = 128
)

// headersTaken are the headers that something else writes, or that would change how a request is framed,
// repeated or passed on.
var headersTaken = []string{
	"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection", "Keep-Alive", "Transfer-Encoding",
	"Trailer", "TE", "Upgrade", "Expect", "Cookie", "Idempotency-Key", "X-Idempotency-Key", "Date", "Via",
	"Forwarded",
	headerTimestamp, headerNonce, headerSignature,
}

// headerTaken reports whether a header means something in every request.
func headerTaken(name string) bool {
	low := strings.ToLower(name)
	return listed(headersTaken, name) || strings.HasPrefix(low, "content-") || strings.HasPrefix(low, "proxy-")
}

// listed reports whether a header is among others, whatever its letter case.
func listed(names []string, name string) bool {
	return slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(name, other) })
}

// signaturePrefixes begin the headers in which providers sign: beside ours, a receiver could take another for
// the signature.
var signaturePrefixes = []string{"x-notify-", "webhook-", "svix-", "wechatpay-"}

// checkHeaders checks the names of a merchant's own headers, of which what the profile sends depends on the
// other settings. CheckHeaderValue has seen the values.
func checkHeaders(p *Profile, m *store.Merchant) (faults []Fault) {
	if len(m.Headers) > OwnHeadersMax {
		faults = append(faults, Fault{
			Location: "body.headers", Message: fmt.Sprintf("there are %d headers", len(m.Headers)),
			Cure: fmt.Sprintf("give at most %d", OwnHeadersMax),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		if message, cure := headerNameFault(p, m, name); message != "" {
			faults = append(faults, Fault{Location: HeaderAt(name), Message: message, Cure: cure})
		}
	}
	return faults
}

func headerNameFault(p *Profile, m *store.Merchant, name string) (message, cure string) {
	low := strings.ToLower(name)
	switch {
	case len(name) > ownHeaderNameMax:
		return "the name is too long", fmt.Sprintf("give at most %d characters", ownHeaderNameMax)
	case !isToken(name):
		return quote(name) + " is no header name", "use letters, digits and hyphens"
	case headerTaken(name):
		return "header " + quote(name) + " means something else in every request", "leave it out"
	case listed(p.Headers, name), strings.EqualFold(optionText(m, optionSignatureHeader, ""), name),
		slices.ContainsFunc(signaturePrefixes, func(prefix string) bool { return strings.HasPrefix(low, prefix) }):
		return "header " + quote(name) + " is one that signatures travel in", "take another name"
	}
	return "", ""
}

// isToken reports whether text is a token (RFC 9110, section 5.6.2).
func isToken(text string) bool {
	for i := range len(text) {
		if !nameByte[text[i]] && strings.IndexByte("!#$%&'*+-.^`|~", text[i]) < 0 {
			return false
		}
	}
	return text != ""
}

// CheckHeaderValue says what is wrong with the value of a merchant's own header, with nothing of the value in
// it; both texts are empty when nothing is.
func CheckHeaderValue(value string) (message, cure string) {
	switch {
	case value == "":
		return "it is empty", "give a value, or null to take the header away"
	case len(value) > OwnHeaderBytesMax:
		return "the value is too long", fmt.Sprintf("give at most %d characters", OwnHeaderBytesMax)
	case strings.Trim(value, " \t") != value:
		return "the value begins or ends with a blank", "take the blanks off"
	}
	for i := range len(value) {
		switch c := value[i]; {
		case c == '\r' || c == '\n':
			return "the value holds a line break", "give it on one line"
		case (c < ' ' && c != '\t') || c > '~':
			return fmt.Sprintf("the value holds the byte 0x%02x", c), "use visible ASCII characters and blanks"
		}
	}
	return "", ""
}

// HeaderAt is the location of one of a merchant's own headers in a request.
func HeaderAt(name string) string { return "body.headers." + cutName(name) }

// OpenHeaders opens a merchant's own headers, in the order in which they are sent: by name. Errors of open
// come back wrapped; none contains a byte of a value.
func OpenHeaders(m *store.Merchant, open Opener) ([]Header, error) {
	var headers []Header
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		sealed, err := base64.StdEncoding.DecodeString(m.Headers[name])
		if err != nil {
			return nil, fmt.Errorf("header %s: its sealed value is no base64", name)
		}
		value, err := open(m.MchID, store.HeaderKeyID(name), sealed)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		headers = append(headers, Header{Name: name, Value: string(value)})
	}
	return headers, nil
}

// HeadersGoTo reports whether a send to this scheme and host carries the merchant's own headers, given those
// of its notify_url. Who may name another notify_url for a notification must not learn the headers by naming
// a host of their own: they go to the merchant's host, never with less protection, and to options.hosts.
func HeadersGoTo(m *store.Merchant, ownScheme, ownHost, scheme, host string) bool {
	if ownScheme == "https" && scheme != "https" {
		return false
	}
	_, limited := m.Options["hosts"]
	return strings.EqualFold(host, ownHost) || limited && HostAllowed(m, host)
}
