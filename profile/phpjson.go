package profile

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// errNotUTF8 keeps such bytes from being sent: PHP's json_encode returns false for them, which a merchant's
// openssl_verify takes for the empty text, so that one signature would fit every notification of that kind.
var errNotUTF8 = errors.New("it is not valid UTF-8, of which PHP's json_encode makes nothing")

// phpText is what PHP's json_encode writes, with no flags, for the document that PHP's json_decode(…, true)
// reads from doc, a text of appendMembers, appendValue or appendText: `/` escaped as well, and every rune
// from U+0080 on as \uXXXX in lower case, in surrogate pairs beyond U+FFFF. All other escapes are the same in
// both (0x7f stays), so the bytes need no parsing. It holds for documents that checkJSON lets in: PHP would
// write fractions its own way, {} as [], and an object as a list when its names are 0, 1, 2.
func phpText(doc []byte) ([]byte, error) {
	if !utf8.Valid(doc) {
		return nil, errNotUTF8
	}
	text := make([]byte, 0, len(doc)+len(doc)/2)
	from := 0
	for i := 0; i < len(doc); {
		c := doc[i]
		if c < utf8.RuneSelf && c != '/' {
			i++
			continue
		}
		text = append(text, doc[from:i]...)
		r, size := utf8.DecodeRune(doc[i:])
		i += size
		from = i
		switch {
		case r == '/':
			text = append(text, '\\', '/')
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			text = appendHex4(appendHex4(text, high), low)
		default:
			text = appendHex4(text, r)
		}
	}
	return append(text, doc[from:]...), nil
}

func appendHex4(text []byte, r rune) []byte {
	return append(text, '\\', 'u', lowerHex[r>>12&15], lowerHex[r>>8&15], lowerHex[r>>4&15], lowerHex[r&15])
}

// phpStrings is what json_encode($_POST) writes for a form of these fields, but for the one named except.
func phpStrings(fields []Field, except string) ([]byte, error) {
	doc := []byte{'{'}
	for i := range fields {
		if fields[i].Name != except {
			doc = appendMember(doc, fields[i].Name, fields[i].Value)
		}
	}
	return phpText(append(doc, '}'))
}
