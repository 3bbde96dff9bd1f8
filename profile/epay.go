package profile

import (
	"cmp"

	"paynotify/signer"
	"paynotify/store"
)

// epay (彩虹易支付, version 1), which many small payment platforms speak: a GET whose query holds everything,
// signed with MD5 over the canonical text with the key appended. It carries no notify_id. Source: EpayCore of
// the official PHP SDK, and the epay controllers of shops that verify it.
var epay = Profile{
	Name:      "epay",
	Summary:   "epay v1 (易支付): GET, everything in the query, MD5 signature",
	Method:    "GET",
	SignTypes: []string{"MD5"},
	Key:       KeySecret,
	Schedule:  "alipay",
	Ack:       successAck,
	Charsets:  []string{charsetUTF8},
	Adds:      epayAdds,
	CheckParams: func(m *store.Merchant, n *store.Notification, ps Params) []Fault {
		return checkForm(epayAdds, m, n, ps)
	},
	Encode: encodeEpay,
	Verify: verifyEpay,
}

var epayAdds = []string{"pid", "out_trade_no", "trade_status"}

func encodeEpay(in Input) (Message, error) {
	n := in.Notification
	ps, err := ParseParams(n.Params)
	if err != nil {
		return Message{}, err
	}
	defaults := [...]Field{
		{"pid", Partner(in.Merchant)},
		{"out_trade_no", n.OutTradeNo},
		{"trade_status", "TRADE_SUCCESS"},
	}
	fields := gather(defaults[:], ps)
	text := canonical(fields)
	sign, err := in.Keys.sign(in, "MD5", text)
	if err != nil {
		return Message{}, err
	}
	fields = append(fields, Field{"sign", sign}, Field{"sign_type", "MD5"})
	return Message{Method: "GET", Query: string(formBody(fields)), StringToSign: text}, nil
}

// verifyEpay is EpayCore's verifyNotify.
func verifyEpay(req CapturedRequest, keys VerifyKeys) (Verification, error) {
	if req.Method != "GET" {
		return Verification{}, broken(RuleRequest, "the method is %s, not GET", quote(req.Method))
	}
	v, err := readFields([]byte(req.Query), false)
	if err != nil {
		return v, err
	}
	sign := fieldOf(v.Fields, "sign")
	signType := cmp.Or(fieldOf(v.Fields, "sign_type"), "MD5")
	switch {
	case sign == "":
		return v, broken(RuleMissing, "there is no parameter sign")
	case signType != "MD5" || keys.SignType != "" && keys.SignType != "MD5":
		return v, broken(RuleSignType, "sign_type is %s, not MD5", quote(cmp.Or(keys.SignType, signType)))
	case keys.Secret == "":
		return v, broken(RuleSignature, "there is no secret to verify with")
	}
	return v, signatureError(signer.VerifyMD5Key(v.StringToSign, []byte(keys.Secret), sign))
}
