package profile

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/store"
)

func withOption(name string, value any) store.Merchant {
	return store.Merchant{Options: map[string]any{name: value}}
}

func withAck(a store.Ack) store.Merchant { return store.Merchant{Ack: a} }

// merchantCases are settings with the locations of their faults.
var merchantCases = []struct {
	p    *Profile
	m    store.Merchant
	want string
}{
	{&alipay, store.Merchant{
		Name: "Shop 1", SignType: "RSA", Charset: "gbk", Schedule: "15s,1m", MaxInflight: 1000, RatePerSecond: 0.5,
		NotifyURL: "https://shop.example/n", AppID: "2021000000000001", Options: map[string]any{
			"sign_type_in": "query", "notify_time": "freeze", "partner": "2088", "probe": false, "allow_query": true,
			"hosts": []any{"a.example", "b.example"},
		}, Ack: store.Ack{
			Match: "trim_fold", Text: "OK", Status: []string{"200", "2xx", "500"},
			Lenient: []store.Reason{store.AckHTML},
		},
	}, ""},
	{&form, store.Merchant{SignType: "none", NotifyURL: "http://shop.example/n?x=1"}, ""},
	{&alipay, store.Merchant{SignType: "MD5"}, "body.sign_type"},
	{&form, store.Merchant{SignType: "RSA2"}, "body.sign_type"},
	{&form, store.Merchant{Charset: "gbk"}, "body.charset"},
	{&alipay, store.Merchant{Charset: "latin1"}, "body.charset"},
	{&alipay, store.Merchant{Name: "a\x1b[31m"}, "body.name"},
	{&alipay, store.Merchant{AppID: " 1"}, "body.app_id"},
	{&alipay, store.Merchant{AppID: "1\x00"}, "body.app_id"},
	{&alipay, store.Merchant{Schedule: "4"}, "body.schedule"},
	{&alipay, store.Merchant{MaxInflight: 1001}, "body.max_inflight"},
	{&alipay, store.Merchant{MaxInflight: -1}, "body.max_inflight"},
	{&alipay, store.Merchant{RatePerSecond: -1}, "body.rate_per_second"},
	{&alipay, store.Merchant{RatePerSecond: math.NaN()}, "body.rate_per_second"},
	{&alipay, store.Merchant{NotifyURL: "https://shop.example/n?x=1"}, "body.notify_url (notify-url)"},
	{&alipayMapi, store.Merchant{NotifyURL: "https://shop.example/n?"}, "body.notify_url (notify-url)"},
	{&alipay, store.Merchant{
		NotifyURL: "https://shop.example/n?x=1", Options: map[string]any{"allow_query": true},
	}, ""},
	{&alipay, store.Merchant{
		NotifyURL: "https://shop.example/n?x=1",
		Options:   map[string]any{"allow_query": true, "sign_type_in": "query"},
	}, "body.notify_url (notify-url)"},

	{&alipay, withOption("sign_type_in", "header"), "body.options.sign_type_in"},
	{&alipay, withOption("sign_type_in", true), "body.options.sign_type_in"},
	{&form, withOption("sign_type_in", "body"), "body.options.sign_type_in"},
	{&alipay, withOption("no_such", "x"), "body.options.no_such"},
	{&alipay, withOption("probe", true), ""},
	{&alipay, withOption("probe", "false"), "body.options.probe"},
	{&alipay, withOption("partner", ""), "body.options.partner"},
	{&alipay, withOption("partner", 2088.0), "body.options.partner"},
	{&alipay, withOption("partner", "@x"), "body.options.partner"},
	{&alipay, withOption("hosts", "shop.example"), "body.options.hosts"},
	{&alipay, withOption("hosts", []any{}), "body.options.hosts"},
	{&alipay, withOption("hosts", []any{"a", 1.0}), "body.options.hosts"},
	{&alipay, withOption("hosts", []string{"https://a.example"}), "body.options.hosts"},

	{&alipay, withAck(store.Ack{Match: "contains"}), "body.ack.match"},
	{&alipay, withAck(store.Ack{Text: " success"}), "body.ack.text"},
	{&alipay, withAck(store.Ack{Text: strings.Repeat("x", 257)}), "body.ack.text"},
	{&alipay, withAck(store.Ack{Match: "exact", Text: "success\n"}), ""},
	{&alipay, withAck(store.Ack{Match: "status", Text: "success", Path: "left.over"}), ""},
	{&alipay, withAck(store.Ack{Match: "json_path"}), "body.ack.path"},
	{&alipay, withAck(store.Ack{Match: "json_path", Path: "a..b"}), "body.ack.path"},
	{&alipay, withAck(store.Ack{Match: "json_path", Path: "a[x]"}), "body.ack.path"},
	{&alipay, withAck(store.Ack{Match: "json_path", Path: "$.a[0].b"}), ""},
	{&alipay, withAck(store.Ack{Status: []string{"302"}}), "body.ack.status"},
	{&alipay, withAck(store.Ack{Status: []string{"4xx"}}), "body.ack.status"},
	{&alipay, withAck(store.Ack{Status: []string{"+20", "0200"}}), "body.ack.status, body.ack.status"},
	{&alipay, withAck(store.Ack{Lenient: []store.Reason{store.AckMismatch}}), "body.ack.lenient"},
	{&alipay, withAck(store.Ack{Lenient: []store.Reason{"sloppy"}}), "body.ack.lenient"},
}

func TestCheckMerchant(t *testing.T) {
	for _, c := range merchantCases {
		faults := CheckMerchant(c.p, &c.m)
		if got := located(faults); got != c.want {
			t.Errorf("%s %+v: got %q, want %q", c.p.Name, c.m, got, c.want)
		}
		wantComplete(t, faults)
	}
}

func TestAckPolicy(t *testing.T) {
	for _, c := range []struct {
		name      string
		own, want store.Ack
	}{
		{"the profile's", store.Ack{}, successAck},
		{
			"status widened",
			store.Ack{Status: []string{"2xx"}},
			store.Ack{Match: "trim", Text: "success", Status: []string{"2xx"}},
		},
		{"another word", store.Ack{Text: "OK"}, store.Ack{Match: "trim", Text: "OK", Status: onlyOK}},
		{"status alone", store.Ack{Match: "status"}, store.Ack{Match: "status", Status: onlyOK}},
		{
			"left over",
			store.Ack{Match: "status", Text: "success", Path: "a.b", Status: []string{"2xx"}},
			store.Ack{Match: "status", Status: []string{"2xx"}},
		},
		{
			"XML",
			store.Ack{Match: "xml_return_code"},
			store.Ack{Match: "xml_return_code", Text: "SUCCESS", Status: onlyOK},
		},
		{"fold", store.Ack{Match: "trim_fold"}, store.Ack{Match: "trim_fold", Text: "success", Status: onlyOK}},
	} {
		got := AckPolicy(&alipay, &store.Merchant{Ack: c.own})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestDefaults(t *testing.T) {
	m := store.Merchant{MchID: "m1", Options: map[string]any{"notify_time": "freeze"}}
	got := Defaults(&alipay, &m)
	want := store.Merchant{
		MchID: "m1", SignType: "RSA2", Charset: "utf-8", Schedule: "alipay", Ack: successAck,
		Options: map[string]any{
			"sign_type_in": "body", "notify_time": "freeze", "partner": "m1", "probe": false, "allow_query": false,
			"header_signature": false,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(m.Options) != 1 {
		t.Errorf("the original was changed: %v", m.Options)
	}
	if faults := CheckMerchant(&alipay, &got); len(faults) > 0 {
		t.Errorf("the defaults are refused: %+v", faults)
	}
	if got := Defaults(&form, &m).SignType; got != "none" {
		t.Errorf("sign_type of an unsigned profile: %q", got)
	}
}

func TestWarnings(t *testing.T) {
	safe := store.Merchant{NotifyURL: "https://shop.example/n"}
	if got := Warnings(&alipay, &safe); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	weak := store.Merchant{
		NotifyURL: "HTTP://shop.example/n?x", SignType: "RSA", Options: map[string]any{"allow_query": true},
		Ack: store.Ack{Status: []string{"500"}, Lenient: []store.Reason{store.AckHTML}},
	}
	if got := Warnings(&alipay, &weak); len(got) != 5 {
		t.Errorf("got %d: %q", len(got), got)
	}
	if got := strings.Join(Warnings(&form, &safe), ""); !strings.Contains(got, "unsigned") {
		t.Errorf("got %q", got)
	}
}

func TestHostAllowed(t *testing.T) {
	m := &store.Merchant{}
	if !HostAllowed(m, "any.example") {
		t.Error("without a list every host is allowed")
	}
	if err := json.Unmarshal([]byte(`{"hosts":["A.example"]}`), &m.Options); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"a.EXAMPLE": true, "a.example.": true, "b.a.example": false, "": false,
	} {
		if got := HostAllowed(m, host); got != want {
			t.Errorf("%q: got %t", host, got)
		}
	}
	if got := Partner(&store.Merchant{MchID: "m1"}); got != "m1" {
		t.Errorf("partner %q", got)
	}
}
