package console

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"paynotify/api"
)

// signCheck is how a merchant's developer checks a signature without any code of ours.
type signCheck struct {
	Commands string // for a POSIX shell with openssl; empty when there are none for this way of signing
	Expect   string // what they must print
}

// The headers that signatures stand in, in lower case; all others stand in the body or the query.
const (
	headerWechat = "wechatpay-signature"
	headerOurs   = "x-notify-signature"
)

// checkOf writes the commands for a request. A secret is not in them: its owner puts it into a file.
func checkOf(r *request, m *api.MerchantView, publicKey string, req *api.RequestView) (c signCheck) {
	text := "printf %s '" + base64.StdEncoding.EncodeToString(req.SignBase64) + "' | base64 -d > signed.txt\n"
	signature := signatureOf(req)
	switch by := signedBy(m, req); by {
	case "RSA2", "RSA":
		digest := map[string]string{"RSA2": "-sha256", "RSA": "-sha1"}[by]
		if publicKey == "" || signature == "" || !isBase64(signature) {
			return c
		}
		c.Commands = text + "printf %s '" + signature + "' | base64 -d > signature.bin\n" +
			"cat > public_key.pem <<'END'\n" + strings.TrimSpace(publicKey) + "\nEND\n" +
			"openssl dgst " + digest + " -verify public_key.pem -signature signature.bin signed.txt\n"
		c.Expect = "Verified OK"
	case "MD5":
		c.Commands = keyFile + text + "cat signed.txt key.txt | openssl dgst -md5 -r\n"
		c.Expect = strings.ToLower(signature)
	case "HMAC-SHA256":
		c.Commands = keyFile + text + "cat signed.txt key.txt | " + hmac + "\n"
		c.Expect = strings.ToLower(signature)
	case "standard":
		c.Commands = keyFile + text + standardHMAC
		c.Expect = r.t("one of the v1 tokens of webhook-signature")
	case "stripe":
		c.Commands = keyFile + text + hmac + " signed.txt\n"
		c.Expect = r.t("one of the v1 values of the signature header")
	}
	return c
}

const (
	hmac    = `openssl dgst -sha256 -hmac "$(cat key.txt)" -r`
	keyFile = "# key.txt holds the merchant's secret, without a newline\n"
	// standardHMAC keys with the bytes behind whsec_, which are base64.
	standardHMAC = `key=$(sed 's/^whsec_//' key.txt | base64 -d | od -An -v -tx1 | tr -d ' \n')` + "\n" +
		`openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary signed.txt | base64` + "\n"
)

// signedBy is the way in which a request was signed.
func signedBy(m *api.MerchantView, req *api.RequestView) string {
	switch {
	case m.Profile == "standard" || m.Profile == "stripe":
		return m.Profile
	case headerOf(req, headerWechat) != "", headerOf(req, headerOurs) != "" && m.SignType == "none":
		return "RSA2"
	}
	return m.SignType
}

// signatureOf finds the signature in a request: in a header, in a form or query, in JSON or in XML.
func signatureOf(req *api.RequestView) string {
	if s := headerOf(req, headerWechat); s != "" {
		return s
	}
	names := []string{"sign", "signature"}
	body := string(req.BodyBase64)
	_, query, _ := strings.Cut(req.URL, "?")
	for _, form := range []string{body, query} {
		if v, err := url.ParseQuery(form); err == nil {
			for _, name := range names {
				if s := v.Get(name); s != "" {
					return s
				}
			}
		}
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(req.BodyBase64, &members) == nil {
		var s string
		if json.Unmarshal(members["signature"], &s) == nil {
			return s
		}
	}
	if _, rest, found := strings.Cut(body, "<sign>"); found {
		s, _, _ := strings.Cut(rest, "</sign>")
		return strings.TrimSuffix(strings.TrimPrefix(s, "<![CDATA["), "]]>")
	}
	return headerOf(req, headerOurs)
}

func headerOf(req *api.RequestView, name string) string {
	for _, h := range req.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil
}
