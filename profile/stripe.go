package profile

import (
	"cmp"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"paynotify/signer"
)

// Stripe's webhooks: a JSON POST with an event in it, signed in one header, `t=1795239000,v1=…`, over
// `t "." body`. Sources: Stripe's page on verifying webhook signatures by hand, stripe-go and stripe-node.
//
// The key is the secret's text as it stands: Stripe's secrets begin with whsec_ too, but are not decoded. All
// sends have the same body; the header is that of the send, and during a rotation holds a v1 of every key.
var stripe = Profile{
	Name:       "stripe",
	Summary:    "Stripe's webhooks: JSON POST with an event, HMAC signature in one header",
	Method:     "POST",
	SignTypes:  []string{signV1},
	Key:        KeySecret,
	NotifyType: paymentSucceeded,
	Schedule:   "standard",
	Ack:        anySuccessAck,
	Charsets:   []string{charsetUTF8},
	Options: []Option{
		{
			Name: optionSignatureHeader, Default: stripeHeader, Check: checkSignatureHeader,
			Doc: "name of the header that carries the signature",
		},
		{
			Name: optionAPIVersion, Default: stripeAPIVersion,
			Doc: "api_version of the event, which Stripe's libraries compare with their own",
		},
	},
	Adds:        []string{"id", "object", "api_version", "created", "type", "out_trade_no"},
	Headers:     []string{"Content-Type", stripeHeader},
	AllowQuery:  true,
	Overlap:     true,
	Secret:      SecretRules{Generate: signer.GenerateWhsec},
	CheckParams: checkData,
	Encode:      encodeStripe,
	Verify:      verifyStripe,
}

const (
	optionSignatureHeader = "signature_header"
	optionAPIVersion      = "api_version"

	stripeHeader     = "Stripe-Signature"
	stripeAPIVersion = "2026-03-25.dahlia"
)

// checkSignatureHeader takes what arrives everywhere as it was sent: nginx drops header names with anything
// but letters, digits and hyphens, and PHP cannot tell other characters from an underscore.
func checkSignatureHeader(name string) (message, cure string) {
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return quote(name) + " is no header name",
				"begin it with a letter and use letters, digits and hyphens, as in " + stripeHeader
		}
	}
	if headerTaken(name) {
		return "header " + quote(name) + " means something else in every request",
			"take a name of your own, as in Acme-Signature, or leave it out for " + stripeHeader
	}
	return "", ""
}

func encodeStripe(in Input) (Message, error) {
	m, n := in.Merchant, in.Notification
	timestamp := strconv.FormatInt(in.Now.Unix(), 10)
	text := make([]byte, 0, len(n.Params)+bodyRoom)
	text = append(text, timestamp+"."...)
	from := len(text)
	text = appendMember(append(text, '{'), "id", n.NotifyID)
	text = appendMember(text, "object", "event")
	text = appendMember(text, "api_version", optionText(m, optionAPIVersion, stripeAPIVersion))
	text = strconv.AppendInt(appendName(text, "created"), n.CreatedAt.Unix(), 10)
	text = appendMember(text, "type", cmp.Or(n.NotifyType, paymentSucceeded))
	text, err := appendData(append(appendName(text, "data"), `{"object":`...), n)
	if err != nil {
		return Message{}, err
	}
	text = append(text, "}}"...)
	macs, err := in.Keys.macs(in.Now, text)
	if err != nil {
		return Message{}, err
	}
	items := append(make([]string, 0, 1+len(macs)), "t="+timestamp)
	for _, mac := range macs {
		items = append(items, "v1="+hex.EncodeToString(mac))
	}
	header := append(slices.Clip(jsonHeader),
		Header{optionText(m, optionSignatureHeader, stripeHeader), strings.Join(items, ",")})
	return Message{Method: "POST", Header: header, Body: text[from:len(text):len(text)], StringToSign: text}, nil
}

// verifyStripe is what stripe-go does: of the header's items t and v1 count, others are not looked at, and
// any v1 that fits will do.
func verifyStripe(req CapturedRequest, keys VerifyKeys) (v Verification, err error) {
	event, err := readJSON(req)
	if err != nil {
		return v, err
	}
	v.NotifyID = fieldOf(event, "id")
	data, err := jsonMembers([]byte(fieldOf(event, "data")))
	if err != nil {
		return v, broken(RuleParameter, "data is no object: %v", err)
	}
	if err = readData(&v, fieldOf(data, "object")); err != nil {
		return v, err
	}
	name := cmp.Or(keys.Options[optionSignatureHeader], stripeHeader)
	timestamp, signatures, err := stripeItems(name, req.Get(name))
	if err != nil {
		return v, err
	}
	v.StringToSign = append([]byte(timestamp+"."), req.Body...)
	switch {
	case keys.SignType != "" && keys.SignType != signV1:
		return v, broken(RuleSignType, "Stripe signs with v1, not %s", quote(keys.SignType))
	case keys.Secret == "":
		return v, broken(RuleSignature, "there is no secret to verify with")
	}
	want := hex.EncodeToString(signer.HMACSHA256([]byte(keys.Secret), v.StringToSign))
	if !slices.ContainsFunc(signatures, func(got string) bool { return sameText(got, want) }) {
		return v, signatureError(signer.ErrSignature)
	}
	return v, nil
}

// stripeItems takes the signature header apart. stripe-go refuses it whole when an item is not name=value.
func stripeItems(name, value string) (timestamp string, v1 []string, err error) {
	if value == "" {
		return "", nil, broken(RuleMissing, "there is no header %s", name)
	}
	for item := range strings.SplitSeq(value, ",") {
		if strings.Count(item, "=") != 1 {
			return "", nil, broken(RuleSignature, "%s holds %s, which is not name=value", name, quote(item))
		}
		switch key, text, _ := strings.Cut(item, "="); key {
		case "t":
			timestamp = text
		case signV1:
			v1 = append(v1, text)
		}
	}
	if len(v1) == 0 {
		return "", nil, broken(RuleMissing, "%s holds no v1=", name)
	}
	if timestamp == "" {
		return "", nil, broken(RuleMissing, "%s holds no t=", name)
	}
	return timestamp, v1, checkUnix("t of "+name, timestamp)
}

// sameText compares two signatures in a time that does not tell where they differ.
func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
