package profile

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"paynotify/store"
)

// classify says what a body that is not the acknowledgement was meant as. A near-miss always holds the text
// of the acknowledgement (in some letter case): a login page is none, and `{"success":false}` is none. The
// order matters: the most telling cause first.
func classify(ack store.Ack, body []byte) (store.Reason, string) {
	inner := trimAck(body)
	if len(inner) == 0 {
		return store.AckEmpty, emptyDetail(body)
	}
	text := ack.Text
	if text == "" {
		return store.AckMismatch, ""
	}
	if plain, name := fromUTF16(body); name != "" && looksLike(ack, plain) {
		return store.AckUTF16, "the body is " + name
	}
	if ack.Match == matchXML {
		if reason, detail, ok := classifyXML(inner); ok {
			return reason, detail
		}
	}
	if ack.Match == matchJSONPath {
		if found, ok := jsonAt(inner, ack.Path); ok && strings.EqualFold(found, text) {
			return store.AckCase, "the value at ack.path is " + quote(found)
		}
	} else if reason, detail, ok := classifyWord(ack, body, inner); ok {
		return reason, detail
	}
	return classifyPage(ack, inner)
}

func emptyDetail(body []byte) string {
	if len(body) == 0 {
		return ""
	}
	return fmt.Sprintf("the body is %d bytes of white space", len(body))
}

// looksLike reports whether a decoded body is, or in XML holds, the acknowledgement.
func looksLike(ack store.Ack, plain []byte) bool {
	if ack.Match == matchXML {
		return holdsWord(plain, ack.Text)
	}
	return equalFoldASCII(trimAck(plain), ack.Text) || matchBody(ack, plain) != bodyOther
}

// classifyWord finds a body that is the text and little else.
func classifyWord(ack store.Ack, body, inner []byte) (reason store.Reason, detail string, ok bool) {
	text := ack.Text
	switch {
	case equalFoldASCII(inner, text):
		switch {
		case ack.Match == matchXML:
			return store.AckNotXML, "the body is " + quote(string(inner)), true
		case string(inner) == text: // with ack.match exact
			return store.AckExtraText, trimmedDetail(body), true
		}
		return store.AckCase, "the body is " + quote(string(inner)), true
	case ack.Match == matchXML && equalFoldASCII(inner, "ok"):
		return store.AckNotXML, "the body is " + quote(string(inner)), true
	case equalFoldASCII(unquoted(inner), text):
		return store.AckQuoted, "the body is " + quote(string(inner)), true
	case repeated(inner, text):
		return store.AckRepeated, fmt.Sprintf("it is there %d times", bytes.Count(inner, []byte(text))), true
	}
	if bare, gone, found := trimInvisible(inner); found && equalFoldASCII(bare, text) {
		return store.AckInvisible, fmt.Sprintf("%U stands beside it", gone), true
	}
	return "", "", false
}

// classifyPage finds the text inside something larger.
func classifyPage(ack store.Ack, inner []byte) (store.Reason, string) {
	if isJSON(inner) {
		if jsonSays(inner, ack.Text) {
			return store.AckJSON, ""
		}
		return store.AckMismatch, "the body is JSON and does not say " + quote(ack.Text)
	}
	kind := ""
	switch {
	case phpNotice(inner):
		kind = "a PHP message"
	case isHTML(inner):
		kind = "an HTML page"
	}
	if !holdsWord(inner, ack.Text) {
		if kind != "" {
			return store.AckMismatch, "the body is " + kind + " and does not say " + quote(ack.Text)
		}
		return store.AckMismatch, ""
	}
	switch {
	case phpNotice(inner):
		return store.AckPHPNotice, phpDetail(inner)
	case isHTML(inner):
		return store.AckHTML, ""
	case ack.Match == matchJSONPath:
		return store.AckMismatch, "the body is no JSON document"
	}
	return store.AckExtraText, fmt.Sprintf("the body has %d bytes round it", len(inner)-len(ack.Text))
}

// classifyXML looks at XML that is no acknowledgement; ok is false for what is no XML.
func classifyXML(inner []byte) (reason store.Reason, detail string, ok bool) {
	if inner[0] != '<' || isHTML(inner) || phpNotice(inner) {
		return "", "", false
	}
	code, err := returnCodeOf(inner)
	switch {
	case err == nil && equalFoldASCII([]byte(code), returnCode):
		return store.AckCase, "return_code is " + quote(code), true
	case err == nil:
		return store.AckMismatch, "return_code is " + quote(code), true
	}
	detail = err.Error()
	if errors.Is(err, errNoCode) || errors.Is(err, errXMLMixed) || errors.Is(err, errXML) {
		low := bytes.ToLower(inner)
		if code, err := returnCodeOf(low); err == nil && strings.EqualFold(code, returnCode) {
			return store.AckCase, "the element's name is not in lower case", true
		}
		if bytes.Contains(low, []byte("return_code")) && holdsWord(inner, returnCode) {
			if errors.Is(err, errXMLMixed) {
				return store.AckExtraText, detail, true
			}
			return store.AckNotXML, detail, true
		}
	}
	return store.AckMismatch, detail, true
}

// unquoted takes one pair of quotes off, as a framework puts round a string that it was told to return.
func unquoted(b []byte) []byte {
	if n := len(b); n >= 2 && b[0] == b[n-1] && (b[0] == '"' || b[0] == '\'') {
		return trimSpace(b[1 : n-1])
	}
	return nil
}

// repeated reports whether b is the text twice or more, with nothing or line ends between.
func repeated(b []byte, text string) bool {
	n := 0
	for len(b) > 0 {
		rest, found := bytes.CutPrefix(b, []byte(text))
		if !found {
			return false
		}
		b = bytes.TrimLeft(rest, "\r\n")
		n++
	}
	return n > 1
}

// trimInvisible takes white space and runes that nobody sees off both ends, and tells one of the latter.
func trimInvisible(b []byte) (bare []byte, gone rune, found bool) {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if invisible(r) {
			gone, found = r, true
		} else if !isSpace(b[0]) {
			break
		}
		b = b[n:]
	}
	for len(b) > 0 {
		r, n := utf8.DecodeLastRune(b)
		if invisible(r) {
			gone, found = r, true
		} else if !isSpace(b[len(b)-1]) {
			break
		}
		b = b[:len(b)-n]
	}
	return b, gone, found
}

// invisible reports whether a rune leaves no trace on a screen: controls, format characters (zero width
// space, byte order mark, joiners) and the spaces that editors paste without being asked.
func invisible(r rune) bool {
	if r < utf8.RuneSelf && isSpace(byte(r)) { //nolint:gosec // below 0x80
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf) || r == 0xA0 || r == 0x202F || r == 0x2028 || r == 0x2029
}

// holdsWord reports whether the text occurs, in any case, where a word can begin: not in "unsuccess", and not
// in the class name "alert-success" of a login page.
func holdsWord(b []byte, text string) bool {
	for i := 0; i+len(text) <= len(b); i++ {
		if !equalFoldASCII(b[i:i+len(text)], text) {
			continue
		}
		if i == 0 || !nameByte[b[i-1]] && b[i-1] != '-' {
			return true
		}
	}
	return false
}

func isJSON(b []byte) bool {
	return (b[0] == '{' || b[0] == '[') && jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true))
}

// jsonSays reports whether some value of the document is the text, or a member of that name is true.
func jsonSays(doc []byte, text string) bool {
	decoder := jsontext.NewDecoder(bytes.NewReader(doc), jsontext.AllowDuplicateNames(true))
	named := false
	for {
		token, err := decoder.ReadToken()
		if err != nil {
			return false
		}
		container, members := decoder.StackIndex(decoder.StackDepth())
		isName := container == '{' && members%2 == 1 && token.Kind() == '"'
		switch token.Kind() {
		case '"':
			says := strings.EqualFold(token.String(), text)
			if says && !isName {
				return true
			}
			named = says && isName
			continue
		case 't':
			if named {
				return true
			}
		}
		named = false
	}
}

var (
	htmlMarks = [][]byte{
		[]byte("<!doctype html"), []byte("<html"), []byte("<head"), []byte("<body"), []byte("<div"),
		[]byte("<p>"), []byte("<span"), []byte("<script"), []byte("<pre"), []byte("<h1"), []byte("<title"),
		[]byte("<b>"), []byte("<br"), []byte("<meta"), []byte("<center"), []byte("<font"), []byte("<table"),
	}
	phpMarks = [][]byte{
		[]byte("Warning"), []byte("Notice"), []byte("Deprecated"), []byte("Strict Standards"),
		[]byte("Fatal error"), []byte("Parse error"),
	}
)

func isHTML(b []byte) bool {
	low := bytes.ToLower(b)
	for _, mark := range htmlMarks {
		if bytes.Contains(low, mark) {
			return true
		}
	}
	return false
}

// phpNotice reports whether b holds a message as PHP prints it with display_errors on:
// `<b>Warning</b>:  … on line <b>1</b>`, without the tags in html_errors=0.
func phpNotice(b []byte) bool { return phpKind(b) != nil }

func phpKind(b []byte) []byte {
	for _, mark := range phpMarks {
		_, behind, found := bytes.Cut(b, mark)
		if !found {
			continue
		}
		behind = bytes.TrimPrefix(behind, []byte("</b>"))
		if bytes.HasPrefix(behind, []byte(":")) && bytes.Contains(behind, []byte(" on line ")) {
			return mark
		}
	}
	return nil
}

func phpDetail(b []byte) string { return "PHP printed a message: " + string(phpKind(b)) }

// fromUTF16 decodes a body that is UTF-16, told by its byte order mark or by the zero byte beside each ASCII
// letter; name is empty for other bodies.
func fromUTF16(body []byte) (plain []byte, name string) {
	marked, big := false, false
	switch {
	case bytes.HasPrefix(body, []byte{0xff, 0xfe}):
		marked = true
	case bytes.HasPrefix(body, []byte{0xfe, 0xff}):
		marked, big = true, true
	case len(body) >= 4 && body[0] == 0 && body[2] == 0:
		big = true
	case len(body) >= 4 && body[1] == 0 && body[3] == 0:
	default:
		return nil, ""
	}
	if marked {
		body = body[2:]
	}
	units := make([]uint16, 0, len(body)/2)
	for i := 0; i+1 < len(body); i += 2 {
		low, high := body[i], body[i+1]
		if big {
			low, high = high, low
		}
		units = append(units, uint16(high)<<8|uint16(low))
	}
	name = "UTF-16, little endian"
	if big {
		name = "UTF-16, big endian"
	}
	return []byte(string(utf16.Decode(units))), name
}

// encoded reports whether a Content-Encoding changes the body. We ask for none.
func encoded(contentEncoding string) bool {
	return contentEncoding != "" && !strings.EqualFold(strings.TrimSpace(contentEncoding), "identity")
}

// encodedDetail looks into a compressed body, for the text of the detail only.
func encodedDetail(ack store.Ack, r Reply) string {
	detail := "Content-Encoding is " + quote(r.ContentEncoding)
	plain, err := decompress(strings.ToLower(strings.TrimSpace(r.ContentEncoding)), r.Body)
	switch {
	case err != nil:
	case matchBody(ack, plain) != bodyOther:
		detail += "; decompressed, the body is the acknowledgement"
	case len(plain) < ReplyBytesMax:
		if reason, _ := classify(ack, plain); reason != store.AckMismatch {
			detail += "; decompressed, the body is " + string(reason)
		}
	}
	return detail
}

// decompress reads at most ReplyBytesMax bytes out of a compressed body, whatever it would unfold to.
func decompress(encoding string, body []byte) ([]byte, error) {
	var (
		reader io.Reader
		err    error
	)
	switch encoding {
	case "gzip", "x-gzip":
		reader, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		if reader, err = zlib.NewReader(bytes.NewReader(body)); err != nil {
			reader, err = flate.NewReader(bytes.NewReader(body)), nil // what some servers mean by it
		}
	default:
		return nil, errors.New("unknown encoding")
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(reader, ReplyBytesMax))
}
