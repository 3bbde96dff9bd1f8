package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind is the JSON kind of a parameter.
type Kind uint8

// The kinds of a JSON value.
const (
	KindString Kind = iota
	KindNumber
	KindBool
	KindNull
	KindObject
	KindList
)

// Param is one member of a notification's params.
type Param struct {
	Name string
	// Value is what a form, a query or an XML element carries: a string as it is, a number as its literal text,
	// "true" or "false". Empty for null, and for objects and lists, which those dialects cannot carry.
	Value string
	Kind  Kind
	Raw   json.RawMessage // the value as it stands in the document; read-only, shares the document's bytes
}

// Params are a notification's params in the caller's order.
type Params []Param

// Get returns the value of the named parameter, and whether it is there.
func (ps Params) Get(name string) (string, bool) {
	for i := range ps {
		if ps[i].Name == name {
			return ps[i].Value, true
		}
	}
	return "", false
}

// sends reports whether a form carries the parameter: an empty string or null is not sent, so it does not
// stand in the way of a default of the same name either.
func (p *Param) sends() bool { return p.Value != "" }

var errNotObject = errors.New("params must be a JSON object")

// paramsHint is the room made for parameters at first: real notifications carry 15 to 30.
const paramsHint = 24

// ParseParams reads one JSON object into its members. Numbers keep their literal text and nothing passes
// through float64. It runs for every accept and every send, so it walks the bytes once and copies them once;
// only objects and lists, which are rare, go through a full parser. It does not look for duplicate names:
// Check does, where it has the names sorted anyway.
func ParseParams(raw json.RawMessage) (Params, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("params are not valid UTF-8")
	}
	s := scanner{raw: raw, text: string(raw)}
	if s.next() != '{' {
		return nil, errNotObject
	}
	s.at++
	ps := make(Params, 0, paramsHint)
	if s.next() == '}' {
		s.at++
		return ps, s.end()
	}
	for {
		p, err := s.member()
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
		switch s.next() {
		case ',':
			s.at++
		case '}':
			s.at++
			return ps, s.end()
		default:
			return nil, s.fault("',' or '}'")
		}
	}
}

// scanner walks one JSON document; text holds the bytes of raw, so that values are slices of one copy.
type scanner struct {
	raw  []byte
	text string
	at   int
}

// next skips white space and returns the byte it stands at, 0 at the end.
func (s *scanner) next() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) end() error {
	if s.next() != 0 || s.at != len(s.text) {
		return s.fault("the end")
	}
	return nil
}

func (s *scanner) fault(want string) error {
	return fmt.Errorf("params are not valid JSON at byte %d: want %s", s.at, want)
}

// member reads `"name": value`.
func (s *scanner) member() (Param, error) {
	if s.next() != '"' {
		return Param{}, s.fault("a name in quotes")
	}
	name, err := s.str()
	if err != nil {
		return Param{}, err
	}
	if s.next() != ':' {
		return Param{}, s.fault("':'")
	}
	s.at++
	p := Param{Name: name}
	c := s.next()
	start := s.at
	switch {
	case c == '"':
		p.Value, err = s.str()
	case c == '-' || c >= '0' && c <= '9':
		p.Kind = KindNumber
		p.Value, err = s.number()
	case c == '{':
		p.Kind = KindObject
		err = s.nested()
	case c == '[':
		p.Kind = KindList
		err = s.nested()
	default:
		p.Kind, p.Value, err = s.word()
	}
	p.Raw = s.raw[start:s.at:s.at]
	return p, err
}

// str reads a string, from its opening quote to behind its closing one.
func (s *scanner) str() (string, error) {
	start := s.at
	for i := start + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.at = i + 1
			return s.text[start+1 : i], nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			s.at = i
			return "", s.fault("control characters written as \\u00xx")
		}
	}
	s.at = len(s.text)
	return "", s.fault("a closing quote")
}

// escaped reads a string that has escapes; jsontext refuses lone surrogates.
func (s *scanner) escaped(start int) (string, error) {
	end := start + 1
	for end < len(s.text) && s.text[end] != '"' {
		if s.text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(s.text) {
		s.at = len(s.text)
		return "", s.fault("a closing quote")
	}
	plain, err := jsontext.AppendUnquote(nil, s.raw[start:end+1])
	if err != nil {
		s.at = start
		return "", s.fault("a string without bad escapes or lone surrogates")
	}
	s.at = end + 1
	return string(plain), nil
}

// number reads a JSON number and keeps its literal text.
func (s *scanner) number() (string, error) {
	start := s.at
	for s.at < len(s.text) && strings.IndexByte("0123456789+-.eE", s.text[s.at]) >= 0 {
		s.at++
	}
	if text := s.text[start:s.at]; isNumber(text) {
		return text, nil
	}
	s.at = start
	return "", s.fault("a number")
}

// isNumber reports whether text is a number as JSON's grammar has it.
func isNumber(text string) bool {
	rest := strings.TrimPrefix(text, "-")
	whole := digits(rest)
	if whole == 0 || whole > 1 && rest[0] == '0' {
		return false
	}
	rest = rest[whole:]
	if strings.HasPrefix(rest, ".") {
		n := digits(rest[1:])
		if n == 0 {
			return false
		}
		rest = rest[1+n:]
	}
	if rest == "" {
		return true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	rest = rest[1:]
	if rest != "" && (rest[0] == '+' || rest[0] == '-') {
		rest = rest[1:]
	}
	return rest != "" && digits(rest) == len(rest)
}

// digits counts the digits that text begins with.
func digits(text string) int {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return i
		}
	}
	return len(text)
}

// word reads true, false or null.
func (s *scanner) word() (Kind, string, error) {
	rest := s.text[s.at:]
	switch {
	case strings.HasPrefix(rest, "true"):
		s.at += 4
		return KindBool, "true", nil
	case strings.HasPrefix(rest, "false"):
		s.at += 5
		return KindBool, "false", nil
	case strings.HasPrefix(rest, "null"):
		s.at += 4
		return KindNull, "", nil
	}
	return 0, "", s.fault("a value")
}

// nested steps over an object or a list and checks it on the way.
func (s *scanner) nested() error {
	start, depth := s.at, 0
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			if _, err := s.str(); err != nil {
				return err
			}
			continue
		}
		s.at++
		if depth == 0 {
			break
		}
	}
	if depth != 0 || !jsontext.Value(s.raw[start:s.at]).IsValid() {
		s.at = start
		return s.fault("a well-formed value")
	}
	return nil
}

// quote writes a name or value for an error text, cut where it gets long.
func quote(text string) string {
	const shown = 40
	if len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + "…"
	}
	return strconv.Quote(text)
}
