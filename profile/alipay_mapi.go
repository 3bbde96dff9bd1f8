package profile

import (
	"cmp"

	"paynotify/store"
)

// Alipay's legacy gateway (mapi): a form POST signed with MD5 over the canonical text with the key appended.
// Merchants of this kind ask notify_verify back while the POST is in flight. Source: alipay_notify.class.php
// of the legacy SDK.
var alipayMapi = Profile{
	Name:       "alipay_mapi",
	Summary:    "Alipay legacy gateway (mapi): form POST, MD5 signature in the body",
	Method:     "POST",
	SignTypes:  []string{"MD5"},
	Key:        KeySecret,
	NotifyType: "trade_status_sync",
	Schedule:   "alipay",
	Ack:        successAck,
	Charsets:   []string{charsetUTF8, charsetGBK},
	Adds:       mapiAdds,
	Headers:    []string{"Content-Type"},
	CheckParams: func(m *store.Merchant, n *store.Notification, ps Params) []Fault {
		return checkForm(mapiAdds, m, n, ps)
	},
	Encode: encodeMapi,
	Verify: verifyMapi,
}

var mapiAdds = []string{"notify_time", "notify_type", "notify_id", "out_trade_no"}

func encodeMapi(in Input) (Message, error) {
	n := in.Notification
	ps, err := ParseParams(n.Params)
	if err != nil {
		return Message{}, err
	}
	defaults := [...]Field{
		{"notify_time", notifyTime(in.Now)},
		{"notify_type", cmp.Or(n.NotifyType, "trade_status_sync")},
		{"notify_id", n.NotifyID},
		{"out_trade_no", n.OutTradeNo},
	}
	fields := append(gather(defaults[:], ps), Field{"sign_type", "MD5"})
	return signedForm(in, fields, charsetOf(in.Merchant), "MD5")
}
