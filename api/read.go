package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"paynotify/profile"
)

// Limits of what a caller may send.
const (
	jsonLevelsMax      = 32              // real notifications nest 3 deep; every reader after us recurses
	bodyReadMin        = 5 * time.Second // for a body that trickles in…
	bodyReadPerSecond  = 512 << 10       // …and as long again as this many bytes a second take
	pooledBytesMax     = 128 << 10       // buffers beyond are not kept
	batchBytesMax      = 16 << 20
	managementBytesMax = 256 << 10 // bodies of all other routes
)

// reader reads one JSON document in one pass and strictly: RFC 8259 with unique names and valid UTF-8,
// nothing behind it, no unknown members. What cannot be read stops it (bad); what can be read but is wrong is
// collected (faults), so that a caller sees all of it at once.
type reader struct {
	body   []byte
	source bytes.Buffer
	dec    jsontext.Decoder
	bad    *Problem
	faults []profile.Fault
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// free returns the reader to the pool. Nothing read may alias its body any more.
func (r *reader) free() {
	if cap(r.body) > pooledBytesMax {
		return
	}
	r.bad, r.faults = nil, nil
	readers.Put(r)
}

// load takes in a request's body, at most limit bytes of it.
func (r *reader) load(w http.ResponseWriter, req *http.Request, limit int) *Problem {
	if req.ContentLength > int64(limit) {
		return tooLarge(limit)
	}
	wait := bodyWait(limit)
	if conn, ok := w.(interface{ SetReadDeadline(t time.Time) error }); ok {
		_ = conn.SetReadDeadline(time.Now().Add(wait)) // the server resets it for the next request
	}
	r.body = slices.Grow(r.body[:0], max(512, int(req.ContentLength)+1))
	for {
		n, err := req.Body.Read(r.body[len(r.body):cap(r.body)])
		r.body = r.body[:len(r.body)+n]
		switch {
		case len(r.body) > limit:
			return tooLarge(limit)
		case err == io.EOF:
			return nil
		case err != nil:
			return problem(SlugTimeout, "The body did not arrive whole within "+wait.String()+".")
		case len(r.body) == cap(r.body):
			r.body = slices.Grow(r.body, len(r.body))
		}
	}
}

// bodyWait is how long a body of at most limit bytes may take to arrive.
func bodyWait(limit int) time.Duration {
	return bodyReadMin + time.Duration(limit/bodyReadPerSecond)*time.Second
}

func tooLarge(limit int) *Problem {
	return problem(SlugTooLarge, "The body is larger than "+itoa(limit)+" bytes.")
}

// document reads the whole body: read takes the one value in it.
func (r *reader) document(read func()) *Problem {
	if r.bad = unreadable(r.body); r.bad != nil {
		return r.bad
	}
	r.source = *bytes.NewBuffer(r.body)
	r.dec.Reset(&r.source)
	read()
	if r.bad == nil {
		end := r.dec.InputOffset()
		if rest := bytes.TrimLeft(r.body[end:], " \t\r\n"); len(rest) > 0 {
			r.malformed(int64(len(r.body)-len(rest)), "there is something behind the document")
		}
	}
	return r.bad
}

// unreadable finds what the decoder would not explain: an empty body, a byte order mark, deep nesting.
func unreadable(body []byte) *Problem {
	switch {
	case len(bytes.TrimLeft(body, " \t\r\n")) == 0:
		return malformedAt(int64(len(body)), "the body is empty; send one JSON object")
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return malformedAt(0, "the body begins with a byte order mark; send UTF-8 without one")
	case bytes.HasPrefix(body, []byte("\xfe\xff")), bytes.HasPrefix(body, []byte("\xff\xfe")):
		return malformedAt(0, "the body is UTF-16; send UTF-8")
	}
	if at := tooDeep(body); at >= 0 {
		return malformedAt(int64(at), "more than "+itoa(jsonLevelsMax)+" levels of nesting")
	}
	return nil
}

// tooDeep tells where nesting exceeds jsonLevelsMax, or -1.
func tooDeep(body []byte) int {
	level, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if level++; level > jsonLevelsMax {
				return i
			}
		case c == '}' || c == ']':
			level--
		}
	}
	return -1
}

func malformedAt(offset int64, what string) *Problem {
	p := problem(SlugMalformedJSON, "At byte "+strconv.FormatInt(offset, 10)+": "+what+".")
	p.Offset = &offset
	return p
}

func (r *reader) malformed(offset int64, what string) {
	if r.bad == nil {
		r.bad = malformedAt(offset, what)
	}
}

// stop records why the decoder cannot go on.
func (r *reader) stop(err error) {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.malformed(int64(len(r.body)), "the document ends too early")
	case !errors.As(err, &syntax):
		r.malformed(r.dec.InputOffset(), "cannot be read")
	case errors.Is(err, jsontext.ErrDuplicateName):
		r.malformed(syntax.ByteOffset, fmt.Sprintf("member %.64q is there twice", syntax.JSONPointer.LastToken()))
	default:
		r.malformed(syntax.ByteOffset, strings.TrimPrefix(syntax.Err.Error(), "jsontext: "))
	}
}

// fault records something that is wrong.
func (r *reader) fault(location, message, cure string) {
	r.faults = append(r.faults, profile.Fault{Location: location, Message: message, Cure: cure})
}

// object reads an object whose members are all in names; member reads the value of the one it is called for.
// It reports whether there was an object at all.
func (r *reader) object(at string, names []string, member func(name string)) bool {
	if r.dec.PeekKind() != '{' {
		r.wrongKind(at, "an object")
		return false
	}
	if _, err := r.dec.ReadToken(); err != nil {
		r.stop(err)
		return false
	}
	for r.bad == nil && r.dec.PeekKind() != '}' {
		quoted, err := r.dec.ReadValue()
		if err != nil {
			r.stop(err)
			return false
		}
		name, known := knownName(quoted, names)
		if !known {
			r.unknown(at, name, names)
			r.skip()
			continue
		}
		member(name)
	}
	if r.bad == nil {
		if _, err := r.dec.ReadToken(); err != nil {
			r.stop(err)
		}
	}
	return r.bad == nil
}

// members reads an object with any member names.
func (r *reader) members(at string, member func(name string)) {
	if r.dec.PeekKind() != '{' {
		r.wrongKind(at, "an object")
		return
	}
	_, err := r.dec.ReadToken()
	for err == nil && r.bad == nil && r.dec.PeekKind() != '}' {
		var name jsontext.Token
		if name, err = r.dec.ReadToken(); err == nil {
			member(name.String())
		}
	}
	if err == nil && r.bad == nil {
		_, err = r.dec.ReadToken()
	}
	if err != nil {
		r.stop(err)
	}
}

// array reads an array; element reads one of its values.
func (r *reader) array(at string, element func(i int)) {
	if r.dec.PeekKind() != '[' {
		r.wrongKind(at, "an array")
		return
	}
	_, err := r.dec.ReadToken()
	for i := 0; err == nil && r.bad == nil && r.dec.PeekKind() != ']'; i++ {
		element(i)
	}
	if err == nil && r.bad == nil {
		_, err = r.dec.ReadToken()
	}
	if err != nil {
		r.stop(err)
	}
}

// knownName finds a quoted member name in names without allocating.
func knownName(quoted []byte, names []string) (string, bool) {
	inner := quoted[1 : len(quoted)-1]
	for _, n := range names {
		if string(inner) == n {
			return n, true
		}
	}
	plain, _ := jsontext.AppendUnquote(nil, quoted)
	i := slices.Index(names, string(plain)) // the same name, written with escapes
	return string(plain), i >= 0
}

func (r *reader) unknown(at, name string, names []string) {
	r.faults = append(r.faults, unknownName(at, name, "field", names))
}

func unknownName(at, name, kind string, names []string) profile.Fault {
	shown := name
	if len(shown) > 64 {
		shown = strings.ToValidUTF8(shown[:64], "") + "…"
	}
	f := profile.Fault{Location: at + "." + shown, Message: "unknown " + kind}
	switch near := nearest(name, names); {
	case near != "":
		f.Cure = "did you mean " + near + "?"
	case len(names) == 0:
		f.Cure = "remove it; there is none here"
	default:
		f.Cure = "remove it; known here: " + strings.Join(names, ", ")
	}
	return f
}

// wrongKind records that the next value is not what it should be, and skips it.
func (r *reader) wrongKind(at, want string) {
	if at == "body" {
		r.fault(at, "must be "+want, "send one JSON object")
	} else {
		r.fault(at, "must be "+want, "give "+want)
	}
	r.skip()
}

func (r *reader) skip() {
	if r.bad != nil {
		return
	}
	if err := r.dec.SkipValue(); err != nil {
		r.stop(err)
	}
}

// null consumes a null if that is what comes next.
func (r *reader) null() bool {
	if r.bad != nil || r.dec.PeekKind() != 'n' {
		return false
	}
	r.skip()
	return r.bad == nil
}

// text reads a string.
func (r *reader) text(at string) string {
	if r.dec.PeekKind() != '"' {
		r.wrongKind(at, "a string")
		return ""
	}
	t, err := r.dec.ReadToken()
	if err != nil {
		r.stop(err)
		return ""
	}
	return t.String()
}

// optionalText reads a string; null means absent.
func (r *reader) optionalText(at string) string {
	if r.null() {
		return ""
	}
	return r.text(at)
}

// boolean reads true or false.
func (r *reader) boolean(at string) bool {
	switch r.dec.PeekKind() {
	case 't':
		r.skip()
		return r.bad == nil
	case 'f':
		r.skip()
	default:
		r.wrongKind(at, "true or false")
	}
	return false
}

// number reads a number as its literal text.
func (r *reader) number(at string) string {
	if r.dec.PeekKind() != '0' {
		r.wrongKind(at, "a number")
		return ""
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		r.stop(err)
		return ""
	}
	return string(v)
}

// integer reads a whole number from lo to hi.
func (r *reader) integer(at string, lo, hi int) int {
	before := len(r.faults)
	text := r.number(at)
	n, err := strconv.Atoi(text)
	if len(r.faults) == before && r.bad == nil && (err != nil || n < lo || n > hi) {
		r.fault(at, "must be a whole number from "+itoa(lo)+" to "+itoa(hi), "give one, or leave it out")
	}
	return n
}

// compact reads an object as it stands: members in their order, numbers as written, without white space.
func (r *reader) compact(at string) []byte {
	if r.dec.PeekKind() != '{' {
		r.wrongKind(at, "an object")
		return nil
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		r.stop(err)
		return nil
	}
	out := make([]byte, 0, len(v))
	for i, start := 0, 0; i <= len(v); i++ {
		switch {
		case i == len(v):
			out = append(out, v[start:]...)
		case v[i] == '"':
			for i++; v[i] != '"'; i++ {
				if v[i] == '\\' {
					i++
				}
			}
		case v[i] == ' ', v[i] == '\n', v[i] == '\r', v[i] == '\t':
			out = append(out, v[start:i]...)
			start = i + 1
		}
	}
	return out
}

// instant reads an RFC 3339 time.
func (r *reader) instant(at string) *time.Time {
	if r.null() {
		return nil
	}
	before := len(r.faults)
	text := r.text(at)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		if len(r.faults) == before {
			r.fault(at, "is no RFC 3339 time", "write it like 2026-11-21T10:42:07Z, with a zone")
		}
		return nil
	}
	return &t
}
