package profile

import "paynotify/store"

// The plain form POST of tutorials and small shops: parameters and nothing else. It is unsigned, so anybody
// who learns the notify_url can forge it, and every place that shows such a merchant says so.
var form = Profile{
	Name:     "form",
	Summary:  "plain form POST, unsigned: anybody can forge it",
	Method:   "POST",
	Key:      KeyNone,
	Schedule: "alipay",
	Ack:      successAck,
	Charsets: []string{charsetUTF8},
	Adds:     formAdds,
	Headers:  []string{"Content-Type"},
	// Nothing in the query is signed, so a query in the notify_url breaks nothing.
	AllowQuery: true,
	Unsigned:   true,
	CheckParams: func(m *store.Merchant, n *store.Notification, ps Params) []Fault {
		return checkForm(formAdds, m, n, ps)
	},
	Encode: encodeForm,
	Verify: verifyForm,
}

var formAdds = []string{"notify_id", "notify_type", "out_trade_no"}

func encodeForm(in Input) (Message, error) {
	n := in.Notification
	ps, err := ParseParams(n.Params)
	if err != nil {
		return Message{}, err
	}
	defaults := [...]Field{
		{"notify_id", n.NotifyID},
		{"notify_type", n.NotifyType},
		{"out_trade_no", n.OutTradeNo},
	}
	return Message{Method: "POST", Header: formHeader, Body: formBody(gather(defaults[:], ps))}, nil
}
