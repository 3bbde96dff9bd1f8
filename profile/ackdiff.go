package profile

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"paynotify/store"
)

// DiffKind says what became of a part of a reply when it was set beside the expected one.
type DiffKind string

// The kinds of parts. A reply is its parts without the missing ones; the expected reply is those that are
// same or missing.
const (
	DiffSame    DiffKind = "same"    // stands in both
	DiffIgnored DiffKind = "ignored" // white space or a byte order mark that the merchant's rule does not count
	DiffExtra   DiffKind = "extra"   // must not stand there
	DiffMissing DiffKind = "missing" // should stand there
)

// DiffPart is a stretch of a reply, or of the expected one, whose characters are all of one kind.
type DiffPart struct {
	Kind DiffKind
	Raw  []byte // never empty
	At   int    // offset in the reply, in bytes; of a missing part where it should begin
}

// ExpectedReply is the shortest common body that counts as an acknowledgement under the rule; nil where the
// status alone decides.
func ExpectedReply(ack store.Ack) []byte {
	switch ack.Match {
	case matchStatus:
		return nil
	case matchXML:
		return []byte("<xml><return_code><![CDATA[" + ack.Text + "]]></return_code></xml>")
	case matchJSONPath:
		if doc, ok := documentWith(ack.Path, ack.Text); ok {
			return doc
		}
	}
	return []byte(ack.Text)
}

// documentWith is the smallest JSON document that has the text at the path. Elements before one that the path
// names are null, so an index that is out of all proportion gives no document.
func documentWith(path, text string) (doc []byte, ok bool) {
	const indexMax = 8
	steps, err := parsePath(path)
	if err != nil {
		return nil, false
	}
	if doc, err = jsontext.AppendQuote(nil, text); err != nil {
		return nil, false
	}
	for i := len(steps) - 1; i >= 0; i-- {
		s := steps[i]
		switch {
		case s.index > indexMax:
			return nil, false
		case s.index >= 0:
			doc = []byte("[" + strings.Repeat("null,", s.index) + string(doc) + "]")
		default:
			name, err := jsontext.AppendQuote(nil, s.member)
			if err != nil {
				return nil, false
			}
			doc = []byte("{" + string(name) + ":" + string(doc) + "}")
		}
	}
	return doc, true
}

// AckDiff sets a reply beside the expected one, for people: what is the same, what must not be there, what is
// missing, and what the rule forgives. It is nil where no text is expected. The judgement is Judge's alone;
// a document with other white space or more members may differ here and be acknowledged all the same. The
// time it takes grows with the product of both lengths: give it what is kept of a reply, not more.
func AckDiff(ack store.Ack, reply []byte) []DiffPart {
	want := ExpectedReply(ack)
	if len(want) == 0 {
		return nil
	}
	inner := reply
	if ack.Match != matchExact {
		inner = trimAck(reply)
	}
	before := cap(reply) - cap(inner) // inner is a part of reply: where it begins
	d := differ{fold: ack.Match == matchTrimFold}
	d.add(DiffIgnored, reply[:before])
	d.compare(characters(want), characters(inner))
	d.add(DiffIgnored, reply[before+len(inner):])
	return d.parts
}

// differ collects the parts of a comparison.
type differ struct {
	fold  bool // letters of ASCII are the same in either case
	parts []DiffPart
	at    int
}

func (d *differ) add(kind DiffKind, raw []byte) {
	if len(raw) == 0 {
		return
	}
	d.parts = append(d.parts, DiffPart{Kind: kind, Raw: raw, At: d.at})
	if kind != DiffMissing {
		d.at += len(raw)
	}
}

// compare finds the longest run that both have, and goes on at either side of it. A run shorter than half of
// the shorter one is chance: in a page of HTML some letters of any word stand next to each other.
func (d *differ) compare(want, got [][]byte) {
	inWant, inGot, length := d.longestRun(want, got)
	if length == 0 || 2*length < min(len(want), len(got)) {
		d.add(DiffMissing, bytes.Join(want, nil))
		d.add(DiffExtra, bytes.Join(got, nil))
		return
	}
	d.compare(want[:inWant], got[:inGot])
	d.add(DiffSame, bytes.Join(got[inGot:inGot+length], nil))
	d.compare(want[inWant+length:], got[inGot+length:])
}

// longestRun is the first longest run of characters that stands in both.
func (d *differ) longestRun(want, got [][]byte) (inWant, inGot, length int) {
	ending := make([]int, len(want)+1) // length of the run that ends before want[i] and the present place in got
	for g := range got {
		for w := len(want) - 1; w >= 0; w-- { // downwards: ending[w] is still that of the place before
			if !d.same(want[w], got[g]) {
				ending[w+1] = 0
				continue
			}
			ending[w+1] = ending[w] + 1
			if ending[w+1] > length {
				length = ending[w+1]
				inWant, inGot = w+1-length, g+1-length
			}
		}
	}
	return inWant, inGot, length
}

func (d *differ) same(a, b []byte) bool {
	return bytes.Equal(a, b) || d.fold && len(a) == 1 && len(b) == 1 && lower(a[0]) == lower(b[0])
}

// characters cuts bytes into characters; a byte that is no UTF-8 is one of its own.
func characters(raw []byte) (list [][]byte) {
	for len(raw) > 0 {
		_, size := utf8.DecodeRune(raw)
		list = append(list, raw[:size])
		raw = raw[size:]
	}
	return list
}

// Visible writes bytes so that a person sees all of them: blanks, line ends and characters without ink have a
// sign of their own. The result is safe for a terminal.
func Visible(raw []byte) string { return strings.Join(Glyphs(raw), "") }

// Glyphs is Visible with one element a character, so that what a sign stands for can be marked.
func Glyphs(raw []byte) (signs []string) {
	for _, c := range characters(raw) {
		signs = append(signs, glyph(c))
	}
	return signs
}

func glyph(character []byte) string {
	r, _ := utf8.DecodeRune(character)
	switch {
	case r == utf8.RuneError && len(character) == 1:
		return fmt.Sprintf(`\x%02x`, character[0])
	case r == ' ':
		return "·"
	case r == '\n':
		return "↵"
	case r == '\r':
		return "␍"
	case r == '\t':
		return "⇥"
	case r == '\ufeff':
		return "⟨BOM⟩"
	case r < 0x20 || r == 0x7f:
		return fmt.Sprintf(`\x%02x`, r)
	case !unicode.IsPrint(r):
		return fmt.Sprintf("⟨U+%04X⟩", r)
	}
	return string(r)
}
