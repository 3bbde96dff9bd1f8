package profile

import (
	"encoding/json"
	"strings"
	"testing"

	"paynotify/store"
)

var (
	anyRules = jsonRules{}
	phpRules = jsonRules{noNull: true, noLists: true, noEmptyObjects: true}
)

func TestCheckJSON(t *testing.T) {
	const number, name = "send it as a string", "begin it with a letter"
	for _, c := range []struct {
		params string
		at     string // the parameter; empty when nothing is wrong
		says   string
		cure   string
	}{
		{`{"a":9007199254740991,"b":-9007199254740991,"c":0,"d":-1,"e":[{"f":null}],"g":{},"h":[]}`, "", "", ""},
		{`{"a":9007199254740992}`, "a", "9007199254740992", number},
		{`{"a":-9007199254740992}`, "a", "2^53", number},
		{`{"a":12345678901234567890}`, "a", "2^53", number},
		{`{"a":88.88}`, "a", "88.88", number},
		{`{"a":1.0}`, "a", "fraction", number},
		{`{"a":1e2}`, "a", "exponent", number},
		{`{"a":-0}`, "a", "-0", number},
		{`{"a":-0.0}`, "a", "fraction", number},
		{`{"ok":1,"amount":{"total":{"yuan":1.5}}}`, "amount", `at "total.yuan"`, number},
		{`{"list":[1,[2,{"x":1.5}]]}`, "list", `at "[].[].x"`, number},
		{`{"0":"a"}`, "0", "JavaScript", name},
		{`{"17":"a"}`, "17", "JavaScript", name},
		{`{"-1":"a"}`, "-1", "JavaScript", name},
		{`{"4294967295":"a"}`, "4294967295", "JavaScript", name},
		{`{"99999999999999999999":"a"}`, "99999999999999999999", "PHP", name},
		{`{"a":{"b":[{"3":"a"}]}}`, "a", `at "b.[].3"`, name},
		{`{"01":"a","-0":"a","1.5":"a","1e3":"a","+1":"a","":"a","-":"a","--1":"a"," 1":"a","０":"a"}`, "", "", ""},
		{`{"a":"1","b":"2","a":"3"}`, "a", "twice", "give it once: receivers keep one of the two"},
		{`{"a":{"b\u0000":1}}`, "a", "control", "take the control characters out"},
		{`{"a\u007f":1}`, "a\x7f", "control", "take the control characters out"},
		{`{"a":` + nest(jsonLevelsMax) + `}`, "", "", ""},
		{`{"a":` + nest(jsonLevelsMax+1) + `}`, "a", "32 levels", "give it flatter, or as a string of JSON"},
		{`{"a":"","b":null,"c":"\u0000\u2028😀","d":true}`, "", "", ""},
	} {
		ps, err := ParseParams(json.RawMessage(c.params))
		if err != nil {
			t.Fatal(c.params, err)
		}
		faults := checkJSON(anyRules, &store.Notification{OutTradeNo: "20261121-1"}, ps)
		if c.at == "" {
			if len(faults) > 0 {
				t.Errorf("%s: %+v", c.params, faults)
			}
			continue
		}
		if len(faults) != 1 || faults[0].Location != "body.params."+c.at || faults[0].Cure != c.cure ||
			!strings.Contains(faults[0].Message, c.says) {
			t.Errorf("%s: got %+v, want one at %s with %q", c.params, faults, c.at, c.says)
		}
	}
}

// TestCheckJSONRules: what only some dialects refuse.
func TestCheckJSONRules(t *testing.T) {
	for params, says := range map[string]string{
		`{"a":null}`:                 "null",
		`{"a":{"b":{"c":null}}}`:     `at "b.c": it is null`,
		`{"a":[]}`:                   "a list",
		`{"a":{"b":[1]}}`:            `at "b": it is a list`,
		`{"a":{}}`:                   "an empty object",
		`{"a":{"b":{ },"c":"d"}}`:    `at "b": it is an empty object`,
		`{"a":{"b":{"c":"","d":1}}}`: "",
	} {
		ps, err := ParseParams(json.RawMessage(params))
		if err != nil {
			t.Fatal(params, err)
		}
		if faults := checkJSON(anyRules, &store.Notification{}, ps); len(faults) > 0 {
			t.Errorf("%s: %+v", params, faults)
		}
		faults := checkJSON(phpRules, &store.Notification{}, ps)
		if says == "" {
			if len(faults) > 0 {
				t.Errorf("%s: %+v", params, faults)
			}
			continue
		}
		if len(faults) != 1 || !strings.Contains(faults[0].Message, says) || faults[0].Location != "body.params.a" {
			t.Errorf("%s: got %+v, want one that says %s", params, faults, says)
		}
		wantComplete(t, faults)
	}
}

// TestCheckJSONText: what stands beside params is text as well.
func TestCheckJSONText(t *testing.T) {
	n := &store.Notification{OutTradeNo: "a\xff", NotifyType: "\xc3("}
	faults := checkJSON(anyRules, n, nil)
	if got := located(faults); got != "body.out_trade_no, body.notify_type" {
		t.Errorf("got %s", got)
	}
	for _, params := range []string{
		`{"a":"\ud800"}`, `{"a":{"\udc00":1}}`, "{\"a\":\"\xff\"}", `{"a":{"b":1,"b":1}}`,
	} {
		if _, err := ParseParams(json.RawMessage(params)); err == nil {
			t.Errorf("%q is taken for text", params)
		}
	}
}

func BenchmarkCheckJSON(b *testing.B) {
	_, n := sample(&wechatV3)
	ps, err := ParseParams(n.Params)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if faults := checkJSON(anyRules, n, ps); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
}
