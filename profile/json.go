package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The JSON that we send is a fixed point of JavaScript's JSON.stringify(JSON.parse(body)): merchants whose
// framework hands them a parsed body write it out again before they verify it. So it is compact, members
// stand in order, and strings escape what JSON.stringify escapes and nothing else: not `/`, `<`, `>`, `&` or
// U+2028, which other encoders do. What no encoder can keep (numbers beyond 2^53−1, integer-like names) is
// refused at accept; see checkJSON.

// jsonLevelsMax bounds how deep lists and objects may stand in each other, in one parameter: the API takes no
// deeper request.
const jsonLevelsMax = 32

var errJSONLevels = fmt.Errorf("more than %d levels of lists and objects", jsonLevelsMax)

// jsonEscape is what a byte of a string is escaped as; 0 stands for itself, 'u' is written as \u00xx.
var jsonEscape = func() (set [utf8.RuneSelf]byte) {
	for c := range ' ' {
		set[c] = 'u'
	}
	set['\b'], set['\f'], set['\n'], set['\r'], set['\t'] = 'b', 'f', 'n', 'r', 't'
	set['"'], set['\\'] = '"', '\\'
	return set
}()

const lowerHex = "0123456789abcdef"

// appendText writes a JSON string. The text must be valid UTF-8.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf || jsonEscape[c] == 0 {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		b = append(b, '\\', jsonEscape[c])
		if jsonEscape[c] == 'u' {
			b = append(b, '0', '0', lowerHex[c>>4], lowerHex[c&15])
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// appendMember writes one member that is a string, with a comma before it unless it is the first of its
// object.
func appendMember(b []byte, name, text string) []byte {
	return appendText(appendName(b, name), text)
}

func appendName(b []byte, name string) []byte {
	if len(b) == 0 || b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(appendText(b, name), ':')
}

// appendDefaults writes a dialect's own members, but for empty ones and those that the caller gives: these
// stand where the caller put them. appendMembers comes next.
func appendDefaults(b []byte, defaults []Field, ps Params) []byte {
	for _, d := range defaults {
		if _, given := ps.Get(d.Name); !given && d.Value != "" {
			b = appendMember(b, d.Name, d.Value)
		}
	}
	return b
}

// appendMembers writes the parameters as members, without braces: `"a":1,"b":…`, with a comma first unless
// b ends with the opening brace. An empty string and null are written as they are.
func appendMembers(b []byte, ps Params) (_ []byte, err error) {
	for i := range ps {
		p := &ps[i]
		b = appendName(b, p.Name)
		switch p.Kind {
		case KindString:
			b = appendText(b, p.Value)
		case KindNumber, KindBool:
			b = append(b, p.Value...)
		case KindNull:
			b = append(b, "null"...)
		case KindObject, KindList:
			if b, err = appendValue(b, p.Raw); err != nil {
				return nil, fmt.Errorf("parameter %s: %w", quote(p.Name), err)
			}
		}
	}
	return b, nil
}

// appendValue writes any JSON value, compact, its members in their order and its numbers by their literal
// text.
func appendValue(b []byte, raw json.RawMessage) ([]byte, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("the value is not valid UTF-8")
	}
	s := scanner{raw: raw, text: string(raw)}
	b, err := s.compact(b, 0)
	if err == nil {
		err = s.end()
	}
	return b, err
}

// compact copies the value that the scanner stands at, below levels lists and objects.
func (s *scanner) compact(b []byte, levels int) ([]byte, error) {
	switch c := s.next(); {
	case c == '"':
		text, err := s.str()
		return appendText(b, text), err
	case c == '-' || c >= '0' && c <= '9':
		text, err := s.number()
		return append(b, text...), err
	case c == '{' || c == '[':
		open := c
		b = append(b, open)
		err := s.items(levels, func(name string, first bool) (err error) {
			if open == '{' {
				b = appendName(b, name)
			} else if !first {
				b = append(b, ',')
			}
			b, err = s.compact(b, levels+1)
			return err
		})
		return append(b, open+2), err // in ASCII both closing ones stand two behind their opening ones
	}
	start := s.at
	_, _, err := s.word()
	return append(b, s.text[start:s.at]...), err
}

// items walks the object or list that the scanner stands at: item is called before each value, with its name
// in an object, and has to step over the value.
func (s *scanner) items(levels int, item func(name string, first bool) error) error {
	if levels == jsonLevelsMax {
		return errJSONLevels
	}
	object, closing := s.text[s.at] == '{', s.text[s.at]+2
	s.at++
	if s.next() == closing {
		s.at++
		return nil
	}
	for first := true; ; first = false {
		name, err := "", error(nil)
		if object {
			name, err = s.name()
		}
		if err == nil {
			err = item(name, first)
		}
		if err != nil {
			return err
		}
		switch s.next() {
		case ',':
			s.at++
		case closing:
			s.at++
			return nil
		default:
			return s.fault("',' or '" + string(rune(closing)) + "'")
		}
	}
}

// name reads `"name":`.
func (s *scanner) name() (string, error) {
	if s.next() != '"' {
		return "", s.fault("a name in quotes")
	}
	name, err := s.str()
	if err != nil {
		return "", err
	}
	if s.next() != ':' {
		return "", s.fault("':'")
	}
	s.at++
	return name, nil
}

// readJSON reads the members of a JSON POST.
func readJSON(req CapturedRequest) ([]Field, error) {
	if req.Method != "POST" {
		return nil, broken(RuleRequest, "the method is %s, not POST", quote(req.Method))
	}
	contentType := req.Get("Content-Type")
	kind, _, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return nil, broken(RuleRequest, "the content type is %s, not application/json", quote(contentType))
	}
	return jsonMembers(req.Body)
}

// jsonMembers reads the members of a received object: strings decoded, other values as their JSON text. The
// error is a *VerifyError.
func jsonMembers(raw []byte) ([]Field, error) {
	ps, err := ParseParams(raw)
	if err != nil {
		why := ""
		if _, err := jsontext.NewDecoder(bytes.NewReader(raw)).ReadValue(); err != nil {
			why = ": " + err.Error()
		}
		return nil, broken(RuleEncoding, "this is no JSON object%s", why)
	}
	fields := make([]Field, 0, len(ps))
	seen := make(map[string]bool, len(ps))
	for i := range ps {
		p := &ps[i]
		if seen[p.Name] {
			return nil, broken(RuleParameter, "parameter %s stands twice", quote(p.Name))
		}
		seen[p.Name] = true
		f := Field{p.Name, p.Value}
		if p.Kind != KindString {
			f.Value = string(p.Raw)
		}
		fields = append(fields, f)
	}
	return fields, nil
}
