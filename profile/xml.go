package profile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// XML as WeChat Pay v2 and its merchants write it: one small reader for replies and captured requests, and
// the writer of our own. The reader takes less than XML 1.0 allows. There is no DTD and so no entity besides
// the five that every reader knows; all else must be well-formed, because what one parser forgives another
// reads differently, and a wrong yes loses a payment notice.

// Limits of a document that is read.
const (
	xmlBytesMax = 1 << 20 // a notification of 256 KiB, encrypted and in base64, fits
	xmlDepthMax = 16      // an acknowledgement has two levels
)

// Why a document cannot be read.
var (
	errXML      = errors.New("the body is no well-formed XML document")
	errXMLDTD   = errors.New("the XML has a DOCTYPE or another directive")
	errXMLMixed = errors.New("text stands outside the elements")
	errXMLDeep  = errors.New("the XML is nested too deeply")
)

// xmlElement is one element directly below the root.
type xmlElement struct {
	name, text string // text: pieces, CDATA sections and references joined
	nested     bool   // it holds elements, whose texts are not in text
}

// xmlReader reads one document.
type xmlReader struct {
	doc      string
	at       int
	root     string
	open     []string // the names of the elements round at
	text     []byte   // of the element below the root, so far
	elements []xmlElement
}

// readXML reads a whole document: the name of its root and the elements directly below it, in their order.
func readXML(doc []byte) (root string, elements []xmlElement, err error) {
	r := xmlReader{doc: string(doc)}
	if len(doc) > xmlBytesMax {
		return "", nil, errXML
	}
	if err := r.declaration(); err != nil {
		return "", nil, err
	}
	if strings.ContainsFunc(r.doc[r.at:], notXMLChar) || !utf8.ValidString(r.doc[r.at:]) {
		return "", nil, errXML
	}
	for r.at < len(r.doc) {
		if err := r.next(); err != nil {
			return "", nil, err
		}
	}
	if r.root == "" || len(r.open) > 0 {
		return "", nil, errXML
	}
	return r.root, r.elements, nil
}

// next reads one piece of markup, or the text up to it.
func (r *xmlReader) next() error {
	switch rest := r.doc[r.at:]; {
	case rest[0] != '<':
		return r.characters()
	case strings.HasPrefix(rest, "<![CDATA["):
		return r.cdata()
	case strings.HasPrefix(rest, "<!--"):
		return r.comment()
	case strings.HasPrefix(rest, "<!"):
		return errXMLDTD
	case strings.HasPrefix(rest, "<?"):
		return r.instruction()
	case strings.HasPrefix(rest, "</"):
		return r.endTag()
	}
	return r.startTag()
}

// declaration reads `<?xml … ?>`, which stands at the very beginning or not at all, and turns what follows it
// into UTF-8.
func (r *xmlReader) declaration() error {
	const begin = "<?xml"
	rest, found := strings.CutPrefix(r.doc, begin)
	if !found || rest == "" || !isSpace(rest[0]) {
		return nil
	}
	r.at = len(begin)
	attributes, err := r.attributes()
	if err != nil || !r.skip("?>") {
		return errXML
	}
	if version := fieldOf(attributes, "version"); version != "" && version != "1.0" {
		return errXML
	}
	switch strings.ToLower(fieldOf(attributes, "encoding")) {
	case "", "utf-8", "us-ascii", "ascii":
	case "gbk", "gb2312", "gb18030":
		plain, err := simplifiedchinese.GB18030.NewDecoder().String(r.doc[r.at:])
		if err != nil {
			return errXML
		}
		r.doc, r.at = plain, 0
	default:
		return errXML
	}
	return nil
}

func (r *xmlReader) startTag() error {
	name := xmlName(r.doc[r.at+1:])
	if name == "" {
		return errXML
	}
	r.at += 1 + len(name)
	if _, err := r.attributes(); err != nil {
		return err
	}
	empty := r.skip("/")
	if !r.skip(">") {
		return errXML
	}
	switch {
	case len(r.open) == xmlDepthMax:
		return errXMLDeep
	case len(r.open) == 0 && r.root != "": // a second root
		return errXML
	case len(r.open) == 0:
		r.root = name
	case len(r.open) == 1:
		r.elements = append(r.elements, xmlElement{name: name})
		r.text = r.text[:0]
	default:
		r.elements[len(r.elements)-1].nested = true
	}
	r.open = append(r.open, name)
	if empty {
		r.closed()
	}
	return nil
}

func (r *xmlReader) endTag() error {
	r.at += len("</")
	name := xmlName(r.doc[r.at:])
	r.at += len(name)
	r.skipSpace()
	if len(r.open) == 0 || r.open[len(r.open)-1] != name || !r.skip(">") {
		return errXML
	}
	r.closed()
	return nil
}

// closed leaves the innermost element.
func (r *xmlReader) closed() {
	if len(r.open) == 2 {
		r.elements[len(r.elements)-1].text = string(r.text)
	}
	r.open = r.open[:len(r.open)-1]
}

// attributes reads what stands in a tag behind its name, and the white space at its end.
func (r *xmlReader) attributes() (list []Field, err error) {
	for {
		space := r.skipSpace()
		name := xmlName(r.doc[r.at:])
		if name == "" {
			return list, nil
		}
		r.at += len(name)
		r.skipSpace()
		equals := r.skip("=")
		r.skipSpace()
		rest := r.doc[r.at:]
		if !space || !equals || rest == "" || rest[0] != '"' && rest[0] != '\'' {
			return nil, errXML
		}
		raw, _, closed := strings.Cut(rest[1:], rest[:1])
		value, ok := unescapeXML(raw)
		if !closed || !ok || strings.Contains(raw, "<") {
			return nil, errXML
		}
		r.at += len(raw) + 2
		list = append(list, Field{name, value})
	}
}

// characters reads text up to the next markup.
func (r *xmlReader) characters() error {
	raw, _, _ := strings.Cut(r.doc[r.at:], "<")
	r.at += len(raw)
	text, ok := unescapeXML(raw)
	if !ok || strings.Contains(raw, "]]>") {
		return errXML
	}
	return r.take(text)
}

func (r *xmlReader) cdata() error {
	r.at += len("<![CDATA[")
	raw, _, closed := strings.Cut(r.doc[r.at:], "]]>")
	r.at += len(raw) + len("]]>")
	if !closed || len(r.open) == 0 {
		return errXML
	}
	return r.take(unixLines(raw))
}

// take puts a text where it belongs.
func (r *xmlReader) take(text string) error {
	switch {
	case len(r.open) == 2:
		r.text = append(r.text, text...)
	case len(r.open) < 2 && len(trimSpace([]byte(text))) > 0:
		return errXMLMixed
	}
	return nil
}

func (r *xmlReader) comment() error {
	r.at += len("<!--")
	text, rest, closed := strings.Cut(r.doc[r.at:], "--")
	if !closed || rest == "" || rest[0] != '>' { // two hyphens only at the end
		return errXML
	}
	r.at += len(text) + len("-->")
	return nil
}

// instruction steps over a processing instruction: it is for somebody else.
func (r *xmlReader) instruction() error {
	r.at += len("<?")
	target := xmlName(r.doc[r.at:])
	text, _, closed := strings.Cut(r.doc[r.at:], "?>")
	if !closed || target == "" || strings.EqualFold(target, "xml") {
		return errXML
	}
	r.at += len(text) + len("?>")
	return nil
}

func (r *xmlReader) skip(text string) bool {
	if !strings.HasPrefix(r.doc[r.at:], text) {
		return false
	}
	r.at += len(text)
	return true
}

func (r *xmlReader) skipSpace() (any bool) {
	for ; r.at < len(r.doc) && isSpace(r.doc[r.at]); r.at++ {
		any = true
	}
	return any
}

// xmlName is the name that a text begins with; empty when it begins with none.
func xmlName(text string) string {
	for i, c := range text {
		letter := unicode.IsLetter(c) || c == '_' || c == ':'
		if !letter && (i == 0 || !unicode.IsDigit(c) && c != '-' && c != '.') {
			return text[:i]
		}
	}
	return text
}

// notXMLChar reports the runes that XML 1.0 cannot carry, not even as a reference.
func notXMLChar(c rune) bool {
	switch {
	case c < ' ':
		return c != '\t' && c != '\n' && c != '\r'
	case c < 0xD800:
		return false
	}
	return c < 0xE000 || c == 0xFFFE || c == 0xFFFF || c > unicode.MaxRune
}

// unixLines reads line ends as XML does: all of them are a line feed.
func unixLines(text string) string {
	if strings.IndexByte(text, '\r') < 0 {
		return text
	}
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
}

// unescapeXML resolves the references of a text: to characters, and to the five entities that need no DTD.
func unescapeXML(text string) (string, bool) {
	text = unixLines(text)
	before, rest, found := strings.Cut(text, "&")
	if !found {
		return text, true
	}
	plain := make([]byte, 0, len(text))
	for found {
		plain = append(plain, before...)
		var name string
		if name, rest, found = strings.Cut(rest, ";"); !found {
			return "", false
		}
		c, ok := referenced(name)
		if !ok {
			return "", false
		}
		plain = utf8.AppendRune(plain, c)
		before, rest, found = strings.Cut(rest, "&")
	}
	return string(append(plain, before...)), true
}

// referenced is the character that `&name;` stands for.
func referenced(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, found := strings.CutPrefix(name, "#")
	base := 10
	if hex, is := strings.CutPrefix(digits, "x"); is {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 31)
	c := rune(n)
	return c, found && err == nil && !notXMLChar(c)
}

// xmlUnfit says what in a value keeps it from coming out of an XML document as it went in; empty for nothing.
func xmlUnfit(value string) string {
	for i, c := range value {
		switch {
		case c == '\r':
			return "a carriage return, which XML readers turn into a line feed"
		case notXMLChar(c):
			return fmt.Sprintf("%U, which XML cannot carry", c)
		case c == ']' && strings.HasPrefix(value[i:], "]]>"):
			return "]]>, behind which some SDKs stop reading"
		}
	}
	return ""
}

// xmlDocument writes fields as the elements of a root, in their order: values as CDATA sections, but for the
// whole numbers under the names in bare. Nothing stands before the root: some SDKs know XML by its beginning.
func xmlDocument(root string, fields []Field, bare ...string) ([]byte, error) {
	size := 2*len(root) + len("<></>")
	for i := range fields {
		size += 2*len(fields[i].Name) + len(fields[i].Value) + len("<><![CDATA[]]></>")
	}
	doc := make([]byte, 0, size)
	doc = append(append(append(doc, '<'), root...), '>')
	for i := range fields {
		f := &fields[i]
		if unfit := xmlUnfit(f.Value); unfit != "" {
			return nil, fmt.Errorf("parameter %s holds %s", f.Name, unfit)
		}
		doc = append(append(append(doc, '<'), f.Name...), '>')
		if isDigits(f.Value) && slices.Contains(bare, f.Name) {
			doc = append(doc, f.Value...)
		} else {
			doc = append(append(append(doc, "<![CDATA["...), f.Value...), "]]>"...)
		}
		doc = append(append(append(doc, "</"...), f.Name...), '>')
	}
	return append(append(append(doc, "</"...), root...), '>'), nil
}

func isDigits(text string) bool { return text != "" && digits(text) == len(text) }
