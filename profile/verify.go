package profile

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"paynotify/signer"
)

// CapturedRequest is a request as a merchant received it.
type CapturedRequest struct {
	Method string
	Query  string   // of the request target, without the `?`, as received
	Header []Header // in any order and letter case
	Body   []byte
}

// Get returns the first header of that name, in any letter case; empty when there is none.
func (r *CapturedRequest) Get(name string) string {
	for _, h := range r.Header {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// HeadersOf lists the headers of a map such as http.Header.
func HeadersOf(header map[string][]string) []Header {
	list := make([]Header, 0, len(header))
	for name, values := range header {
		for _, value := range values {
			list = append(list, Header{name, value})
		}
	}
	return list
}

// VerifyKeys is what a merchant verifies with.
type VerifyKeys struct {
	PublicKey *rsa.PublicKey
	Ed25519   ed25519.PublicKey // for v1a of Standard Webhooks
	Secret    string
	SignType  string            // the only one accepted; empty = what the request says, or the profile's default
	Options   map[string]string // as the sender has them set, where they change what is on the wire
}

// ParseVerifyKeys reads what a merchant verifies with: a public key as PEM, bare base64, certificate or
// whpk_…, or a secret; a line end behind the secret is taken off.
func ParseVerifyKeys(publicKey, secret, signType string) (VerifyKeys, error) {
	keys := VerifyKeys{SignType: signType}
	keys.Secret = strings.TrimSuffix(strings.TrimSuffix(secret, "\n"), "\r")
	if publicKey == "" {
		return keys, nil
	}
	var err error
	if strings.HasPrefix(strings.TrimSpace(publicKey), "wh") {
		keys.Ed25519, err = signer.ParseWhpk(publicKey)
	} else {
		keys.PublicKey, err = signer.ParsePublicKey(publicKey)
	}
	return keys, err
}

// Verification is what verifying made of a request.
type Verification struct {
	Fields       []Field // decoded, in the order received
	NotifyID     string  // empty where the dialect has none
	OutTradeNo   string
	StringToSign []byte // what the signature must cover; nil for unsigned dialects
}

// Rule names what a request breaks.
type Rule string

// The rules, in the order in which they are checked.
const (
	RuleRequest   Rule = "request"   // method or content type
	RuleEncoding  Rule = "encoding"  // escapes or charset
	RuleParameter Rule = "parameter" // a parameter stands twice
	RuleMissing   Rule = "missing"   // the signature is not there
	RuleSignType  Rule = "sign_type" // not the one expected
	RuleSignature Rule = "signature" // it does not fit
	RuleDecrypt   Rule = "decrypt"   // what is encrypted cannot be read
)

// VerifyError says which rule a request breaks.
type VerifyError struct {
	Rule   Rule
	Detail string
}

// Error is both in one line.
func (e *VerifyError) Error() string { return string(e.Rule) + ": " + e.Detail }

// Verify checks a captured request as the provider's real merchants do, and the header signature where there
// is one and a public key to check it with. The error is a *VerifyError. It looks at no clock.
func Verify(p *Profile, req CapturedRequest, keys VerifyKeys) (Verification, error) {
	v, err := p.Verify(req, keys)
	if err != nil || !wantsHeaderSignature(req, keys) {
		return v, err
	}
	text, err := verifyHeaderSignature(req, keys)
	if v.StringToSign == nil || err != nil {
		v.StringToSign = text
	}
	return v, err
}

// verifyAlipay is V1, as all current SDKs do it: sign and sign_type taken out of the body's fields, the query
// not counted. Of several places for sign_type the body's counts, then the query's, then the default.
func verifyAlipay(req CapturedRequest, keys VerifyKeys) (Verification, error) {
	v, sign, err := signedFields(req)
	if err != nil {
		return v, err
	}
	signType := fieldOf(v.Fields, "sign_type")
	if signType == "" {
		query, _ := parseForm([]byte(req.Query)) // a broken query says nothing, and is not signed anyway
		signType = fieldOf(query, "sign_type")
	}
	signType = cmp.Or(signType, cmp.Or(keys.SignType, alipaySignTypes[0]))
	switch {
	case keys.SignType != "" && signType != keys.SignType:
		return v, broken(RuleSignType, "sign_type is %s, not %s", quote(signType), keys.SignType)
	case keys.PublicKey == nil:
		return v, broken(RuleSignature, "there is no public key to verify with")
	case signType == "RSA2":
		err = signer.VerifyRSA2(keys.PublicKey, v.StringToSign, sign)
	case signType == "RSA":
		err = signer.VerifyRSA1(keys.PublicKey, v.StringToSign, sign)
	default:
		return v, broken(RuleSignType, "sign_type %s is not one of Alipay's", quote(signType))
	}
	return v, signatureError(err)
}

// verifyMapi is the legacy SDK's check.
func verifyMapi(req CapturedRequest, keys VerifyKeys) (Verification, error) {
	v, sign, err := signedFields(req)
	if err != nil {
		return v, err
	}
	switch signType := fieldOf(v.Fields, "sign_type"); {
	case signType != "MD5":
		return v, broken(RuleSignType, "sign_type is %s, not MD5", quote(signType))
	case keys.SignType != "" && keys.SignType != "MD5":
		return v, broken(RuleSignType, "sign_type is MD5, not %s", quote(keys.SignType))
	case keys.Secret == "":
		return v, broken(RuleSignature, "there is no secret to verify with")
	}
	return v, signatureError(signer.VerifyMD5Key(v.StringToSign, []byte(keys.Secret), sign))
}

// verifyForm reads an unsigned form: there is nothing to verify but that it can be read.
func verifyForm(req CapturedRequest, _ VerifyKeys) (Verification, error) {
	v, err := readForm(req)
	v.StringToSign = nil
	return v, err
}

// signedFields reads a form and finds its signature.
func signedFields(req CapturedRequest) (v Verification, sign string, err error) {
	if v, err = readForm(req); err != nil {
		return v, "", err
	}
	if sign = fieldOf(v.Fields, "sign"); sign == "" {
		return v, "", broken(RuleMissing, "there is no parameter sign")
	}
	return v, sign, nil
}

// readForm reads the fields of a form POST and the text that V1 signs.
func readForm(req CapturedRequest) (Verification, error) {
	var v Verification
	if req.Method != "POST" {
		return v, broken(RuleRequest, "the method is %s, not POST", quote(req.Method))
	}
	contentType := req.Get("Content-Type")
	kind, _, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return v, broken(RuleRequest, "the content type is %s, not that of a form", quote(contentType))
	}
	return readFields(req.Body, strings.Contains(strings.ToLower(contentType), "charset=gb"))
}

// readFields reads the fields of a form's body or of a query, and the text that V1 signs.
func readFields(raw []byte, gbk bool) (v Verification, err error) {
	fields, err := parseForm(raw)
	if err != nil {
		return v, err
	}
	v.Fields = fields
	v.NotifyID, v.OutTradeNo = fieldOf(fields, "notify_id"), fieldOf(fields, "out_trade_no")
	v.StringToSign = canonical(fields)
	gbk = gbk || strings.HasPrefix(strings.ToLower(fieldOf(fields, "charset")), "gb")
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		if seen[f.Name] {
			return v, broken(RuleParameter, "parameter %s stands twice", quote(f.Name))
		}
		seen[f.Name] = true
		if !gbk && !utf8.ValidString(f.Value) {
			return v, broken(RuleEncoding, "parameter %s is not valid UTF-8", quote(f.Name))
		}
	}
	return v, nil
}

// parseForm decodes name=value pairs in their order.
func parseForm(body []byte) ([]Field, error) {
	var fields []Field
	for pair := range strings.SplitSeq(string(body), "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, okName := unescapeForm(name)
		value, okValue := unescapeForm(value)
		if !okName || !okValue {
			return nil, broken(RuleEncoding, "parameter %s holds a %% without two hex digits", quote(name))
		}
		fields = append(fields, Field{name, value})
	}
	return fields, nil
}

func unescapeForm(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return s, false
			}
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if high < 0 || low < 0 {
				return s, false
			}
			b = append(b, byte(high<<4|low)) //nolint:gosec // two digits of 4 bits
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func fieldOf(fields []Field, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func broken(rule Rule, format string, args ...any) error {
	return &VerifyError{rule, fmt.Sprintf(format, args...)}
}

func signatureError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, signer.ErrSignature):
		return broken(RuleSignature, "%v", err)
	}
	return broken(RuleSignature, "the signature cannot be checked: %v", err)
}
