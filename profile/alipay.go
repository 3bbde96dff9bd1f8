package profile

import (
	"cmp"
	"time"

	"paynotify/store"
)

// Alipay's open platform: a form POST signed with RSA2 (RSASSA-PKCS1-v1_5 over SHA-256), or RSA (SHA-1) for
// merchants of old. Sources: Alipay's asynchronous notification pages and the official SDKs' rsaCheckV1.
//
// `sign_type` is sent in the body but not signed (V1). The few verifiers that sign everything they find in
// the body (rsaCheckV2, much hand-written PHP) are served by sending it in the query, or not at all: then
// both texts are the same one.
var alipay = Profile{
	Name:       "alipay",
	Summary:    "Alipay open platform: form POST, RSA2 signature in the body",
	Method:     "POST",
	SignTypes:  alipaySignTypes,
	Key:        KeyRSA,
	NotifyType: "trade_status_sync",
	Schedule:   "alipay",
	Ack:        successAck,
	Charsets:   []string{charsetUTF8, charsetGBK},
	Options: []Option{
		{
			Name: "sign_type_in", Values: []string{"body", "omit", "query"},
			Doc: "where sign_type is sent; omit or query for merchants that sign all they find in the body",
		},
		{
			Name: "notify_time", Values: []string{"renew", "freeze"},
			Doc: "the instant of each send, or always that of the first",
		},
	},
	Adds:    alipayAdds,
	Headers: []string{"Content-Type"},
	CheckParams: func(m *store.Merchant, n *store.Notification, ps Params) []Fault {
		return append(checkForm(alipayAdds, m, n, ps), checkCharsetParam(m, ps)...)
	},
	Encode: encodeAlipay,
	Verify: verifyAlipay,
}

var alipaySignTypes = []string{"RSA2", "RSA"}

var alipayAdds = []string{
	"notify_time", "notify_type", "notify_id", "app_id", "auth_app_id", "charset", "version", "out_trade_no",
}

// successAck is what most providers wait for: the word `success`, at 200, with blanks round it forgiven.
// Alipay's own PHP SDK makes merchants print a newline first.
var successAck = store.Ack{Match: "trim", Text: "success", Status: []string{"200"}}

// beijing is Asia/Shanghai since 1991: no summer time, so no time zone database is needed.
var beijing = time.FixedZone("CST", 8*60*60)

// notifyTime writes an instant as Alipay does, in the time of Beijing.
func notifyTime(at time.Time) string { return at.In(beijing).Format(time.DateTime) }

func encodeAlipay(in Input) (Message, error) {
	m, n := in.Merchant, in.Notification
	ps, err := ParseParams(n.Params)
	if err != nil {
		return Message{}, err
	}
	at := in.Now
	if optionText(m, "notify_time", "renew") == "freeze" {
		at = n.CreatedAt
	}
	signType, signTypeIn := signTypeOf(m, alipaySignTypes), optionText(m, "sign_type_in", "body")
	inBody := signType
	if signTypeIn != "body" {
		inBody = ""
	}
	appID, charset := m.AppID, charsetOf(m)
	if given, _ := ps.Get("app_id"); given != "" {
		appID = given
	}
	defaults := [...]Field{
		{"notify_time", notifyTime(at)},
		{"notify_type", cmp.Or(n.NotifyType, "trade_status_sync")},
		{"notify_id", n.NotifyID},
		{"app_id", appID},
		{"auth_app_id", appID},
		{"charset", wireCharset(charset)},
		{"version", "1.0"},
		{"sign_type", inBody},
		{"out_trade_no", n.OutTradeNo},
	}
	msg, err := signedForm(in, gather(defaults[:], ps), charset, signType)
	if signTypeIn == "query" {
		msg.Query = "sign_type=" + signType
	}
	return msg, err
}
