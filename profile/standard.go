package profile

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"paynotify/signer"
	"paynotify/store"
)

// Standard Webhooks: a JSON POST that is signed in headers, over `id "." timestamp "." body`. Sources: the
// specification and the libraries of standard-webhooks/standard-webhooks, and those of svix, which look for
// the same three headers under names of their own first.
//
// All sends of a notification have the same body and webhook-id; timestamp and signatures are those of the
// send. During a rotation every key in force signs, so that a merchant may change its secret when it likes.
// The libraries verify v1 (HMAC) alone: v1a (Ed25519) is sent beside it, never in its place.
var standard = Profile{
	Name:       "standard",
	Summary:    "Standard Webhooks: JSON POST, HMAC and Ed25519 signatures in headers",
	Method:     "POST",
	SignTypes:  standardSignTypes,
	Key:        KeyWebhook,
	NotifyType: paymentSucceeded,
	Schedule:   "standard",
	Ack:        anySuccessAck,
	Charsets:   []string{charsetUTF8},
	Options: []Option{{
		Name: optionSvixHeaders, Bool: true,
		Doc: "whether the webhook-* headers are sent as svix-* too, for libraries that look for these",
	}},
	Adds:       []string{"type", "timestamp", "out_trade_no"},
	Headers:    []string{"Content-Type", "webhook-id", "webhook-timestamp", "webhook-signature"},
	AllowQuery: true,
	Overlap:    true,
	Secret: SecretRules{Generate: signer.GenerateWhsec, Check: func(secret string) error {
		_, err := signer.ParseWhsec(secret)
		return err
	}},
	CheckParams: checkData,
	Encode:      encodeStandard,
	Verify:      verifyStandard,
}

const optionSvixHeaders = "svix_headers"

var standardSignTypes = []string{signV1, signV1a}

// paymentSucceeded is what is told of when the caller does not say.
const paymentSucceeded = "payment.succeeded"

// anySuccessAck takes every 2xx, as the receivers of webhooks expect.
var anySuccessAck = store.Ack{Match: matchStatus, Status: []string{"2xx"}}

// standardTime writes an instant as the libraries' examples do.
func standardTime(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000Z") }

// checkData checks what is sent as members of an object of its own, where no name can clash with ours.
func checkData(_ *store.Merchant, n *store.Notification, ps Params) []Fault {
	return checkJSON(jsonRules{}, n, ps)
}

// appendData writes the object that tells of the payment: out_trade_no, and the parameters in their order.
func appendData(b []byte, n *store.Notification) ([]byte, error) {
	ps, err := ParseParams(n.Params)
	if err != nil {
		return nil, err
	}
	b = appendDefaults(append(b, '{'), []Field{{"out_trade_no", n.OutTradeNo}}, ps)
	if b, err = appendMembers(b, ps); err != nil {
		return nil, err
	}
	return append(b, '}'), nil
}

// bodyRoom is the room for a JSON body besides its parameters, and for what is signed before it.
const bodyRoom = 320

func encodeStandard(in Input) (Message, error) {
	n := in.Notification
	timestamp := strconv.FormatInt(in.Now.Unix(), 10)
	text := make([]byte, 0, len(n.Params)+bodyRoom)
	text = append(text, n.NotifyID+"."+timestamp+"."...)
	from := len(text)
	text = appendMember(append(text, '{'), "type", cmp.Or(n.NotifyType, paymentSucceeded))
	text = appendMember(text, "timestamp", standardTime(n.CreatedAt))
	text, err := appendData(append(text, `,"data":`...), n)
	if err != nil {
		return Message{}, err
	}
	text = append(text, '}')
	signature, err := in.Keys.standardTokens(in, text)
	if err != nil {
		return Message{}, err
	}
	header := append(slices.Clip(jsonHeader), Header{"webhook-id", n.NotifyID},
		Header{"webhook-timestamp", timestamp}, Header{"webhook-signature", signature})
	if optionBool(in.Merchant, optionSvixHeaders) {
		header = append(header, Header{"svix-id", n.NotifyID},
			Header{"svix-timestamp", timestamp}, Header{"svix-signature", signature})
	}
	return Message{Method: "POST", Header: header, Body: text[from:len(text):len(text)], StringToSign: text}, nil
}

// standardTokens is the value of webhook-signature: a v1 token of each key in force, the newest first, then
// as many of v1a where the merchant has it. Exactly one blank stands between two: more of them crash the
// Python library.
func (k *Keys) standardTokens(in Input, text []byte) (string, error) {
	macs, err := k.macs(in.Now, text)
	if err != nil {
		return "", err
	}
	tokens := make([]string, 0, 2*len(macs))
	for _, mac := range macs {
		tokens = append(tokens, v1Token(mac))
	}
	if signTypeOf(in.Merchant, standardSignTypes) != signV1a {
		return strings.Join(tokens, " "), nil
	}
	for _, key := range k.inForce(in.Now) {
		if key.ed25519 != nil { // a key from before the merchant had v1a ends with the overlap
			tokens = append(tokens, v1aPrefix+k.ed25519(key, text))
		}
	}
	if len(tokens) == len(macs) {
		return "", errNotFit(signV1a)
	}
	return strings.Join(tokens, " "), nil
}

const (
	v1Prefix  = signV1 + ","
	v1aPrefix = signV1a + ","
)

func v1Token(mac []byte) string { return v1Prefix + base64.StdEncoding.EncodeToString(mac) }

// verifyStandard is what the libraries do: any token that fits will do, others are not looked at. A merchant
// that has the Ed25519 key may verify v1a instead; keys.SignType says that it takes nothing else.
func verifyStandard(req CapturedRequest, keys VerifyKeys) (v Verification, err error) {
	top, err := readJSON(req)
	if err != nil {
		return v, err
	}
	if err = readData(&v, fieldOf(top, "data")); err != nil {
		return v, err
	}
	id, timestamp, signature, err := standardHeaders(&req)
	if err != nil {
		return v, err
	}
	v.NotifyID = id
	v.StringToSign = append([]byte(id+"."+timestamp+"."), req.Body...)
	return v, verifyTokens(v.StringToSign, strings.Split(signature, " "), keys)
}

// readData reads the object that tells of the payment, given as its JSON text.
func readData(v *Verification, data string) (err error) {
	if v.Fields, err = jsonMembers([]byte(data)); err != nil {
		return broken(RuleParameter, "data is no object: %v", err)
	}
	v.OutTradeNo = fieldOf(v.Fields, "out_trade_no")
	return nil
}

// standardHeaders finds the three headers, or their svix twins where some are missing.
func standardHeaders(req *CapturedRequest) (id, timestamp, signature string, err error) {
	missing := ""
	for _, prefix := range []string{"webhook-", "svix-"} {
		id, timestamp, signature = req.Get(prefix+"id"), req.Get(prefix+"timestamp"), req.Get(prefix+"signature")
		switch {
		case id == "":
			missing = cmp.Or(missing, prefix+"id")
		case timestamp == "":
			missing = cmp.Or(missing, prefix+"timestamp")
		case signature == "":
			missing = cmp.Or(missing, prefix+"signature")
		default:
			return id, timestamp, signature, checkUnix(prefix+"timestamp", timestamp)
		}
	}
	return "", "", "", broken(RuleMissing, "there is no header %s", missing)
}

// checkUnix refuses a timestamp that is no whole number of seconds, which no verifier takes.
func checkUnix(name, text string) error {
	if text == "" || digits(text) < len(text) {
		return broken(RuleRequest, "%s is %s, no whole number of seconds", name, quote(text))
	}
	return nil
}

// verifyTokens looks for a token that one of the keys made.
func verifyTokens(text []byte, tokens []string, keys VerifyKeys) error {
	v1, v1a := keys.SignType != signV1a && keys.Secret != "", keys.SignType != signV1 && keys.Ed25519 != nil
	switch {
	case keys.SignType != "" && !slices.Contains(standardSignTypes, keys.SignType):
		return broken(RuleSignType, "Standard Webhooks sign with v1 and v1a, not %s", quote(keys.SignType))
	case keys.SignType == signV1a && !v1a:
		return broken(RuleSignature, "there is no public key (whpk_…) to verify v1a with")
	case !v1 && !v1a:
		return broken(RuleSignature, "there is no secret (whsec_…) to verify with")
	}
	want := ""
	if v1 {
		secret, err := signer.ParseWhsec(keys.Secret)
		if err != nil {
			return broken(RuleSignature, "the secret to verify with is none of Standard Webhooks: %v", err)
		}
		want = v1Token(signer.HMACSHA256(secret, text))
	}
	tried := false
	for _, token := range tokens {
		sign, isV1a := strings.CutPrefix(token, v1aPrefix)
		switch {
		case v1 && strings.HasPrefix(token, v1Prefix):
			if tried = true; sameText(token, want) {
				return nil
			}
		case v1a && isV1a:
			if tried = true; signer.VerifyEd25519(keys.Ed25519, text, sign) == nil {
				return nil
			}
		}
	}
	if !tried {
		schemes := map[bool]string{true: signV1, false: signV1a}
		return broken(RuleSignType, "there is no signature of the scheme that is verified, %s", schemes[v1])
	}
	return signatureError(signer.ErrSignature)
}
