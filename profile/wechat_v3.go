package profile

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"paynotify/signer"
	"paynotify/store"
)

// WeChat Pay APIv3: a JSON POST whose resource is encrypted with the merchant's APIv3 key and whose signature
// stands in headers. A notification is encrypted once: its body is the same at every send, and the headers
// are new at each, because merchants refuse a timestamp older than five minutes. Sources: WeChat Pay's page
// on notifications (支付通知), and the official Go, PHP and Java SDKs, which verify it.
//
// What a caller gives as params goes into the encrypted resource, where it replaces out_trade_no, appid and
// mchid; what stands outside of it is ours alone. The summary is chosen by the type of the event.
var wechatV3 = Profile{
	Name:       "wechat_v3",
	Summary:    "WeChat Pay APIv3: JSON POST, AES-256-GCM resource, signature in Wechatpay-* headers",
	Method:     "POST",
	SignTypes:  []string{wechatV3SignType},
	Key:        KeyRSAAndSecret,
	NotifyType: wechatV3Paid,
	Schedule:   "wechat_v3",
	Ack:        store.Ack{Match: matchStatus, Status: []string{"200", "204"}},
	Charsets:   []string{charsetUTF8},
	Adds: []string{
		"id", "create_time", "resource_type", "event_type", "summary", "resource", "out_trade_no", "appid", "mchid",
	},
	Headers: []string{
		"Content-Type", wechatTimestamp, wechatNonce, wechatSignature, wechatSerial, wechatSignatureType,
	},
	Secret: SecretRules{Check: checkAPIv3Key}, // a generated secret has 32 characters already
	CheckParams: func(_ *store.Merchant, n *store.Notification, ps Params) []Fault {
		return checkJSON(jsonRules{}, n, ps)
	},
	Encode: encodeWechatV3,
	Verify: verifyWechatV3,
}

const (
	wechatV3SignType = "WECHATPAY2-SHA256-RSA2048"
	wechatV3Cipher   = "AEAD_AES_256_GCM"
	wechatV3Paid     = "TRANSACTION.SUCCESS"

	wechatTimestamp     = "Wechatpay-Timestamp" // seconds since 1970
	wechatNonce         = "Wechatpay-Nonce"
	wechatSignature     = "Wechatpay-Signature" // standard base64
	wechatSerial        = "Wechatpay-Serial"    // which key verifies it
	wechatSignatureType = "Wechatpay-Signature-Type"

	// wechatProbe is what the signature of WeChat's own probes begins with, as its pages on verifying say.
	wechatProbe = "WECHATPAY/SIGNTEST/"

	apiv3KeyBytes      = 32
	resourceNonceBytes = 12
)

// checkAPIv3Key takes what WeChat's console takes for an APIv3 key: its characters are the key of AES-256.
func checkAPIv3Key(secret string) error {
	const cure = "give the APIv3 key, exactly 32 ASCII characters, or leave it out to have one generated"
	switch {
	case !ascii(secret):
		return &signer.KeyError{Kind: signer.ErrNotKey, Message: "the APIv3 key is not ASCII", Cure: cure}
	case len(secret) != apiv3KeyBytes:
		return &signer.KeyError{
			Kind: signer.ErrKeySize, Message: fmt.Sprintf("the APIv3 key has %d characters", len(secret)), Cure: cure,
		}
	}
	return nil
}

func encodeWechatV3(in Input) (Message, error) {
	ps, err := ParseParams(in.Notification.Params)
	if err != nil {
		return Message{}, err
	}
	key := in.Keys.at(in.Now)
	if key == nil || key.private == nil {
		return Message{}, errNoKey
	}
	body, err := wechatV3Body(in, key, ps)
	if err != nil {
		return Message{}, err
	}
	timestamp, nonce := stamp(in, key, wechatNonce)
	text := headerText(timestamp, nonce, body)
	signature, err := in.Keys.sign(in, signRSA2, text)
	if err != nil {
		return Message{}, err
	}
	if in.Keys.probe {
		signature = wechatProbe + signature[len(wechatProbe):]
	}
	return Message{
		Method: "POST",
		Header: append(slices.Clip(jsonHeader),
			Header{wechatTimestamp, timestamp},
			Header{wechatNonce, nonce},
			Header{wechatSignature, signature},
			Header{wechatSerial, key.serial},
			Header{wechatSignatureType, wechatV3SignType}),
		Body:         body,
		StringToSign: text,
	}, nil
}

// wechatV3Body writes what is the same at every send. The nonce of the resource is derived from all that it
// encrypts: the same text has the same one, so that a resend, and the evidence of it, make the same bytes;
// another text under the same key (a merchant's app_id was changed between two sends) has another, because
// two texts under one nonce would give away their difference and the key that authenticates them.
func wechatV3Body(in Input, key *parsedKey, ps Params) ([]byte, error) {
	n := in.Notification
	plain, err := wechatV3Plaintext(in.Merchant, n, ps)
	if err != nil {
		return nil, err
	}
	eventType := cmp.Or(n.NotifyType, wechatV3Paid)
	kind := "transaction"
	if strings.HasPrefix(eventType, "REFUND.") {
		kind = "refund"
	}
	encrypted := append([]byte(n.NotifyID+"\n"+kind+"\n"), plain...)
	nonce := derived(key.secret, resourceNonceBytes, "resource nonce", encrypted)
	sealed, err := signer.EncryptGCM(key.secret, []byte(nonce), []byte(kind), plain)
	if err != nil {
		return nil, err
	}
	return wechatV3Envelope(n, eventType, kind, nonce, sealed), nil
}

// wechatV3Envelope writes a body round a sealed resource, whose kind is its associated data as well.
func wechatV3Envelope(n *store.Notification, eventType, kind, nonce string, sealed []byte) []byte {
	b := make([]byte, 0, wechatV3Room+base64.StdEncoding.EncodedLen(len(sealed)))
	b = append(b, '{')
	b = appendMember(b, "id", n.NotifyID)
	b = appendMember(b, "create_time", n.CreatedAt.In(beijing).Format(time.RFC3339))
	b = appendMember(b, "resource_type", "encrypt-resource")
	b = appendMember(b, "event_type", eventType)
	b = appendMember(b, "summary", wechatV3Summary(eventType))
	b = append(appendName(b, "resource"), '{')
	b = appendMember(b, "original_type", kind)
	b = appendMember(b, "algorithm", wechatV3Cipher)
	b = append(appendName(b, "ciphertext"), '"')
	b = append(base64.StdEncoding.AppendEncode(b, sealed), '"')
	b = appendMember(b, "associated_data", kind)
	b = appendMember(b, "nonce", nonce)
	return append(b, "}}"...)
}

// wechatV3Room is the room for a body besides the ciphertext.
const wechatV3Room = 512

func wechatV3Plaintext(m *store.Merchant, n *store.Notification, ps Params) ([]byte, error) {
	defaults := [...]Field{{"out_trade_no", n.OutTradeNo}, {"appid", m.AppID}, {"mchid", Partner(m)}}
	b := make([]byte, 0, wechatV3Room+len(n.Params))
	b = appendDefaults(append(b, '{'), defaults[:], ps)
	b, err := appendMembers(b, ps)
	return append(b, '}'), err
}

// wechatV3Summary is the sentence that people read; WeChat documents these, and for others the type says more
// than any of them.
func wechatV3Summary(eventType string) string {
	switch eventType {
	case wechatV3Paid:
		return "支付成功"
	case "REFUND.SUCCESS":
		return "退款成功"
	case "REFUND.ABNORMAL":
		return "退款异常"
	case "REFUND.CLOSED":
		return "退款关闭"
	}
	return eventType
}

// verifyWechatV3 is what the official SDKs do, the age of the timestamp left aside: the signature over the
// bytes received, and with the APIv3 key what the resource holds.
func verifyWechatV3(req CapturedRequest, keys VerifyKeys) (Verification, error) {
	var v Verification
	outer, err := readJSON(req)
	if err != nil {
		return v, err
	}
	v.Fields, v.NotifyID = outer, fieldOf(outer, "id")
	for _, name := range []string{wechatTimestamp, wechatNonce, wechatSignature, wechatSerial} {
		if req.Get(name) == "" {
			return v, broken(RuleMissing, "there is no header %s", name)
		}
	}
	if err := checkUnix(wechatTimestamp, req.Get(wechatTimestamp)); err != nil {
		return v, err
	}
	signature := req.Get(wechatSignature)
	v.StringToSign = headerText(req.Get(wechatTimestamp), req.Get(wechatNonce), req.Body)
	signType := cmp.Or(req.Get(wechatSignatureType), wechatV3SignType) // absent is RSA to the SDKs
	switch {
	case signType != wechatV3SignType:
		return v, broken(RuleSignType, "%s is %s, not %s", wechatSignatureType, quote(signType), wechatV3SignType)
	case keys.SignType != "" && keys.SignType != signType:
		return v, broken(RuleSignType, "the signature is %s, not %s", signType, quote(keys.SignType))
	case strings.HasPrefix(signature, wechatProbe):
		return v, broken(RuleSignature, "it begins with %s: a probe, wrong on purpose; refuse it", wechatProbe)
	case keys.PublicKey == nil:
		return v, broken(RuleSignature, "there is no public key to verify with")
	}
	if err := signatureError(signer.VerifyRSA2(keys.PublicKey, v.StringToSign, signature)); err != nil {
		return v, err
	}
	if keys.Secret == "" {
		return v, nil
	}
	if v.Fields, err = openResource(fieldOf(outer, "resource"), keys.Secret); err != nil {
		v.Fields = outer
		return v, err
	}
	v.OutTradeNo = fieldOf(v.Fields, "out_trade_no")
	return v, nil
}

// openResource decrypts a resource, given as its JSON text, and reads the members of what it holds.
func openResource(resource, secret string) ([]Field, error) {
	members, err := jsonMembers([]byte(resource))
	if err != nil {
		return nil, broken(RuleDecrypt, "resource is no object: %v", err)
	}
	for _, name := range []string{"algorithm", "ciphertext", "associated_data", "nonce"} {
		if !hasField(members, name) { // wechatpay-java fails on a missing associated_data, though it may be empty
			return nil, broken(RuleDecrypt, "resource has no %s", name)
		}
	}
	if algorithm := fieldOf(members, "algorithm"); algorithm != wechatV3Cipher {
		return nil, broken(RuleDecrypt, "resource.algorithm is %s, not %s", quote(algorithm), wechatV3Cipher)
	}
	sealed, err := base64.StdEncoding.Strict().DecodeString(fieldOf(members, "ciphertext"))
	if err != nil {
		return nil, broken(RuleDecrypt, "resource.ciphertext is not standard base64")
	}
	nonce, associated := fieldOf(members, "nonce"), fieldOf(members, "associated_data")
	plain, err := signer.DecryptGCM([]byte(secret), []byte(nonce), []byte(associated), sealed)
	if err != nil {
		return nil, broken(RuleDecrypt, "resource.ciphertext: %v", err)
	}
	fields, err := jsonMembers(plain)
	if err != nil {
		return nil, broken(RuleDecrypt, "what resource holds: %v", err)
	}
	return fields, nil
}

func hasField(fields []Field, name string) bool {
	for _, f := range fields {
		if f.Name == name {
			return true
		}
	}
	return false
}
