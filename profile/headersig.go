package profile

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"paynotify/signer"
)

// The header signature: an RSA-SHA256 signature over the bytes as they are sent, which any profile can carry
// beside its own and which needs no canonical form. It has the shape of WeChat Pay v3's: over
// `timestamp "\n" nonce "\n" body "\n"`, where a GET, which has no body, signs its query: all that stands
// behind the `?` on the wire.
const (
	optionHeaderSignature = "header_signature"

	headerTimestamp = "x-notify-timestamp" // seconds since 1970
	headerNonce     = "x-notify-nonce"
	headerSignature = "x-notify-signature" // standard base64

	headerNonceChars = 32
)

// Encode writes and signs the request of one send: the profile's own message, and what the merchant's options
// add to it.
func Encode(p *Profile, in Input) (Message, error) {
	msg, err := p.Encode(in)
	if err != nil || !optionBool(in.Merchant, optionHeaderSignature) {
		return msg, err
	}
	key := in.Keys.at(in.Now)
	if key == nil || key.private == nil {
		return Message{}, errNoKey
	}
	timestamp, nonce := stamp(in, key, "x-notify-nonce")
	query := wholeQuery(cmp.Or(in.Notification.NotifyURL, in.Merchant.NotifyURL), msg.Query)
	text := headerText(timestamp, nonce, signedBytes(msg.Method, query, msg.Body))
	signature, err := in.Keys.sign(in, signRSA2, text)
	if err != nil {
		return Message{}, err
	}
	msg.Header = append(slices.Clip(msg.Header),
		Header{headerTimestamp, timestamp}, Header{headerNonce, nonce}, Header{headerSignature, signature})
	if msg.StringToSign == nil {
		msg.StringToSign = text
	}
	return msg, nil
}

// stamp is the timestamp in seconds and the nonce of a send: another one at each, and the same again for the
// evidence of it.
func stamp(in Input, key *parsedKey, label string) (timestamp, nonce string) {
	text := in.Notification.NotifyID + "\n" + strconv.FormatInt(in.Now.UnixNano(), 10)
	secret := key.secret
	if key.private != nil {
		secret = key.private.D.Bytes()
	}
	return strconv.FormatInt(in.Now.Unix(), 10), derived(secret, headerNonceChars, label, []byte(text))
}

// headerText is what is signed: WeChat Pay v3's form.
func headerText(timestamp, nonce string, body []byte) []byte {
	text := make([]byte, 0, len(timestamp)+len(nonce)+len(body)+3)
	text = append(append(text, timestamp...), '\n')
	text = append(append(text, nonce...), '\n')
	return append(append(text, body...), '\n')
}

// wholeQuery is the query as the client writes it: what a message adds stands behind the notify_url's own.
func wholeQuery(notifyURL, added string) string {
	_, own, _ := strings.Cut(notifyURL, "?")
	if own == "" || added == "" || strings.HasSuffix(own, "&") || strings.HasSuffix(own, "?") {
		return own + added
	}
	return own + "&" + added
}

func signedBytes(method, query string, body []byte) []byte {
	if method == "GET" {
		return []byte(query)
	}
	return body
}

// wantsHeaderSignature reports whether a request must, or can, be checked by its header signature.
func wantsHeaderSignature(req CapturedRequest, keys VerifyKeys) bool {
	return keys.Options[optionHeaderSignature] == "true" ||
		keys.PublicKey != nil && req.Get(headerSignature) != ""
}

func verifyHeaderSignature(req CapturedRequest, keys VerifyKeys) ([]byte, error) {
	timestamp, nonce, signature := req.Get(headerTimestamp), req.Get(headerNonce), req.Get(headerSignature)
	for _, h := range []Header{
		{headerTimestamp, timestamp}, {headerNonce, nonce}, {headerSignature, signature},
	} {
		if h.Value == "" {
			return nil, broken(RuleMissing, "there is no header %s", h.Name)
		}
	}
	text := headerText(timestamp, nonce, signedBytes(req.Method, req.Query, req.Body))
	if keys.PublicKey == nil {
		return text, broken(RuleSignature, "there is no public key to verify %s with", headerSignature)
	}
	return text, signatureError(signer.VerifyRSA2(keys.PublicKey, text, signature))
}
