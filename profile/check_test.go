package profile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"paynotify/store"
)

// located lists "location slug" of the faults.
func located(faults []Fault) string {
	var b strings.Builder
	for i, f := range faults {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.Location)
		if f.Slug != "" {
			b.WriteString(" (" + f.Slug + ")")
		}
	}
	return b.String()
}

func wantComplete(t *testing.T, faults []Fault) {
	t.Helper()
	for _, f := range faults {
		if f.Location == "" || f.Message == "" || f.Cure == "" {
			t.Errorf("incomplete fault %+v", f)
		}
	}
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"p%c%c":"x"`, 'a'+i/26, 'a'+i%26)
	}
	return "{" + b.String()[1:] + "}"
}

// paramCases are params with the locations of their faults, beside out_trade_no A1 and notify_type nt.
var paramCases = []struct{ params, want string }{
	{`{}`, ""},
	{`{"trade_no":"1","total_amount":88.88,"ok":true,"none":null,"empty":""}`, ""},
	{manyParams(200), ""},
	{manyParams(201), "body.params"},
	{`[]`, "body.params"},
	{`{"a":"\ud800"}`, "body.params"},

	{`{"notify_id":"x"}`, "body.params.notify_id (reserved-parameter)"},
	{`{"sign":"x","sign_type":"","notify_time":null}`, "body.params.sign (reserved-parameter), " +
		"body.params.sign_type (reserved-parameter), body.params.notify_time (reserved-parameter)"},
	{`{"out_trade_no":"A1","notify_type":"nt"}`, ""},
	{`{"out_trade_no":"A2"}`, "body.params.out_trade_no"},
	{`{"out_trade_no":null}`, "body.params.out_trade_no"},
	{`{"out_trade_no":["A1"]}`, "body.params.out_trade_no, body.params.out_trade_no"},
	{`{"notify_type":"other"}`, "body.params.notify_type"},

	{`{"o":{"a":1}}`, "body.params.o"},
	{`{"l":[1]}`, "body.params.l"},
	{`{"fund_bill_list":"[{\"amount\":\"1.00\"}]"}`, ""},

	{`{"":"x"}`, "body.params."},
	{`{"a.b":"x"}`, "body.params.a.b"},
	{`{"a[]":"x"}`, "body.params.a[]"},
	{`{"a b":"x"}`, "body.params.a b"},
	{`{"a\u0000":"x"}`, "body.params.a\x00"},
	{`{"名":"x"}`, "body.params.名"},
	{`{"_a":"x"}`, "body.params._a"},
	{`{"9":"x"}`, "body.params.9"},
	{`{"toString":"x"}`, "body.params.toString"},
	{`{"__proto__":"x"}`, "body.params.__proto__"},
	{`{"a_1":"x","aA":"y","a":"z"}`, ""},
	{`{"coupon2":"x","coupon":"y"}`, "body.params.coupon2"},
	{`{"coupon":"y","coupon2x":"x"}`, "body.params.coupon2x"},
	{`{"version2":"x"}`, "body.params.version2"},
	{`{"out_trade_no1":"x"}`, "body.params.out_trade_no1"},
	{`{"a":"1","b":"2","a":"1"}`, "body.params.a"},
	{`{"version":"2.0","auth_app_id":"x"}`, ""},

	{`{"a":"@x"}`, "body.params.a"},
	{`{"a":"x@y"}`, ""},
	{`{"a":" x"}`, "body.params.a"},
	{`{"a":"x\n"}`, "body.params.a"},
	{`{"a":"x\ny\tz"}`, ""},
	{`{"a":"\u3000x"}`, "body.params.a"},
	{`{"a":"x\u00a0"}`, "body.params.a"},
	{`{"a":"\u2003"}`, "body.params.a"},
	{`{"a":"x\u2028"}`, "body.params.a"},
	{`{"a":"\ufeffx"}`, "body.params.a"},
	{`{"a":"x\u0085"}`, "body.params.a"},
	{`{"a":"中\u3000文"}`, ""},
	{`{"a":"x&","z":"1"}`, ""},
	{`{"a":"x","z":"1&"}`, "body.params.z"},
	{`{"a":"x&"}`, ""}, // version comes behind it
	{`{"version":"1&"}`, "body.params.version"},
	{`{"charset":"UTF-8"}`, ""},
	{`{"charset":"GBK"}`, "body.params.charset"},
}

// TestCheckParams: each rule on what may be among the params, for a form dialect.
func TestCheckParams(t *testing.T) {
	for _, c := range paramCases {
		m := &store.Merchant{MchID: "m1", Profile: "alipay"}
		n := &store.Notification{OutTradeNo: "A1", NotifyType: "nt", Params: json.RawMessage(c.params)}
		faults := Check(&alipay, m, n)
		if got := located(faults); got != c.want {
			t.Errorf("%.80s: got %q, want %q", c.params, got, c.want)
		}
		wantComplete(t, faults)
	}
}

// TestCheckLastParameter: without `version` behind it, any parameter can be the last one.
func TestCheckLastParameter(t *testing.T) {
	for _, c := range []struct{ params, out, want string }{
		{`{"trade_no":"1&"}`, "A1", "body.params.trade_no"},
		{`{"trade_no":"1&","z":""}`, "A1", "body.params.trade_no"},
		{`{"a":"1&"}`, "A1", ""},
		{`{}`, "A&", "body.out_trade_no"},
		{`{"z":1}`, "A&", ""},
		{`{"a":"1&"}`, "", ""}, // notify_type is sent by default
	} {
		n := &store.Notification{OutTradeNo: c.out, Params: json.RawMessage(c.params)}
		faults := Check(&alipayMapi, &store.Merchant{MchID: "m1"}, n)
		if got := located(faults); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.params, c.out, got, c.want)
		}
	}
	n := &store.Notification{Params: json.RawMessage(`{"p":"1&"}`)}
	if got := located(Check(&form, &store.Merchant{}, n)); got != "body.params.p" {
		t.Errorf("form without notify_type: got %q", got)
	}
}

// TestCheckOuter: what stands beside params.
func TestCheckOuter(t *testing.T) {
	m := &store.Merchant{MchID: "m1"}
	for _, c := range []struct {
		n    store.Notification
		want string
	}{
		{store.Notification{OutTradeNo: strings.Repeat("单", 64)}, ""},
		{store.Notification{OutTradeNo: strings.Repeat("1", 65)}, "body.out_trade_no"},
		{store.Notification{OutTradeNo: "a\x7fb"}, "body.out_trade_no"},
		{store.Notification{OutTradeNo: "@1"}, "body.out_trade_no"},
		{store.Notification{OutTradeNo: "1 "}, "body.out_trade_no"},
		{store.Notification{NotifyType: "a\x01b"}, "body.notify_type"},
		{store.Notification{NotifyType: strings.Repeat("t", 129)}, "body.notify_type"},
		{store.Notification{NotifyURL: "https://b.example/n"}, ""},
		{store.Notification{NotifyURL: "https://b.example/n?x=1"}, "body.notify_url (notify-url)"},
		{store.Notification{Schedule: "1s,2s"}, ""},
		{store.Notification{Schedule: "soon"}, "body.schedule"},
	} {
		c.n.Params = json.RawMessage(`{}`)
		faults := Check(&alipay, m, &c.n)
		if got := located(faults); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.n, got, c.want)
		}
		wantComplete(t, faults)
	}
}

// TestCheckGBK: what GBK cannot carry is refused, and what is accepted comes back unchanged.
func TestCheckGBK(t *testing.T) {
	m := &store.Merchant{MchID: "m1", Charset: "gbk"}
	for text, want := range map[string]string{
		"当面付 A&B": "", "¤·ˊ—㎡〡丂鎔": "", "plain": "",
		"€": "body.params.a", "x😀": "body.params.a", "é中ß": "body.params.a", "ǹ": "body.params.a",
		"㐀": "body.params.a", "⿰": "body.params.a", "\ue000": "body.params.a", "\ufffd": "body.params.a",
	} {
		raw, err := json.Marshal(map[string]string{"a": text})
		if err != nil {
			t.Fatal(err)
		}
		n := &store.Notification{Params: raw}
		if got := located(Check(&alipay, m, n)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if err := toGBK([]Field{{"a", text}}); (err != nil) != (want != "") {
			t.Errorf("%q: encoding says %v", text, err)
		}
		if want != "" {
			if got := located(Check(&alipay, &store.Merchant{}, n)); got != "" {
				t.Errorf("%q in UTF-8: got %q", text, got)
			}
		}
	}
	n := &store.Notification{Params: json.RawMessage(`{}`), OutTradeNo: "€1"}
	if got := located(Check(&alipay, m, n)); got != "body.out_trade_no" {
		t.Errorf("got %q", got)
	}
}

func paymentParams() json.RawMessage {
	return json.RawMessage(`{"trade_no":"2026112122001004330000121536","buyer_id":"2088102122524333",` +
		`"seller_id":"2088101106499364","trade_status":"TRADE_SUCCESS","total_amount":"20.00",` +
		`"receipt_amount":15.00,` +
		`"invoice_amount":"10.00","buyer_pay_amount":"13.88","point_amount":"12.00","subject":"order 1 & more",` +
		`"body":"line one","gmt_create":"2026-11-21 13:05:01","gmt_payment":"2026-11-21 13:05:04",` +
		`"fund_bill_list":"[{\"amount\":\"15.00\"}]","passback_params":"merchantBizType=3C"}`)
}

func BenchmarkParseParams(b *testing.B) {
	raw := paymentParams()
	b.ReportAllocs()
	for b.Loop() {
		if ps, err := ParseParams(raw); err != nil || len(ps) != 15 {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	m := &store.Merchant{MchID: "m1", Profile: "alipay"}
	n := &store.Notification{OutTradeNo: "20261121-1", Params: paymentParams(), Schedule: "alipay"}
	b.ReportAllocs()
	for b.Loop() {
		if faults := Check(&alipay, m, n); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
}
