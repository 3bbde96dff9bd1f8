package interop

import (
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v85"
)

// sdk is a verifier, used in a merchant's handler as its documentation says.
type sdk struct {
	name    string
	handler func(t *testing.T, m known) http.HandlerFunc
	node    bool // it runs in node/verify.js
}

// dialect is a way of notifying: a profile and its settings, and who verifies it.
type dialect struct {
	name         string
	settings     object // of the merchant, beside mch_id and notify_url
	notification object
	sdks         []sdk
	acked        func(status int, reply string) bool // whether an SDK's reply is an acknowledgement
	covered      *regexp.Regexp                      // its group 1 is what of the body is protected; nil = all
	signed       []string                            // headers that are covered, or are the signature
}

// What the merchants of the tests are called at their providers.
const (
	appID       = "2021000000000001"
	wechatAppID = "wx0000000000000001"
	wechatMchID = "1230000109"
)

var (
	alipayNotification = object{
		"out_trade_no": "20261121-1",
		"params": object{
			"trade_no": "2026112122001", "trade_status": "TRADE_SUCCESS", "total_amount": "88.88",
			"subject": `二年级《数学》 & "练习" 100% +1=2 <b>'é😀`, "buyer_logon_id": "158****1562", "count": 3,
			"fund_bill_list": `[{"amount":"88.88","fundChannel":"ALIPAYACCOUNT"}]`, "empty": "", "nothing": nil,
			"body": strings.Repeat("长文本 and more;", 200), "passback_params": "merchantBizType%3d3C%26x%3d1",
		},
	}
	alipayPlain = object{
		"out_trade_no": "20261121-1",
		"params": object{
			"trade_no": "2026112122001", "trade_status": "TRADE_SUCCESS", "total_amount": "88.88",
			"subject": `二年级《数学》 & "练习" +1=2 <b>'`,
		},
	}
	wechatV2Notification = object{
		"out_trade_no": "20261121-1",
		"params": object{
			"openid": "oUpF8uMEb4qRXf22hE3X68TekukE", "is_subscribe": "Y", "trade_type": "JSAPI", "bank_type": "CMC",
			"total_fee": 8888, "settlement_total_fee": 8888, "fee_type": "CNY", "cash_fee": 8888, "coupon_fee": 100,
			"coupon_count": 1, "coupon_type_0": "CASH", "coupon_id_0": "10000", "coupon_fee_0": 100,
			"transaction_id": "4200000001202611211234567890", "time_end": "20261121132935", "device_info": "",
			"attach": `支付&测试 <b>"x"</b> 'y' %41 +1=2 é😀` + strings.Repeat("附加数据", 20),
		},
	}
	wechatV2Refund = object{
		"notify_type": "refund", "out_trade_no": "20261121-1",
		"params": object{
			"transaction_id": "4200000001202611211234567890", "refund_id": "50000001202611211234567890",
			"out_refund_no": "R-20261121-1", "total_fee": 8888, "refund_fee": 100, "refund_status": "SUCCESS",
			"success_time": "2026-11-21 13:29:35", "refund_recv_accout": "支付用户零钱",
		},
	}
	wechatV3Notification = object{
		"out_trade_no": "20261121-1",
		"params": object{
			"transaction_id": "4200000001202611211234567890", "trade_type": "JSAPI", "trade_state": "SUCCESS",
			"trade_state_desc": "支付成功", "bank_type": "CMC", "success_time": "2026-11-21T13:29:35+08:00",
			"payer":  object{"openid": "oUpF8uMEb4qRXf22hE3X68TekukE"},
			"amount": object{"total": 8888, "payer_total": 8888, "currency": "CNY", "payer_currency": "CNY"},
			"attach": "<script>&\u2028\u2029 \\ / \" 支付 é😀\t\n",
		},
	}
	eventNotification = object{
		"out_trade_no": "20261121-1",
		"params": object{
			"amount": "88.88", "currency": "CNY", "fen": 8888, "paid": true, "refund": nil, "items": []any{
				object{"sku": "书-1", "n": 1}, object{"sku": "<b>&\u2028 \\ / \"é😀\t\n", "n": -1},
			},
		},
	}
)

func successAcked(status int, reply string) bool {
	return status == http.StatusOK && strings.TrimSpace(reply) == "success"
}

var returnCode = regexp.MustCompile(`<(?:return_code|ReturnCode)>(?:<!\[CDATA\[)?SUCCESS\b`)

func xmlAcked(status int, reply string) bool {
	return status == http.StatusOK && returnCode.MatchString(reply)
}

func statusAcked(status int, _ string) bool { return status/100 == 2 }

// refuse is how the handlers answer what does not verify.
func refuse(w http.ResponseWriter, err error) {
	if err == nil {
		err = errors.New("not verified")
	}
	http.Error(w, "fail: "+err.Error(), http.StatusBadRequest)
}

// dialects lists them all, with every SDK that we have for each.
var dialects = slices.Concat(alipayDialects(), wechatDialects(), webhookDialects())

func alipayDialects() []dialect {
	list := []dialect{
		{
			name: "alipay", settings: object{},
			sdks: []sdk{
				smartwalleAlipay, gopayAlipay, gopayAlipayCert, nodeSDK("alipay-v2"),
			},
		},
		{ // the older method of the Node SDK decodes percent signs once more
			name: "alipay-plain", settings: object{}, notification: alipayPlain,
			sdks: []sdk{nodeSDK("alipay-v1")},
		},
		{
			name: "alipay-omit", settings: object{"options": object{"sign_type_in": "omit"}},
			sdks: []sdk{smartwalleAlipay, gopayAlipay, nodeSDK("alipay-v2")},
		},
		{ // who reads the form merges the query into it
			name: "alipay-query", settings: object{"options": object{"sign_type_in": "query"}},
			sdks: []sdk{smartwalleAlipay, gopayAlipay, nodeSDK("alipay-v2")},
		},
		{
			name: "alipay-gbk", settings: object{"charset": "gbk"}, notification: alipayPlain,
			sdks: []sdk{smartwalleAlipay, gopayAlipay},
		},
		{ // smartwalle has given SHA-1 up
			name: "alipay-rsa", settings: object{"sign_type": "RSA"},
			sdks: []sdk{gopayAlipay, nodeSDK("alipay-v2")},
		},
	}
	for i := range list {
		d := &list[i]
		d.settings["profile"], d.settings["app_id"] = "alipay", appID
		d.acked = successAcked
		if d.notification == nil {
			d.notification = alipayNotification
		}
	}
	return list
}

func wechatDialects() []dialect {
	v2 := func(signType string) object {
		return object{
			"profile": "wechat_v2", "app_id": wechatAppID, "options": object{"partner": wechatMchID},
			"sign_type": signType,
		}
	}
	v3 := func(key object) object {
		return object{
			"profile": "wechat_v3", "app_id": wechatAppID, "options": object{"partner": wechatMchID}, "key": key,
		}
	}
	headers := []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"}
	refund := maps.Clone(wechatV3Notification)
	refund["notify_type"] = "REFUND.SUCCESS"
	return []dialect{
		{
			name: "wechat_v2-md5", settings: v2("MD5"), notification: wechatV2Notification, acked: xmlAcked,
			sdks: []sdk{gopayV2("MD5"), silenceperV2, nodeSDK("tenpay"), nodeSDK("axios-v2")},
		},
		{
			name: "wechat_v2-hmac", settings: v2("HMAC-SHA256"), notification: wechatV2Notification, acked: xmlAcked,
			sdks: []sdk{gopayV2("HMAC-SHA256"), silenceperV2, nodeSDK("tenpay"), nodeSDK("axios-v2")},
		},
		{ // signed by nobody; a changed block of ECB shows where it breaks the XML, as the first does
			name: "wechat_v2-refund", settings: v2("MD5"), notification: wechatV2Refund, acked: xmlAcked,
			covered: regexp.MustCompile(`<req_info>(?:<!\[CDATA\[)?(.{20})`),
			sdks:    []sdk{gopayV2Refund, silenceperV2Refund, nodeSDK("tenpay-refund"), nodeSDK("axios-v2-refund")},
		},
		{
			name: "wechat_v3-certificate", settings: v3(object{}), notification: wechatV3Notification,
			sdks:  []sdk{wechatpayCertificate, gopayV3, nodeSDK("axios-v3"), nodeSDK("node-v3")},
			acked: statusAcked, signed: headers,
		},
		{
			name: "wechat_v3-key", settings: v3(object{"serial": "PUB_KEY_ID_0112300001092026112100000000000001"}),
			sdks:  []sdk{wechatpayPublicKey, gopayV3, nodeSDK("axios-v3"), nodeSDK("node-v3")},
			acked: statusAcked, signed: headers, notification: wechatV3Notification,
		},
		{
			name: "wechat_v3-refund", settings: v3(object{}), notification: refund,
			sdks: []sdk{wechatpayCertificate, gopayV3}, acked: statusAcked, signed: headers,
		},
	}
}

func webhookDialects() []dialect {
	headers := []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}
	svixHeaders := []string{"Svix-Id", "Svix-Timestamp", "Svix-Signature"}
	list := []dialect{
		{
			name: "standard", settings: object{"profile": "standard"}, signed: headers,
			sdks: []sdk{
				standardGo, svixGo, nodeSDK("standardwebhooks"), nodeSDK("svix"), nodeSDK("svix-rewritten"),
			},
		},
		{ // no library knows v1a: the v1 beside it must verify
			name: "standard-v1a", settings: object{"profile": "standard", "sign_type": "v1a"}, signed: headers,
			sdks: []sdk{standardGo, svixGo, nodeSDK("standardwebhooks"), nodeSDK("svix")},
		},
		{
			name: "standard-svix", signed: svixHeaders,
			settings: object{"profile": "standard", "options": object{"svix_headers": true}},
			sdks:     []sdk{svixGo, svixOnly, nodeSDK("svix")},
		},
		{
			name: "standard-svix-both", signed: headers,
			settings: object{"profile": "standard", "options": object{"svix_headers": true}},
			sdks:     []sdk{standardGo, nodeSDK("standardwebhooks")},
		},
		{
			name: "stripe", signed: []string{"Stripe-Signature"},
			settings: object{"profile": "stripe", "options": object{"api_version": stripe.APIVersion}},
			sdks: []sdk{
				stripeEvent, stripePayload("Stripe-Signature"), nodeSDK("stripe"), nodeSDK("stripe-rewritten"),
			},
		},
		{
			name: "stripe-header", signed: []string{"X-Shop-Signature"},
			settings: object{"profile": "stripe", "options": object{"signature_header": "X-Shop-Signature"}},
			sdks:     []sdk{stripePayload("X-Shop-Signature")},
		},
	}
	for i := range list {
		list[i].notification, list[i].acked = eventNotification, statusAcked
	}
	return list
}
