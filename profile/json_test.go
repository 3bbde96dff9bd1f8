package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paynotify/store"
)

// TestAppendText escapes what JSON.stringify escapes, and nothing else.
func TestAppendText(t *testing.T) {
	for text, want := range map[string]string{
		"":                          `""`,
		"a\"b\\c":                   `"a\"b\\c"`,
		"\b\f\n\r\t":                `"\b\f\n\r\t"`,
		"\x00\x01\x0b\x0e\x1f":      `"\u0000\u0001\u000b\u000e\u001f"`,
		"/<>&'\x7f\u2028\u2029":     "\"/<>&'\x7f\u2028\u2029\"",
		"支付成功 😀é\ufeff\ufffd\u00a0": "\"支付成功 😀é\ufeff\ufffd\u00a0\"",
	} {
		if got := string(appendText(nil, text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestAppendValue(t *testing.T) {
	for raw, want := range map[string]string{
		` { "b" : 1 , "a" : [ true , null , { } , [ ] , -0.10e+5 ] } `: `{"b":1,"a":[true,null,{},[],-0.10e+5]}`,
		`"\u4e2d\/\u00e9\ud83d\ude00\u2028\u003c\u001F"`:               "\"中/é😀\u2028<\\u001f\"",
		`{"\u0061\n":"x"}`:     `{"a\n":"x"}`,
		`{"":{"":[[]]}}`:       `{"":{"":[[]]}}`,
		`{"a":"{","b":"["}`:    `{"a":"{","b":"["}`,
		"\tfalse\r\n":          `false`,
		`18446744073709551616`: `18446744073709551616`,
		nest(jsonLevelsMax):    nest(jsonLevelsMax),
	} {
		got, err := appendValue([]byte("before"), json.RawMessage(raw))
		if err != nil || string(got) != "before"+want {
			t.Errorf("%s: got %s, %v; want %s", raw, got, err, want)
		}
	}
}

// nest is that many lists in each other.
func nest(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

func TestAppendValueRefuses(t *testing.T) {
	for _, raw := range []string{
		``, ` `, `{`, `[`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `{1:1}`, `[1,]`, `[1 2]`,
		`[1}`,
		`{"a":1]`, `{"a":1} x`, `tru`, `"a`, "\"\xff\"", `"\ud800"`, `{"\udc00":1}`, "\"\n\"", `01`, `1.`, `-`,
		nest(jsonLevelsMax + 1), strings.Repeat(`{"a":`, 100000),
	} {
		if got, err := appendValue(nil, json.RawMessage(raw)); err == nil {
			t.Errorf("%.40q: got %s, want an error", raw, got)
		}
	}
}

// TestAppendMembers: a parameter takes the place of a default of its name, and stands where the caller put
// it; empty ones and null are sent as they are.
func TestAppendMembers(t *testing.T) {
	ps, err := ParseParams(json.RawMessage(
		`{"z": "1", "id":null, "e":"", "n":0, "t":true, "f":false, "o":{"a":[1, {"b":"/"}]}, "kind":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defaults := []Field{{"id", "1"}, {"first", "\n"}, {"empty", ""}, {"kind", "y"}}
	for begin, want := range map[string]string{
		"{":        `{"first":"\n",`,
		`{"a":"b"`: `{"a":"b","first":"\n",`,
	} {
		b, err := appendMembers(appendDefaults([]byte(begin), defaults, ps), ps)
		want += `"z":"1","id":null,"e":"","n":0,"t":true,"f":false,"o":{"a":[1,{"b":"/"}]},"kind":"x"`
		if err != nil || string(b) != want {
			t.Errorf("got %s, %v; want %s", b, err, want)
		}
	}
	deep := Params{{Name: "deep", Kind: KindList, Raw: json.RawMessage(nest(jsonLevelsMax + 1))}}
	if _, err := appendMembers([]byte("{"), deep); !errors.Is(err, errJSONLevels) ||
		!strings.Contains(err.Error(), "deep") {
		t.Errorf("got %v", err)
	}
}

func TestJSONMembers(t *testing.T) {
	got, err := jsonMembers([]byte(` {"a":"x\/\u00e9","n":1.50,"o":{"b": [1]},"z":null,"t":true} `))
	want := []Field{{"a", "x/é"}, {"n", "1.50"}, {"o", `{"b": [1]}`}, {"z", "null"}, {"t", "true"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for raw, rule := range map[string]Rule{
		``: RuleEncoding, `[]`: RuleEncoding, `"a"`: RuleEncoding, `{"a":1`: RuleEncoding, `{"a":01}`: RuleEncoding,
		"\ufeff{}": RuleEncoding, "{\"a\":\"\xff\"}": RuleEncoding, `{"a":1} {}`: RuleEncoding, `a=b`: RuleEncoding,
		`{"a":1,"a":1}`: RuleParameter, `{"a":{"b":1,"b":1}}`: RuleEncoding,
	} {
		_, err := jsonMembers([]byte(raw))
		if wrong := (*VerifyError)(nil); !errors.As(err, &wrong) || wrong.Rule != rule {
			t.Errorf("%q: got %v, want rule %s", raw, err, rule)
		}
	}
}

// anyText draws texts with the runes that encoders disagree about.
var anyText = rapid.StringOfN(rapid.OneOf(
	rapid.RuneFrom([]rune("aZ09 /<>&'\"\\\b\f\n\r\t\v\x00\x1f\x7f\u0080\u00a0\u2028\u2029"+
		"\ufeff\ufffd中é😀\U0010ffff")),
	rapid.Rune(),
), 0, 12, -1)

// anyJSON draws JSON as a caller may write it: any escapes, white space, order.
func anyJSON(t *rapid.T, levels int) string {
	blank := rapid.SampledFrom([]string{"", " ", "\n\t"})
	text := func() string {
		raw := appendText(nil, anyText.Draw(t, "text"))
		if rapid.Bool().Draw(t, "escaped") {
			raw, _ = json.Marshal(json.RawMessage(raw)) // escapes <, >, & and U+2028
			raw = bytes.ReplaceAll(raw, []byte("/"), []byte(`\/`))
		}
		return string(raw)
	}
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if levels == 0 {
		kind %= 4
	}
	var items []string
	switch kind {
	case 0, 1:
		return text()
	case 2:
		return fmt.Sprint(rapid.Int64Range(-1<<53-2, 1<<53+2).Draw(t, "number"))
	case 3:
		return rapid.SampledFrom([]string{"true", "false", "null", "-0", "1.0", "1e2", "0", "{ }", "[ ]"}).
			Draw(t, "word")
	case 4:
		for range rapid.IntRange(0, 4).Draw(t, "items") {
			items = append(items, anyJSON(t, levels-1))
		}
		return "[" + strings.Join(items, blank.Draw(t, "blank")+",") + "]"
	}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		name := text()
		if rapid.IntRange(0, 9).Draw(t, "named so") == 0 {
			name = rapid.SampledFrom([]string{`"7"`, `"-1"`, `"01"`, `"1e3"`, `"4294967295"`, `"__proto__"`, `"1.5"`}).
				Draw(t, "name")
		}
		items = append(items, name+blank.Draw(t, "blank")+":"+anyJSON(t, levels-1))
	}
	return "{" + strings.Join(items, ","+blank.Draw(t, "blank")) + "}"
}

// TestFixedPointOfJavaScript: whatever checkJSON lets in comes out of node's JSON.stringify(JSON.parse(body))
// as the bytes that we sent.
func TestFixedPointOfJavaScript(t *testing.T) {
	const documents = 30 // in each of rapid's rounds
	var bodies []string
	rapid.Check(t, func(t *rapid.T) {
		for range documents {
			name := string(appendText(nil, anyText.Draw(t, "name")))
			raw := `{"a":` + anyJSON(t, 4) + `,` + name + `:` + anyJSON(t, 2) + `}`
			ps, err := ParseParams(json.RawMessage(raw))
			if err != nil {
				continue // a name twice
			}
			n := &store.Notification{OutTradeNo: anyText.Draw(t, "out_trade_no")}
			if len(checkJSON(jsonRules{}, n, ps)) > 0 {
				continue
			}
			b, err := appendMembers(appendDefaults([]byte{'{'}, []Field{{"out_trade_no", n.OutTradeNo}}, ps), ps)
			if err != nil {
				t.Fatalf("let in, and %v: %s", err, raw)
			}
			bodies = append(bodies, string(append(b, '}')))
		}
	})
	if len(bodies) < documents {
		t.Fatalf("only %d documents were let in", len(bodies))
	}
	for i, got := range javaScript(t, bodies) {
		if got != bodies[i] {
			t.Fatalf("JavaScript makes\n%q of\n%q", got, bodies[i])
		}
	}
}

// javaScript has node parse each document and write it out again.
func javaScript(t *testing.T, documents []string) []string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	cmd := exec.Command(node, "-e", `
		const lines = require("fs").readFileSync(0, "utf8").split("\n");
		process.stdout.write(lines.map(l => JSON.stringify(JSON.parse(l))).join("\n"));`)
	cmd.Stdin = strings.NewReader(strings.Join(documents, "\n")) // none holds a newline
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(out), "\n")
}

// TestJavaScriptChanges: what checkJSON refuses for JavaScript's sake is changed by it, so the rules are as
// wide as they have to be; and what stands next to them comes through.
func TestJavaScriptChanges(t *testing.T) {
	changed := []string{
		`{"a":9007199254740993}`, `{"a":-9007199254740993}`, `{"a":1.0}`, `{"a":0.10}`, `{"a":1e2}`, `{"a":-0}`,
		`{"b":1,"0":1}`, `{"b":1,"4294967294":1}`, `{"a":{"b":[{"10":1,"9":1}]}}`,
	}
	kept := []string{
		`{"a":9007199254740991}`, `{"a":-9007199254740991}`, `{"a":0}`,
		`{"b":1,"01":1,"-0":1,"1.5":1,"1e3":1,"":1}`,
		`{"__proto__":{"constructor":1},"toString":null}`,
		`{"a":"\u0000\u001f\b\f\n\r\t\"\\/<>&'` + "\x7f\u2028\ufeff😀" + `"}`,
	}
	for i, got := range javaScript(t, append(changed, kept...)) {
		before := append(changed, kept...)[i]
		ps, err := ParseParams(json.RawMessage(before))
		if err != nil {
			t.Fatal(before, err)
		}
		faults := checkJSON(jsonRules{}, &store.Notification{}, ps)
		if refused := len(faults) > 0; refused != (i < len(changed)) || refused != (got != before) {
			t.Errorf("%s became %s in JavaScript, and checkJSON says %+v", before, got, faults)
		}
	}
}

// FuzzJSON: what the encoder writes is valid, the same again when it is encoded again, and means what was
// given; and it writes all that checkJSON lets in.
func FuzzJSON(f *testing.F) {
	for _, raw := range []string{
		`{"a":{"b":[1,-0,1.5,9007199254740992,null,{}]},"1":"\ud83d\ude00\/\u2028"}`, ` [ ] `, `"\u0000\u007f"`,
		`{"a":{"a":1,"a":2}}`, `{"a":1,"a":2}`, nest(40), `{"o":` + nest(jsonLevelsMax) + `}`,
		`{"o":` + nest(33) + `}`,
		"{\"a\":\"\ufeff\"}", `{"":[[{"-1":{}}]]}`,
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := appendValue(nil, raw)
		value := jsontext.Value(raw)
		if valid := value.IsValid(jsontext.AllowDuplicateNames(true)); valid != (err == nil) {
			if !valid || !errors.Is(err, errJSONLevels) {
				t.Fatalf("%q: valid %t, and %v", raw, valid, err)
			}
		}
		if err == nil {
			twice, err := appendValue(nil, once)
			if err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("%s became %s, %v", once, twice, err)
			}
			sameJSON(t, raw, once)
		}
		ps, err := ParseParams(raw)
		if err != nil {
			return
		}
		for _, rules := range []jsonRules{{}, {noNull: true, noLists: true, noEmptyObjects: true}} {
			if len(checkJSON(rules, &store.Notification{}, ps)) > 0 {
				continue
			}
			b, err := appendMembers([]byte{'{'}, ps)
			if err != nil {
				t.Fatalf("let in, and %v: %s", err, raw)
			}
			sameJSON(t, raw, append(b, '}'))
		}
	})
}

// sameJSON compares two documents token by token.
func sameJSON(t *testing.T, a, b []byte) {
	t.Helper()
	da := jsontext.NewDecoder(bytes.NewReader(a), jsontext.AllowDuplicateNames(true))
	db := jsontext.NewDecoder(bytes.NewReader(b), jsontext.AllowDuplicateNames(true))
	for {
		ta, errA := da.ReadToken()
		if errA != nil {
			if _, errB := db.ReadToken(); fmt.Sprint(errA) != fmt.Sprint(errB) {
				t.Fatalf("%q ends with %v, %q with %v", a, errA, b, errB)
			}
			return
		}
		kind, text := ta.Kind(), ta.String()
		if tb, err := db.ReadToken(); err != nil || tb.Kind() != kind || tb.String() != text {
			t.Fatalf("%q has %s, %q has %v, %v", a, text, b, tb, err)
		}
	}
}

func BenchmarkAppendMembers(b *testing.B) {
	_, n := sample(&wechatV3)
	ps, err := ParseParams(n.Params)
	if err != nil {
		b.Fatal(err)
	}
	room := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := appendMembers(append(room, '{'), ps); err != nil {
			b.Fatal(err)
		}
	}
}
