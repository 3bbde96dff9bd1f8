package profile

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"paynotify/signer"
	"paynotify/store"
)

// WeChat Pay v2: an XML document of one level, signed with MD5 or HMAC-SHA256, whose element names are a
// closed list, because SDKs that read it into a struct sign what the struct holds. It carries no notify_id,
// and all sends of a notification are the same bytes. Refund notifications are not signed; what they say is
// encrypted. Source: WeChat Pay's documents of the v2 API, and the SDKs gopay and silenceper/wechat.
var wechatV2 = Profile{
	Name:        "wechat_v2",
	Summary:     "WeChat Pay v2: XML, MD5 or HMAC-SHA256 signature, refunds encrypted",
	Method:      "POST",
	SignTypes:   wechatV2SignTypes,
	Key:         KeySecret,
	Schedule:    "wechat_v2",
	Ack:         store.Ack{Match: matchXML, Text: returnCode, Status: onlyOK},
	Charsets:    []string{charsetUTF8},
	Reserved:    []string{nonceStr},
	Adds:        wechatV2Adds,
	Headers:     []string{"Content-Type"},
	Secret:      SecretRules{Chars: 32},
	CheckParams: checkWechatV2,
	Encode:      encodeWechatV2,
	Verify:      verifyWechatV2,
}

// wechatRefund is the one notify_type that WeChat Pay v2 has: it is not sent, it makes the other document.
const wechatRefund = "refund"

const (
	nonceStr         = "nonce_str"
	nonceStrChars    = 32 // as many as WeChat allows
	wechatRoot       = "xml"
	wechatRefundRoot = "root"
)

var (
	wechatV2SignTypes = []string{signMD5, signHMACSHA256}
	wechatV2Adds      = []string{"appid", "mch_id", nonceStr, "return_code", "result_code", "out_trade_no"}

	xmlHeader = []Header{{"Content-Type", "text/xml"}}
)

// The names that an SDK knows, true for whole numbers: SDKs read these as integers, and fail at others or
// sign them as they would write them. Coupons are numbered from 0, and SDKs know three.
var (
	wechatPaid = map[string]bool{
		"appid": false, "mch_id": false, "device_info": false, "result_code": false, "return_code": false,
		"err_code": false, "err_code_des": false, "openid": false, "is_subscribe": false, "trade_type": false,
		"bank_type": false, "total_fee": true, "settlement_total_fee": true, "fee_type": false, "cash_fee": true,
		"cash_fee_type": false, "coupon_fee": true, "coupon_count": true, "transaction_id": false,
		"out_trade_no": false, "attach": false, "time_end": false,
		"coupon_type_0": false, "coupon_type_1": false, "coupon_type_2": false,
		"coupon_id_0": false, "coupon_id_1": false, "coupon_id_2": false,
		"coupon_fee_0": true, "coupon_fee_1": true, "coupon_fee_2": true,
	}
	// wechatRefundOuter stand beside req_info, wechatRefundInner in it.
	wechatRefundOuter = []string{"appid", "mch_id", "return_code"}
	wechatRefundInner = map[string]bool{
		"transaction_id": false, "out_trade_no": false, "refund_id": false, "out_refund_no": false,
		"total_fee": true, "settlement_total_fee": true, "refund_fee": true, "settlement_refund_fee": true,
		"refund_status": false, "success_time": false, "refund_recv_accout": false, // spelt so by WeChat
		"refund_account": false, "refund_request_source": false,
	}
)

// checkWechatV2 adds to the common rules what XML cannot carry, and the closed list of names.
func checkWechatV2(m *store.Merchant, n *store.Notification, ps Params) []Fault {
	refund := n.NotifyType == wechatRefund
	faults := checkForm(wechatV2Adds, m, n, ps)
	if n.NotifyType != "" && !refund {
		faults = append(faults, Fault{
			Location: "body.notify_type", Message: "WeChat Pay v2 knows no notify_type " + quote(n.NotifyType),
			Cure: "leave it out, or give refund for a refund notification",
		})
	}
	faults = checkXML(faults, "body.out_trade_no", n.OutTradeNo, "")
	faults = checkXML(faults, "body.mch_id", m.AppID, "change the merchant's app_id")
	faults = checkXML(faults, "body.mch_id", Partner(m), "change the merchant's options.partner")
	for i := range ps {
		p := &ps[i]
		if p.Name == nonceStr || slices.Contains(CommonReserved, p.Name) {
			continue // refused already
		}
		faults = checkXML(faults, paramAt(p.Name), p.Value, "")
		number, known := wechatPaid[p.Name]
		if refund {
			number, known = wechatRefundInner[p.Name]
			known = known || slices.Contains(wechatRefundOuter, p.Name)
		}
		switch {
		case !known:
			faults = append(faults, unknownElement(p.Name, refund))
		case number && p.sends() && !isWhole(p.Value):
			faults = append(faults, Fault{
				Location: paramAt(p.Name), Message: quote(p.Value) + " is no whole number, as which SDKs read it",
				Cure: "give amounts in fen, without sign, point and leading zeros",
			})
		}
	}
	return faults
}

// checkXML finds what keeps a value out of XML.
func checkXML(faults []Fault, location, value, cure string) []Fault {
	unfit := xmlUnfit(value)
	if unfit == "" {
		return faults
	}
	return append(faults, Fault{
		Location: location, Message: "the value holds " + unfit, Cure: cmp.Or(cure, "take it out"),
	})
}

func unknownElement(name string, refund bool) Fault {
	document := "notification"
	if refund {
		document = "refund notification"
	}
	f := Fault{
		Location: paramAt(name), Message: fmt.Sprintf("WeChat's %s has no element %s", document, quote(name)),
		Cure: "leave it out, or put it into attach: SDKs do not count elements that they do not know as signed",
	}
	switch _, payment := wechatPaid[name]; {
	case refund:
		f.Cure = "leave it out: refund notifications have a closed list of elements"
	case strings.HasPrefix(name, "coupon_") && !payment:
		f.Cure = "number coupons from 0 to 2: SDKs do not count others as signed"
	case name == "req_info" || strings.HasPrefix(name, "refund_") || name == "out_refund_no":
		f.Cure = "set notify_type to refund, or leave it out"
	}
	return f
}

// isWhole reports whether every SDK reads the text as a whole number and would write it just so.
func isWhole(text string) bool {
	const digitsMax = 18 // 64 bits hold any of these
	return isDigits(text) && len(text) <= digitsMax && (text[0] != '0' || len(text) == 1)
}

func encodeWechatV2(in Input) (Message, error) {
	m, n := in.Merchant, in.Notification
	ps, err := ParseParams(n.Params)
	if err != nil {
		return Message{}, err
	}
	if n.NotifyType == wechatRefund {
		return refundWechatV2(in, ps)
	}
	defaults := [...]Field{
		{"appid", m.AppID},
		{"mch_id", Partner(m)},
		{nonceStr, nonceStrOf(n)},
		{"return_code", returnCode},
		{"result_code", "SUCCESS"},
		{"out_trade_no", n.OutTradeNo},
	}
	fields := gather(defaults[:], ps)
	if signType := signTypeOf(m, wechatV2SignTypes); signType != signMD5 {
		fields = append(fields, Field{"sign_type", signType}) // MD5 is what SDKs expect when it says nothing
	}
	return signWechatV2(in, fields)
}

// nonceStrOf makes the nonce out of the notify_id, which stands nowhere in the message: it is the same in
// all sends, whatever becomes of the key, and nobody can tell it from a random one.
func nonceStrOf(n *store.Notification) string {
	return derived([]byte(n.NotifyID), nonceStrChars, nonceStr, nil)
}

// signWechatV2 signs the fields and writes the document, `sign` last.
func signWechatV2(in Input, fields []Field) (Message, error) {
	text := wechatText(fields)
	sign, err := in.Keys.sign(in, signTypeOf(in.Merchant, wechatV2SignTypes), text)
	if err != nil {
		return Message{}, err
	}
	fields = append(fields, Field{"sign", strings.ToUpper(sign)})
	body, err := xmlDocument(wechatRoot, fields, "total_fee", "cash_fee")
	return Message{Method: "POST", Header: xmlHeader, Body: body, StringToSign: text}, err
}

// wechatText is what is signed: the fields that are not empty but for the signature, sign_type among them,
// sorted by the bytes of their names, raw; and what stands before the key.
func wechatText(fields []Field) []byte {
	sorted := slices.DeleteFunc(slices.Clone(fields), func(f Field) bool {
		return f.Value == "" || f.Name == "sign"
	})
	slices.SortFunc(sorted, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	size := len("key=")
	for i := range sorted {
		size += len(sorted[i].Name) + len(sorted[i].Value) + 2
	}
	text := make([]byte, 0, size)
	for i := range sorted {
		text = append(append(text, sorted[i].Name...), '=')
		text = append(append(text, sorted[i].Value...), '&')
	}
	return append(text, "key="...)
}

// refundWechatV2 is the document of a refund: what it says is encrypted under the key, and nothing is signed.
func refundWechatV2(in Input, ps Params) (Message, error) {
	m, n, key := in.Merchant, in.Notification, in.Keys.at(in.Now)
	if key == nil || len(key.secret) == 0 {
		return Message{}, errNoKey
	}
	defaults := [...]Field{
		{"return_code", returnCode},
		{"appid", m.AppID},
		{"mch_id", Partner(m)},
		{nonceStr, nonceStrOf(n)},
		{"out_trade_no", n.OutTradeNo},
	}
	var outer, inner []Field
	for _, f := range gather(defaults[:], ps) {
		if f.Name == nonceStr || slices.Contains(wechatRefundOuter, f.Name) {
			outer = append(outer, f)
		} else {
			inner = append(inner, f)
		}
	}
	// A probe has no signature that could be wrong: it is encrypted under another key.
	info, err := sealRefund(in.Keys.signed(key.secret), inner)
	if err != nil {
		return Message{}, err
	}
	body, err := xmlDocument(wechatRoot, append(outer, Field{"req_info", info}))
	return Message{Method: "POST", Header: xmlHeader, Body: body}, err
}

// sealRefund makes a req_info: AES-256-ECB, whose key is the 32 hex digits of the secret's MD5.
func sealRefund(secret []byte, inner []Field) (string, error) {
	document, err := xmlDocument(wechatRefundRoot, inner)
	if err != nil {
		return "", err
	}
	sealed, err := signer.EncryptECB([]byte(signer.MD5Key(nil, secret)), document)
	return base64.StdEncoding.EncodeToString(sealed), err
}

// verifyWechatV2 is the check of the SDKs: everything that is not empty is signed, in any order, bare or in
// CDATA; without sign_type it is MD5, or what the merchant has set.
func verifyWechatV2(req CapturedRequest, keys VerifyKeys) (v Verification, err error) {
	if v.Fields, err = readWechatV2(req); err != nil {
		return v, err
	}
	v.OutTradeNo = fieldOf(v.Fields, "out_trade_no")
	if info := fieldOf(v.Fields, "req_info"); info != "" {
		return openRefund(v, info, keys)
	}
	v.StringToSign = wechatText(v.Fields)
	sign := fieldOf(v.Fields, "sign")
	said := fieldOf(v.Fields, "sign_type")
	signType := cmp.Or(said, keys.SignType, signMD5)
	switch {
	case sign == "":
		return v, broken(RuleMissing, "there is no element sign")
	case keys.SignType != "" && signType != keys.SignType:
		return v, broken(RuleSignType, "sign_type is %s, not %s", quote(signType), keys.SignType)
	case !slices.Contains(wechatV2SignTypes, signType):
		return v, broken(RuleSignType, "sign_type %s is not one of WeChat's", quote(signType))
	case keys.Secret == "":
		return v, broken(RuleSignature, "there is no secret to verify with")
	case sign != strings.ToUpper(sign):
		return v, broken(RuleSignature, "the signature is not in upper case")
	}
	secret := []byte(keys.Secret)
	if signType == signMD5 {
		return v, signatureError(signer.VerifyMD5Key(v.StringToSign, secret, strings.ToLower(sign)))
	}
	mac, _ := hex.DecodeString(sign) // what is no hex is no signature either
	return v, signatureError(signer.VerifyHMACSHA256(secret, slices.Concat(v.StringToSign, secret), mac))
}

// readWechatV2 reads the elements of a request.
func readWechatV2(req CapturedRequest) ([]Field, error) {
	if req.Method != "POST" {
		return nil, broken(RuleRequest, "the method is %s, not POST", quote(req.Method))
	}
	contentType := req.Get("Content-Type")
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	if kind = strings.TrimSpace(kind); kind != "text/xml" && kind != "application/xml" {
		return nil, broken(RuleRequest, "the content type is %s, not text/xml", quote(contentType))
	}
	return xmlFields(req.Body, wechatRoot, RuleEncoding)
}

// xmlFields reads a document of one level; unreadable is the rule that one breaks which cannot be read.
func xmlFields(doc []byte, root string, unreadable Rule) ([]Field, error) {
	found, elements, err := readXML(doc)
	switch {
	case err != nil:
		return nil, broken(unreadable, "%v", err)
	case found != root:
		return nil, broken(unreadable, "the root of the XML is %s, not %s", quote(found), root)
	}
	fields := make([]Field, 0, len(elements))
	seen := make(map[string]bool, len(elements))
	for _, e := range elements {
		switch {
		case e.nested:
			return nil, broken(RuleParameter, "element %s holds elements", quote(e.name))
		case seen[e.name]:
			return nil, broken(RuleParameter, "element %s stands twice", quote(e.name))
		}
		seen[e.name] = true
		fields = append(fields, Field{e.name, e.text})
	}
	return fields, nil
}

// openRefund decrypts a req_info; its elements come behind the others.
func openRefund(v Verification, info string, keys VerifyKeys) (Verification, error) {
	if keys.Secret == "" {
		return v, broken(RuleDecrypt, "there is no secret to decrypt req_info with")
	}
	sealed, err := base64.StdEncoding.DecodeString(info)
	if err != nil {
		return v, broken(RuleDecrypt, "req_info is not base64")
	}
	document, err := signer.DecryptECB([]byte(signer.MD5Key(nil, []byte(keys.Secret))), sealed)
	if err != nil {
		return v, broken(RuleDecrypt, "req_info: %v", err)
	}
	inner, err := xmlFields(document, wechatRefundRoot, RuleDecrypt)
	if err != nil {
		return v, err
	}
	v.Fields = append(v.Fields, inner...)
	v.OutTradeNo = fieldOf(inner, "out_trade_no")
	return v, nil
}
