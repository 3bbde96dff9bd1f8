package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// curlArgumentMax is below the 128 KiB that Linux allows one argument of a program; longer bodies go
	// through a pipe.
	curlArgumentMax = 96 << 10
	// curlExpectMin is the size of a body from which some versions of curl ask with "Expect: 100-continue".
	curlExpectMin = 1 << 10
)

// Curl writes a request as one command for a POSIX shell with curl, which then sends it byte for byte:
// same target, same headers in the same order, same body.
func (r *RequestView) Curl() string {
	var b strings.Builder
	body := "@-"
	switch {
	case r.Method == "GET":
		body = ""
	case len(r.BodyBase64) <= curlArgumentMax && quotable(r.BodyBase64) &&
		!bytes.HasPrefix(r.BodyBase64, []byte("@")): // curl would read a file
		body = shellWord(string(r.BodyBase64))
	default:
		fmt.Fprintf(&b, "printf %%s '%s' | base64 -d | ", base64.StdEncoding.EncodeToString(r.BodyBase64))
	}
	fmt.Fprintf(&b, "curl -X %s %s", r.Method, shellWord(r.URL))
	b.WriteString(curlAsIs(r.URL))
	typed := false
	for _, h := range r.Headers {
		typed = typed || strings.EqualFold(h.Name, "Content-Type")
		if h.Value == "" {
			b.WriteString(" -H " + shellWord(h.Name+";")) // curl's way to send an empty one
			continue
		}
		b.WriteString(" -H " + shellWord(h.Name+": "+h.Value))
	}
	if body == "" {
		return b.String()
	}
	if !typed {
		b.WriteString(" -H 'Content-Type:'") // curl would add its own
	}
	if len(r.BodyBase64) >= curlExpectMin {
		b.WriteString(" -H 'Expect:'")
	}
	return b.String() + " --data-binary " + body
}

// curlAsIs is what keeps curl from changing a URL, or from another version of HTTP, where it would.
func curlAsIs(address string) (flags string) {
	scheme, rest, _ := strings.Cut(address, "://")
	_, target, _ := strings.Cut(rest, "/")
	path, _, _ := strings.Cut(target, "?")
	if scheme == "https" {
		flags += " --http1.1"
	}
	if strings.ContainsAny(address, "[]{}") {
		flags += " --globoff"
	}
	if strings.Contains(strings.ReplaceAll(strings.ToLower("/"+path), "%2e", "."), "/.") {
		flags += " --path-as-is"
	}
	if strings.ContainsFunc(target, func(c rune) bool { return c >= utf8.RuneSelf }) {
		flags += " --request-target " + shellWord("/"+target) // curl would percent-encode it
	}
	return flags
}

// quotable reports whether bytes are a text that survives single quotes, a terminal and a clipboard.
func quotable(b []byte) bool {
	return utf8.Valid(b) && strings.IndexFunc(string(b), func(c rune) bool {
		return !unicode.IsPrint(c) && c != '\n' && c != '\t'
	}) < 0
}

// shellWord quotes a text as one word of a POSIX shell. What a terminal would act on is written in octal;
// such a text must not end in a newline or hold a NUL, which neither URLs nor headers do.
func shellWord(text string) string {
	if quotable([]byte(text)) {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || strings.IndexByte(`'\%`, c) >= 0 {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return `"$(printf '` + b.String() + `')"`
}
