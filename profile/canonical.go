package profile

import (
	"slices"
	"strings"
)

// Field is one name and value on the wire, before any escaping; the value's bytes are in the charset of the
// message.
type Field struct{ Name, Value string }

// fieldsRoom is the room for the fields of one message at first: a dialect's own and paramsHint.
const fieldsRoom = paramsHint + 12

// gather puts a dialect's own fields and the caller's parameters into sending order. A parameter takes the
// place of a default of the same name, and stands where the caller put it; what is empty is not sent.
func gather(defaults []Field, ps Params) []Field {
	fields := make([]Field, 0, fieldsRoom)
	for _, d := range defaults {
		if d.Value != "" && !replaced(ps, d.Name) {
			fields = append(fields, d)
		}
	}
	for i := range ps {
		if ps[i].sends() {
			fields = append(fields, Field{ps[i].Name, ps[i].Value})
		}
	}
	return fields
}

func replaced(ps Params, name string) bool {
	for i := range ps {
		if ps[i].Name == name && ps[i].sends() {
			return true
		}
	}
	return false
}

// canonical is the text that Alipay's V1 signatures cover: `sign` and `sign_type` taken out, sorted by the
// bytes of the names, raw `name=value` joined by `&`, nothing escaped. In V1 sign_type is not signed even
// when it is sent, which is the one form that all current SDKs accept.
func canonical(fields []Field) []byte {
	var room [fieldsRoom]Field
	sorted := append(room[:0], fields...)
	slices.SortFunc(sorted, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return joined(sorted)
}

// joined writes fields in their order as raw `name=value` joined by `&`, but for the signature and its type.
func joined(sorted []Field) []byte {
	size := 0
	for i := range sorted {
		size += len(sorted[i].Name) + len(sorted[i].Value) + 2
	}
	text := make([]byte, 0, size)
	for i := range sorted {
		f := &sorted[i]
		if f.Name == "sign" || f.Name == "sign_type" {
			continue
		}
		if len(text) > 0 {
			text = append(text, '&')
		}
		text = append(text, f.Name...)
		text = append(text, '=')
		text = append(text, f.Value...)
	}
	return text
}

// formBody writes the fields as an application/x-www-form-urlencoded body, in their order.
func formBody(fields []Field) []byte {
	size := 0
	for i := range fields {
		size += len(fields[i].Name) + len(fields[i].Value) + 2
	}
	body := make([]byte, 0, size+size/2) // most bytes need no escaping; Chinese text grows it once
	for i := range fields {
		if i > 0 {
			body = append(body, '&')
		}
		body = appendEscaped(body, fields[i].Name)
		body = append(body, '=')
		body = appendEscaped(body, fields[i].Value)
	}
	return body
}

// plain marks the bytes that stand for themselves in a form: RFC 1866's set, as Alipay's own wire has it. A
// space is `+`, everything else `%XX` in capitals.
var plain = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") {
		set[c] = true
	}
	return set
}()

const upperHex = "0123456789ABCDEF"

// appendEscaped escapes one name or value; runs of plain bytes, the usual case, are copied at once.
func appendEscaped(dst []byte, s string) []byte {
	from := 0
	for i := range len(s) {
		c := s[i]
		if plain[c] {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		if c == ' ' {
			dst = append(dst, '+')
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return append(dst, s[from:]...)
}
