package profile

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
)

func TestReadXML(t *testing.T) {
	text := func(name, text string) xmlElement { return xmlElement{name: name, text: text} }
	for doc, want := range map[string][]xmlElement{
		`<xml/>`:      nil,
		`<xml></xml>`: nil,
		`<xml><a>1</a><b><![CDATA[x&<y]]></b><a>2</a></xml>`: {
			text("a", "1"), text("b", "x&<y"), text("a", "2"),
		},
		`<xml><a>1<![CDATA[2]]>3<![CDATA[]]]]><![CDATA[>]]></a></xml>`:                 {text("a", "123]]>")},
		"<?xml version=\"1.0\" encoding='UTF-8'?>\r\n<xml>\n <a>\r\n1\r</a>\n</xml>\n": {text("a", "\n1\n")},
		`<!-- <a> --><?php echo 1 ?><xml><a><!-- 1 -->2<?x?>3</a></xml><!---->`:        {text("a", "23")},
		`<xml><a x="1" y = '&lt;">' >&lt;&gt;&amp;&quot;&apos;&#20013;&#x1F600;</a ><b/><c /></xml>`: {
			text("a", `<>&"'中😀`), text("b", ""), text("c", ""),
		},
		`<xml><a>x<b>y<c/></b>z</a><n:d-e.f>1</n:d-e.f></xml>`: {
			{"a", "xz", true}, text("n:d-e.f", "1"),
		},
		"<?xml version='1.0' encoding='gb2312'?><xml><a>\xd6\xd0</a></xml>": {text("a", "中")},
		`<订单><号>1</号></订单>`:                                                 {text("号", "1")},
	} {
		root, got, err := readXML([]byte(doc))
		if err != nil || root == "" {
			t.Errorf("%s: root %q, %v", doc, root, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(xmlElement{})); diff != "" {
			t.Errorf("%s: %s", doc, diff)
		}
	}
}

func TestReadXMLRefuses(t *testing.T) {
	for _, doc := range []string{
		"", " ", "x", "<", "<xml", "<xml>", "</xml>", "<xml></xm>", "<xml></xml><xml/>",
		"<xml/><xml/>", "<xml/", "< xml/>", "<1/>", "<xml><a></xml></a>", "<xml><a", "<xml></xml",
		"<xml a/>", "<xml a=1/>", `<xml a="1/>`, `<xml a="<"/>`, `<xml a="1"b="2"/>`, `<xml a="&x;"/>`,
		"<xml / >", "<xml><a>&</a></xml>", "<xml><a>&x;</a></xml>", "<xml><a>&amp</a></xml>",
		"<xml><a>&#0;</a></xml>", "<xml><a>&#xD800;</a></xml>", "<xml><a>&#x110000;</a></xml>",
		"<xml><a>&#xFFFFFFFFFF;</a></xml>", "<xml><a>&#+65;</a></xml>", "<xml><a>&#X41;</a></xml>",
		"<xml><a>&x41;</a></xml>", "<xml><a>]]></a></xml>", "<xml><![CDATA[</xml>",
		"<![CDATA[]]><xml/>", "<xml/><![CDATA[ ]]>", "<xml><!-- -- --></xml>", "<xml><!--></xml>",
		"<xml><!-- ", "<xml><!---", "<xml><?x </xml>", "<xml><? x?></xml>",
		"<xml><?xml version='1.0'?></xml>", " <?xml version='1.0'?><xml/>",
		"<?xml version='1.1'?><xml/>", "<?xml version='1.0' encoding='utf-16'?><xml/>",
		"<?xml version='1.0'", "<?xml version=1.0?><xml/>", "<xml>\x00</xml>", "<xml>\x0b</xml>",
		"<xml><!--\x01--></xml>", "<xml>\xff</xml>", "<xml>\uffff</xml>",
		"<xml><a>\xed\xa0\x80</a></xml>", "\xef\xbb\xbf<xml/>",
		"<xml>" + strings.Repeat(" ", xmlBytesMax) + "</xml>",
	} {
		want := errXML
		if strings.HasPrefix(doc, "x") || strings.HasPrefix(doc, "\xef") {
			want = errXMLMixed
		}
		if root, got, err := readXML([]byte(doc)); !errors.Is(err, want) || root != "" || got != nil {
			t.Errorf("%.60q: got %q, %v, %v; want %v", doc, root, got, err, want)
		}
	}
	for doc, want := range map[string]error{
		"<!DOCTYPE xml><xml/>":                 errXMLDTD,
		"<xml><!ENTITY a 'b'><a>&a;</a></xml>": errXMLDTD,
		"<xml>x<a/></xml>":                     errXMLMixed,
		"<xml/>x":                              errXMLMixed,
		"<xml><![CDATA[x]]></xml>":             errXMLMixed,
		strings.Repeat("<a>", xmlDepthMax+1) + strings.Repeat("</a>", xmlDepthMax+1): errXMLDeep,
	} {
		if _, _, err := readXML([]byte(doc)); !errors.Is(err, want) {
			t.Errorf("%.60q: got %v, want %v", doc, err, want)
		}
	}
	deep := strings.Repeat("<a>", xmlDepthMax) + strings.Repeat("</a>", xmlDepthMax)
	if _, _, err := readXML([]byte(deep)); err != nil {
		t.Errorf("%d levels: %v", xmlDepthMax, err)
	}
}

func TestXMLDocument(t *testing.T) {
	fields := []Field{{"a", "1"}, {"b", "1"}, {"c", "-1"}, {"d", "<&>]]\t\n中"}, {"e", ""}}
	doc, err := xmlDocument("xml", fields, "b", "c", "e")
	const want = "<xml><a><![CDATA[1]]></a><b>1</b><c><![CDATA[-1]]></c><d><![CDATA[<&>]]\t\n中]]></d>" +
		"<e><![CDATA[]]></e></xml>"
	if err != nil || string(doc) != want {
		t.Errorf("got %s, %v; want %s", doc, err, want)
	}
	for _, value := range []string{"\r", "a]]>b", "\x00", "\x1f", "\uffff", "\ufffe"} {
		doc, err := xmlDocument("xml", []Field{{"a", value}})
		if doc != nil || err == nil || !strings.Contains(err.Error(), "parameter a") {
			t.Errorf("%q: got %s, %v", value, doc, err)
		}
	}
}

// FuzzParseXML: no document does harm; what is read is what Go's own XML reader reads, and comes back the
// same after it was written.
func FuzzParseXML(f *testing.F) {
	for _, doc := range []string{
		`<xml><a>1</a><b><![CDATA[x]]]]><![CDATA[>]]></b></xml>`, `<!DOCTYPE a><a/>`, wxOK,
		`<?xml version="1.0" encoding="GBK"?><x><y z='1'/></x>`, `<a><!-- --><?b c?>&lt;&#65;&#x42;</a>`,
		"<a>\r\n<b>\r</b></a>", `<a:b><c><d/></c></a:b>`,
		"<xml><total_fee>1</total_fee><sign><![CDATA[0861927B848717EA2FC2AEA66546E322]]></sign></xml>",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		root, elements, err := readXML(doc)
		if err != nil {
			return
		}
		wantRoot, want, err := readByGo(doc)
		if err == nil && (root != wantRoot || !slices.Equal(elements, want)) {
			t.Fatalf("%q: got %s %+v, want %s %+v", doc, root, elements, wantRoot, want)
		}
		if err != nil && ascii(string(doc)) { // which other letters a name may have is a table, and no matter
			t.Fatalf("%q: read, and encoding/xml says %v", doc, err)
		}
		var fields []Field
		for _, e := range elements {
			if e.nested || xmlUnfit(e.text) != "" {
				return
			}
			fields = append(fields, Field{e.name, e.text})
		}
		written, err := xmlDocument(root, fields, "total_fee")
		if err != nil {
			t.Fatal(err)
		}
		if again, same, err := readXML(written); err != nil || again != root || !slices.Equal(same, elements) {
			t.Fatalf("%q became %q: %+v, %v", doc, written, same, err)
		}
	})
}

// readByGo reads a document with encoding/xml.
func readByGo(doc []byte) (root string, elements []xmlElement, err error) {
	decoder := xml.NewDecoder(bytes.NewReader(doc))
	decoder.CharsetReader = func(label string, input io.Reader) (io.Reader, error) {
		if strings.Contains(label, "ascii") {
			return input, nil
		}
		return simplifiedchinese.GB18030.NewDecoder().Reader(input), nil
	}
	depth := 0
	for {
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			return root, elements, nil
		}
		if err != nil {
			return "", nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			if token.Name.Space != "" {
				name = token.Name.Space + ":" + name
			}
			switch depth++; depth {
			case 1:
				root = name
			case 2:
				elements = append(elements, xmlElement{name: name})
			default:
				elements[len(elements)-1].nested = true
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 2 {
				elements[len(elements)-1].text += string(token)
			}
		}
	}
}
