package php

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"paynotify/profile"
	"paynotify/store"
)

// dialect is a merchant of testdata and the settings under which it is sent to.
type dialect struct {
	merchant  string // in the path
	profile   string
	signType  string
	options   map[string]any
	query     string   // of the notify_url
	refuses   bool     // what it cannot but refuse: no honest signature fits
	unsigned  bool     // it verifies nothing
	names     []string // of the parameters that the dialect knows; nil for any
	extension string   // of PHP, which it needs
}

// name tells the dialects apart, also in paths and as mch_id.
func (d dialect) name() string {
	parts := []string{d.merchant, d.profile, d.signType, strings.ReplaceAll(d.query, "=", "-")}
	for option, value := range d.options {
		if text, ok := value.(string); ok {
			parts = append(parts, option, text)
		}
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "-")
}

var headerSigned = map[string]any{"header_signature": true}

// dialects are all those that PHP can verify without anything but its own extensions.
var dialects = []dialect{
	{merchant: "v1", profile: "alipay"},
	{merchant: "checks", profile: "alipay"},
	{merchant: "tutorial", profile: "alipay", options: map[string]any{"sign_type_in": "omit"}},
	{merchant: "tutorial", profile: "alipay", options: map[string]any{"sign_type_in": "query"}},
	{merchant: "mapi", profile: "alipay_mapi"},
	{merchant: "form", profile: "form", unsigned: true},
	{merchant: "header", profile: "form", options: headerSigned},
	{merchant: "header", profile: "epay", options: headerSigned},
	{merchant: "header", profile: "epay", query: "shop=7", options: map[string]any{
		"header_signature": true, "allow_query": true,
	}},
	{merchant: "header", profile: "json_rsa", options: headerSigned},
	{merchant: "json-form", profile: "json_rsa"},
	{merchant: "json-form-sha1", profile: "json_rsa", signType: "RSA"},
	{merchant: "json-body", profile: "json_rsa", options: map[string]any{"body": "json"}},
	{merchant: "json-literal", profile: "json_rsa", refuses: true},
	{merchant: "epay", profile: "epay"},
	{merchant: "epay-shop", profile: "epay"},
	{merchant: "jeepay", profile: "jeepay"},
	{merchant: "wechat-v2", profile: "wechat_v2", names: wechatNames, extension: "simplexml"},
	{merchant: "wechat-v2-regexp", profile: "wechat_v2", names: wechatNames},
	{merchant: "wechat-v2-regexp", profile: "wechat_v2", signType: "HMAC-SHA256", names: wechatNames},
	{merchant: "wechat-v3", profile: "wechat_v3"},
	{merchant: "v1-hmac", profile: "standard"},
	{merchant: "v1a", profile: "standard", signType: "v1a", extension: "sodium"},
	{merchant: "stripe", profile: "stripe"},
}

// wechatNames are those of WeChat's closed list that carry any text.
var wechatNames = []string{"attach", "device_info", "err_code_des", "openid", "bank_type", "transaction_id"}

// params are what a notification of the dialect carries: always an order and what of it is money.
func (d dialect) params() json.RawMessage {
	switch {
	case d.merchant == "form" || d.merchant == "header" && d.profile == "form":
		return json.RawMessage(`{"order_id":1,"amount":100,"status":1}`) // the tutorial's, where 001 is octal
	case d.profile == "wechat_v2":
		return json.RawMessage(`{"transaction_id":"2026112122001","total_fee":8888,"fee_type":"CNY",` +
			`"attach":"当面付 <b>&\"q\"+% 😀"}`)
	case d.profile == "wechat_v3" || d.profile == "standard" || d.profile == "stripe",
		d.merchant == "json-body":
		return json.RawMessage(`{"trade_no":"2026112122001","amount":{"total":8888,"currency":"CNY"},` +
			`"subject":"当面付 <b>&\"q\"/+% 😀","paid":true}`)
	}
	return json.RawMessage(params)
}

// moved are texts of a notification of which no byte may change unseen.
var moved = []string{"2026112122001", "20261121-1"}

// address is the notify_url on a server.
func (d dialect) address(server string) string {
	address := server + "/" + d.merchant + "/" + d.name()
	if d.query != "" {
		address += "?" + d.query
	}
	return address
}

// merchantOf is the merchant as the engine knows it.
func (d dialect) merchantOf() *store.Merchant {
	return &store.Merchant{
		MchID: d.name(), Profile: d.profile, NotifyURL: d.address("https://shop.example"), SignType: d.signType,
		AppID: "2021000000000001", Options: d.options, Keys: []store.Key{{ID: "k1"}},
	}
}

// skipWithout skips a test when the machine's PHP lacks the extension.
func (d dialect) skipWithout(t *testing.T) {
	t.Helper()
	if d.extension == "" {
		return
	}
	out, err := exec.Command("php", "-m").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(strings.ToLower(string(out))), d.extension) {
		t.Skipf("php has no extension %s", d.extension)
	}
}

// TestEveryProfile: a profile without a merchant in PHP has not been shown to work.
func TestEveryProfile(t *testing.T) {
	for _, p := range profile.All() {
		if !slices.ContainsFunc(dialects, func(d dialect) bool { return d.profile == p.Name && !d.refuses }) {
			t.Errorf("no merchant of testdata/merchants.php speaks %s", p.Name)
		}
	}
}
