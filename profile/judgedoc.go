package profile

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// How acknowledgements are read out of documents.

// Why a well-formed XML document is no acknowledgement.
var (
	errNoCode   = errors.New("there is no return_code below the root element")
	errTwoCodes = errors.New("there is more than one return_code")
)

// returnCodeOf reads <return_code> of a document such as WeChat's SDKs answer: any root element, return_code
// directly below it, as text or CDATA. Documents with a DTD are refused unread, and so is text between the
// elements: WeChat's own list of wrong answers has a literal \n there.
func returnCodeOf(body []byte) (string, error) {
	_, elements, err := readXML(body)
	if err != nil {
		return "", err
	}
	code, err := "", errNoCode
	for _, e := range elements {
		switch {
		case e.name != "return_code" && !strings.HasSuffix(e.name, ":return_code"):
		case e.nested: // not a plain text
			return "", errNoCode
		case err == nil:
			return "", errTwoCodes
		default:
			code, err = string(trimSpace([]byte(e.text))), nil
		}
	}
	return code, err
}

// Limits of ack.path.
const (
	pathBytesMax = 256
	pathStepsMax = 16
)

// pathStep is one step of ack.path: into a member, or into an element.
type pathStep struct {
	member string
	index  int // of an element; -1 for a member
}

// parsePath reads an ack.path: member names separated by dots, elements as [n], with or without `$` first.
func parsePath(path string) ([]pathStep, error) {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, "$"), ".")
	if rest == "" || len(path) > pathBytesMax || hasControl(path) {
		return nil, errors.New("ack.path is empty or too long")
	}
	var steps []pathStep
	for rest != "" {
		if len(steps) == pathStepsMax {
			return nil, fmt.Errorf("ack.path has more than %d steps", pathStepsMax)
		}
		if inside, found := strings.CutPrefix(rest, "["); found {
			number, behind, closed := strings.Cut(inside, "]")
			n, err := strconv.ParseUint(number, 10, 16)
			if !closed || err != nil {
				return nil, fmt.Errorf("ack.path breaks off at %s: want [n]", quote(rest))
			}
			steps, rest = append(steps, pathStep{index: int(n)}), behind
		} else {
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, fmt.Errorf("ack.path breaks off at %s: want a name", quote(rest))
			}
			steps, rest = append(steps, pathStep{member: rest[:end], index: -1}), rest[end:]
		}
		if inside, found := strings.CutPrefix(rest, "."); found {
			if rest = inside; rest == "" {
				return nil, errors.New("ack.path ends with a dot")
			}
		}
	}
	return steps, nil
}

// jsonAt is the text of the value at the path of a JSON document: a string as it is, a number or boolean as
// it is written. The whole document must be valid JSON without duplicate names, so that no other parser can
// read another value there.
func jsonAt(doc []byte, path string) (string, bool) {
	steps, err := parsePath(path)
	if err != nil {
		return "", false
	}
	value := jsontext.Value(doc)
	if !value.IsValid() {
		return "", false
	}
	for _, step := range steps {
		var ok bool
		if value, ok = step.into(value); !ok {
			return "", false
		}
	}
	return scalar(value)
}

// into is the value that the step leads to.
func (s pathStep) into(value jsontext.Value) (jsontext.Value, bool) {
	decoder := jsontext.NewDecoder(bytes.NewReader(value))
	open, err := decoder.ReadToken()
	if err != nil || s.index < 0 && open.Kind() != '{' || s.index >= 0 && open.Kind() != '[' {
		return nil, false
	}
	for i := 0; decoder.PeekKind() != '}' && decoder.PeekKind() != ']'; i++ {
		here := i == s.index
		if s.index < 0 {
			name, err := decoder.ReadToken()
			if err != nil {
				return nil, false
			}
			here = name.String() == s.member
		}
		found, err := decoder.ReadValue()
		if err != nil || here {
			return found, err == nil
		}
	}
	return nil, false
}

func scalar(value jsontext.Value) (string, bool) {
	switch value.Kind() {
	case '"':
		plain, err := jsontext.AppendUnquote(nil, []byte(value))
		return string(plain), err == nil
	case '0', 't', 'f':
		return string(bytes.TrimSpace(value)), true
	}
	return "", false
}
