package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"paynotify/api"
)

// checkCurlFlags refuses flags of show that say nothing together.
func checkCurlFlags(cmd *cobra.Command, curl bool, attempt int) error {
	given := cmd.Flags().Changed("attempt")
	switch {
	case given && !curl:
		p := usagef("--attempt goes with --curl")
		p.do = "leave it out: show prints every attempt"
		return p
	case given && attempt < 1:
		return usagef("--attempt %d: attempts are numbered from 1", attempt)
	case curl && wantsJSON(cmd):
		p := usagef("--curl prints a command, which is no JSON")
		p.do = "leave one of --curl and --json out; the evidence of the HTTP API has the request as JSON"
		return p
	}
	return nil
}

// showCurl prints the request of an attempt, 0 for the last, nothing else on stdout: a shell may read it.
func showCurl(cmd *cobra.Command, c *client, notifyID string, attempt int) error {
	r := get("v1", "notifications", notifyID, "evidence")
	if attempt > 0 {
		r.query = url.Values{"attempt": {strconv.Itoa(attempt)}}
	}
	var v api.EvidenceView
	if _, err := c.do(cmd.Context(), r, &v); err != nil {
		return err
	}
	if len(v.Attempts) == 0 {
		p := &problem{code: exitNotFound, what: "there is no attempt yet, so there is no request"}
		if v.Shrunk {
			p.what = "retention has dropped the attempts, and the parameters that requests were made of"
		}
		return p
	}
	a := &v.Attempts[len(v.Attempts)-1]
	if a.Request == nil {
		return &problem{
			code: exitNotFound, what: fmt.Sprintf("the request of attempt %d cannot be shown", a.N),
			why: deref(a.RequestMissing), do: "try another attempt with --attempt N",
		}
	}
	if a.RequestNote != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", *a.RequestNote)
	}
	for _, h := range a.Request.Headers {
		if h.Value == api.Masked {
			fmt.Fprintf(cmd.ErrOrStderr(), "note: the value of header %s is a secret; put it in place of %s\n",
				printable(h.Name), api.Masked)
		}
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), curlCommand(a.Request))
	return err
}

const (
	// curlArgumentMax is below the 128 KiB that Linux allows one argument of a program; longer bodies go
	// through a pipe.
	curlArgumentMax = 96 << 10
	// curlExpectMin is the size of a body from which some versions of curl ask with "Expect: 100-continue".
	curlExpectMin = 1 << 10
)

// curlCommand writes a request as one command for a POSIX shell with curl, which then sends it byte for byte:
// same target, same headers in the same order, same body.
func curlCommand(r *api.RequestView) string {
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
