package profile

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestParseParams(t *testing.T) {
	got, err := ParseParams(json.RawMessage(
		` {"a":"x\/\u00e9\ud83d\ude00\"", "n":-88.880e+2,"t":true , "f":false,"e":"","z":null,` +
			`"o":{"k":[1,"}"]},"l":[{"a":"]\""}], "中":"文"} `))
	if err != nil {
		t.Fatal(err)
	}
	want := Params{
		{"a", "x/é😀\"", KindString, json.RawMessage(`"x\/\u00e9\ud83d\ude00\""`)},
		{"n", "-88.880e+2", KindNumber, json.RawMessage(`-88.880e+2`)},
		{"t", "true", KindBool, json.RawMessage(`true`)},
		{"f", "false", KindBool, json.RawMessage(`false`)},
		{"e", "", KindString, json.RawMessage(`""`)},
		{"z", "", KindNull, json.RawMessage(`null`)},
		{"o", "", KindObject, json.RawMessage(`{"k":[1,"}"]}`)},
		{"l", "", KindList, json.RawMessage(`[{"a":"]\""}]`)},
		{"中", "文", KindString, json.RawMessage(`"文"`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if v, ok := got.Get("t"); v != "true" || !ok {
		t.Errorf("Get: %q, %t", v, ok)
	}
	if _, ok := got.Get("x"); ok {
		t.Error("Get found what is not there")
	}
}

func TestParseParamsRefuses(t *testing.T) {
	for _, raw := range []string{
		``, `null`, `[]`, `"a"`, `{`, `{"a"`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,}`, `{"a":1}}`, `{"a":1} x`,
		`{a:1}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":+1}`, `{"a":-}`, `{"a":1 2}`, `{"a":nul}`, `{"a":"x}`,
		"{\"a\":\"x\ny\"}", `{"a":"\q"}`, `{"a":"\ud83d"}`, `{"a":"\ude00x"}`, `{"a":"\`, "{\"a\":\"\xff\"}",
		`{"a":[}`,
		`{"a":{"b":1,"b":2}}`, `{"a":[1,]}`, `{"a":{]}`, `{"a":"\u12"}`, `{"a":[`,
	} {
		if ps, err := ParseParams(json.RawMessage(raw)); err == nil {
			t.Errorf("%q: got %+v, want an error", raw, ps)
		}
	}
	for _, raw := range []string{`{}`, ` { } `, `{"a":0}`, `{"a":-0.0E-7}`} {
		if _, err := ParseParams(json.RawMessage(raw)); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

// FuzzParseParams compares the scanner with jsontext, which is slower and known to be right.
func FuzzParseParams(f *testing.F) {
	for _, raw := range []string{
		`{}`, `{"a":"b","c":-1.5e3,"d":[true,{"x":null}]}`, `{"a":"\u00e9\ud83d\ude00"}`, `{"a":1`,
		`{"a":"\ud800"}`,
		`{"":""}`, ` {"a" : 1 , "b":2}`,
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := ParseParams(raw)
		value := jsontext.Value(raw)
		valid := value.IsValid(jsontext.AllowDuplicateNames(true)) && value.Kind() == '{'
		if valid != (err == nil) {
			if valid && !value.IsValid() {
				return // duplicate names: refused inside nested values, found by Check at the top
			}
			t.Fatalf("%q: %v, and jsontext says %t", raw, err, valid)
		}
		if err != nil {
			return
		}
		decoder := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true))
		decoder.ReadToken()
		for _, p := range got {
			name, err := decoder.ReadToken()
			if err != nil || name.String() != p.Name {
				t.Fatalf("%q: name %q, %v; want %q", raw, p.Name, err, name)
			}
			want, err := decoder.ReadValue()
			if err != nil || !bytes.Equal(want, p.Raw) {
				t.Fatalf("%q: value %s, %v; want %s", raw, p.Raw, err, want)
			}
			if text, ok := scalar(want); ok && text != p.Value {
				t.Fatalf("%q: %q, want %q", raw, p.Value, text)
			}
		}
		if decoder.PeekKind() != '}' {
			t.Fatalf("%q: members are missing in %+v", raw, got)
		}
	})
}
