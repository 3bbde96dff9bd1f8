package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// refusal is a set of parameters that some SDK would stumble over, as the caller writes it, and the parameter
// that the refusal must name.
type refusal struct{ params, at string }

// anyValue stands for a parameter that every dialect has.
const anyValue = "ANY"

// unfitNames do not come through a form, a query or XML.
var unfitNames = []string{
	"a.b", "a b", "a[]", "a[0]", "a-b", "中文", "a+b", "a=b", "a&b", "a%b", "é", "0", "1", "10", "1a", "_a", "__",
	"_", "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString",
	"valueOf", "__proto__", "", "a:b", "a/b", `a"b`, "<a>", "😀",
}

// unfitValues do not come through a form, a query or XML; beside them, objects and lists are none.
var unfitValues = []string{
	`"@"`, `"@file"`, `" a"`, `"a "`, `"\ta"`, `"a\t"`, `"\na"`, `"a\n"`, `"a\r\n"`, `"\u3000a"`, `"a\u3000"`,
	`"a\u00a0"`, `"\u2003a"`, `"a\u2028"`, `"a\u2029"`, `"\u0085a"`, `"a\u1680"`, `"a\u202f"`, `"a\u205f"`,
	`"\ufeffa"`, `"a\ufeff"`, `" "`, `"\ufeff"`, `"a\u000b"`, `"a\f"`, `{}`, `[]`, `{"a":"1"}`, `["a"]`,
}

func formRefusals() (list []refusal) {
	for _, name := range unfitNames {
		list = append(list, refusal{fmt.Sprintf(`{%q:"x"}`, name), name})
	}
	for _, value := range unfitValues {
		list = append(list, refusal{`{"ANY":` + value + `}`, anyValue})
	}
	list = append(list, reservedRefusals()...)
	return append(list,
		refusal{`{"coupon":"1","coupon1":"2"}`, "coupon1"},
		refusal{`{"coupon9":"1","a":"0","coupon":"2"}`, "coupon9"},
		refusal{`{"ANY":"x","ANY1":"y"}`, anyValue + "1"},
	)
}

func reservedRefusals() (list []refusal) {
	for _, name := range []string{"notify_id", "notify_time", "sign", "sign_type"} {
		list = append(list, refusal{fmt.Sprintf(`{%q:"x"}`, name), name})
	}
	return append(list,
		refusal{`{"out_trade_no":"another"}`, "out_trade_no"},
		refusal{`{"notify_type":"another"}`, "notify_type"},
	)
}

func xmlRefusals() []refusal {
	list := formRefusals()
	for _, bad := range []string{
		`\r`, `\r\n`, `\u0000`, `\u0001`, `\b`, `\u000b`, `\f`, `\u001f`, `\ufffe`, `\uffff`, `]]>`,
	} {
		list = append(list, refusal{`{"attach":"a` + bad + `b"}`, "attach"})
	}
	return append(list,
		refusal{`{"my_field":"x"}`, "my_field"}, refusal{`{"coupon_fee_3":1}`, "coupon_fee_3"},
		refusal{`{"total_fee":1.5}`, "total_fee"}, refusal{`{"total_fee":"007"}`, "total_fee"},
		refusal{`{"total_fee":"1e3"}`, "total_fee"}, refusal{`{"cash_fee":-0}`, "cash_fee"},
		refusal{`{"nonce_str":"x"}`, "nonce_str"}, refusal{`{"transaction_id":"x&"}`, "transaction_id"},
		refusal{`{"req_info":"x"}`, "req_info"},
	)
}

// unfitJSON are values that a JSON parser changes, at any depth.
var unfitJSON = []string{
	`1.5`, `1.0`, `0.1`, `1e3`, `1E3`, `1e-3`, `-1.5`, `9007199254740992`,
	`-9007199254740992`, `123456789012345678901`,
	`-0`, `{"1":"x"}`, `{"0":1}`, `{"a":{"42":1}}`, `[1.5]`, `[[1e3]]`, `{"a":[{"b":9007199254740992}]}`,
	`[{"7":null}]`,
}

func jsonRefusals() []refusal {
	list := reservedRefusals()
	for _, value := range unfitJSON {
		list = append(list, refusal{`{"ANY":` + value + `}`, anyValue})
	}
	for _, name := range []string{"0", "1", "42", "4294967294"} {
		list = append(list, refusal{fmt.Sprintf(`{%q:"x"}`, name), name})
	}
	return list
}

func phpRefusals() []refusal {
	list := append(jsonRefusals(), refusal{`{"signature":"x"}`, "signature"})
	for _, value := range []string{
		`null`, `[]`, `[1]`, `{}`, `{"a":null}`, `{"a":{}}`, `{"a":["x"]}`, `{"a":{"b":[]}}`,
	} {
		list = append(list, refusal{`{"ANY":` + value + `}`, anyValue})
	}
	return list
}

// strict says what a profile must refuse.
type strict struct {
	name       string
	settings   object
	any        string // a parameter of the dialect that takes any text
	refusals   []refusal
	particular []refusal
}

var stricts = []strict{
	{
		name: "alipay", settings: object{"profile": "alipay", "app_id": appID}, any: "subject",
		refusals: formRefusals(), particular: []refusal{
			{`{"app_id1":"x"}`, "app_id1"},
			{`{"charset2":"x"}`, "charset2"},
			{`{"zz":"x&"}`, "zz"},
			{`{"version":"1&"}`, "version"},
		},
	},
	{
		name: "alipay-gbk", any: "subject", refusals: formRefusals(),
		settings: object{"profile": "alipay", "app_id": appID, "charset": "gbk"}, particular: []refusal{
			{`{"subject":"1 €"}`, "subject"}, {`{"subject":"😀"}`, "subject"}, {`{"subject":"é한"}`, "subject"},
		},
	},
	{
		name: "alipay_mapi", settings: object{"profile": "alipay_mapi"}, any: "subject", refusals: formRefusals(),
		particular: []refusal{{`{"zz":"x&"}`, "zz"}, {`{"notify_type7":"x"}`, "notify_type7"}},
	},
	{
		name: "form", settings: object{"profile": "form"}, any: "subject", refusals: formRefusals(),
		particular: []refusal{{`{"zz":"x&"}`, "zz"}},
	},
	{
		name: "json_rsa-form", settings: object{"profile": "json_rsa"}, any: "subject", refusals: formRefusals(),
		particular: []refusal{{`{"signature":"x"}`, "signature"}},
	},
	{
		name: "epay", settings: object{"profile": "epay"}, any: "name", refusals: formRefusals(),
		particular: []refusal{{`{"pid1":"x"}`, "pid1"}, {`{"zz":"x&"}`, "zz"}},
	},
	{
		name: "jeepay", settings: object{"profile": "jeepay"}, any: "subject", refusals: formRefusals(),
		particular: []refusal{
			{`{"mchNo1":"x"}`, "mchNo1"}, {`{"reqTime":"x"}`, "reqTime"}, {`{"State":"1","state":"2"}`, "state"},
		},
	},
	{
		name: "wechat_v2", settings: object{"profile": "wechat_v2", "app_id": wechatAppID}, any: "attach",
		refusals: xmlRefusals(),
	},
	{
		name: "wechat_v3", settings: object{"profile": "wechat_v3", "app_id": wechatAppID}, any: "attach",
		refusals: jsonRefusals(),
	},
	{name: "standard", settings: object{"profile": "standard"}, any: "amount", refusals: jsonRefusals()},
	{name: "stripe", settings: object{"profile": "stripe"}, any: "amount", refusals: jsonRefusals()},
	{
		name: "json_rsa", settings: object{"profile": "json_rsa", "options": object{"body": "json"}}, any: "amount",
		refusals: phpRefusals(),
	},
}

// TestRefusals: what is known to break a verifier of a dialect is refused at accept with 422, alone and in a
// batch, and the refusal names the parameter and a cure. What stands beside it in the batch is accepted.
func TestRefusals(t *testing.T) {
	for _, s := range stricts {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			m := register(t, s.settings)
			var paused json.RawMessage // nothing needs to be sent
			call(t, http.MethodPost, "/v1/merchants/"+m.MchID+"/pause", object{}, &paused)
			good := s.item(m, refusal{params: `{"ANY":"支付成功 & 1"}`})
			batch := []object{good}
			cases := slices.Concat(s.refusals, s.particular)
			for _, c := range cases {
				item := s.item(m, c)
				batch = append(batch, item, good)
				var p problem
				if status := call(t, http.MethodPost, "/v1/notifications", item, &p); !s.right(c, status, p) {
					t.Errorf("%s: %d %s", c.params, status, p)
				}
			}
			for i, result := range acceptBatch(t, batch) {
				if i%2 == 0 && result.Status != http.StatusAccepted {
					t.Errorf("a good one beside bad ones: %d %s", result.Status, result.Problem)
				}
				if c := cases[max(0, (i-1)/2)]; i%2 == 1 && !s.right(c, result.Status, result.Problem) {
					t.Errorf("%s in a batch: %d %s", c.params, result.Status, result.Problem)
				}
			}
		})
	}
}

// item is the notification of a case.
func (s strict) item(m known, c refusal) object {
	return object{
		"mch_id": m.MchID, "out_trade_no": "20261121-1",
		"params": json.RawMessage(strings.ReplaceAll(c.params, anyValue, s.any)),
	}
}

// right reports whether a case was refused as it should be.
func (s strict) right(c refusal, status int, p problem) bool {
	return status == http.StatusUnprocessableEntity && p.Status == status &&
		p.names("body.params."+strings.ReplaceAll(c.at, anyValue, s.any))
}

// unreadable are bodies that hold no text, or hold two things under one name.
var unreadable = map[string]string{
	"a lone surrogate in a value": `{"a":"\ud800"}`,
	"a lone surrogate in a name":  `{"\udc00":"x"}`,
	"invalid UTF-8":               "{\"a\":\"\xff\"}",
	"a surrogate in UTF-8":        "{\"a\":\"\xed\xa0\x80\"}",
	"a name twice":                `{"a":"1","a":"2"}`,
	"a name twice further down":   `{"a":{"b":"1","b":"2"}}`,
}

// TestUnreadable: what is no JSON text that all parsers agree on is refused with 400, also in a batch.
func TestUnreadable(t *testing.T) {
	for _, profile := range []string{
		"alipay", "epay", "form", "json_rsa", "standard", "stripe", "wechat_v2", "wechat_v3",
	} {
		m := register(t, object{"profile": profile})
		for name, params := range unreadable {
			item := fmt.Sprintf(`{"mch_id":%q,"out_trade_no":"1","params":%s}`, m.MchID, params)
			for path, body := range map[string]string{
				"/v1/notifications":       item,
				"/v1/notifications/batch": `{"notifications":[` + item + `]}`,
			} {
				status, answer := callRaw(t, http.MethodPost, path, []byte(body))
				var p problem
				if err := json.Unmarshal(answer, &p); err != nil || status != http.StatusBadRequest ||
					p.Type != "/problems/malformed-json" {
					t.Errorf("%s, %s to %s: %d %s", profile, name, path, status, answer)
				}
			}
		}
	}
}
