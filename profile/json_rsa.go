package profile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"paynotify/signer"
	"paynotify/store"
)

// The dialect of PHP tutorials that verify json_encode of what they received: a form, which they find in
// $_POST, or a JSON object, which they read from php://input. As those tutorials print it, it cannot work:
// the signature stands inside the data that it signs. What is sent is the nearest form that can be verified,
// with one line more in the merchant's code, unset($data['signature']). What is signed is PHP's json_encode
// text of all other members in the order sent, with RSA-SHA256, or SHA-1, which is openssl_verify's default.
//
// Nothing in it changes from send to send: the same bytes leave each time.
var jsonRSA = Profile{
	Name:      "json_rsa",
	Summary:   "form or JSON POST, RSA signature over PHP's json_encode of all other members",
	Method:    "POST",
	SignTypes: jsonRSASignTypes,
	Key:       KeyRSA,
	Schedule:  "alipay",
	Ack:       successAck,
	Charsets:  []string{charsetUTF8},
	Options: []Option{{
		Name: "body", Values: []string{bodyForm, bodyJSON},
		Doc: "what is sent; form for merchants that read $_POST, json for those that read php://input",
	}},
	Reserved: []string{jsonRSASignature},
	Adds:     jsonRSAAdds,
	Headers:  []string{"Content-Type"},
	// Merchants read $_POST or the body, where a query does not show.
	AllowQuery:  true,
	CheckParams: checkJSONRSA,
	Encode:      encodeJSONRSA,
	Verify:      verifyJSONRSA,
}

var (
	jsonRSASignTypes = []string{signRSA2, signRSA}
	jsonRSAAdds      = []string{"notify_id", "notify_type", "out_trade_no"}

	jsonHeader = []Header{{"Content-Type", "application/json"}}
)

const (
	optionBody = "body"
	bodyForm   = "form"
	bodyJSON   = "json"

	jsonRSASignature = "signature" // the member that carries it
)

// checkJSONRSA refuses, for a form, what no form carries. The names that PHP changes would break this dialect
// too; the rules about sorting are kept although nothing is sorted here, so that what one form dialect takes
// they all take. For JSON, it refuses what comes out of PHP's json_decode and json_encode as another text.
func checkJSONRSA(m *store.Merchant, n *store.Notification, ps Params) []Fault {
	if optionText(m, optionBody, bodyForm) == bodyJSON {
		return checkJSON(jsonRules{noNull: true, noLists: true, noEmptyObjects: true}, n, ps)
	}
	return checkForm(jsonRSAAdds, m, n, ps)
}

func encodeJSONRSA(in Input) (Message, error) {
	m, n := in.Merchant, in.Notification
	ps, err := ParseParams(n.Params)
	if err != nil {
		return Message{}, err
	}
	// Once more: it may have been accepted under the other options.body, and would leave with a signature that
	// does not fit, or without one of its parameters.
	if faults := checkJSONRSA(m, n, ps); len(faults) > 0 {
		return Message{}, fmt.Errorf("%s: %s: %s", faults[0].Location, faults[0].Message, faults[0].Cure)
	}
	own := []Field{
		{"notify_id", n.NotifyID},
		{"notify_type", n.NotifyType},
		{"out_trade_no", n.OutTradeNo},
	}
	if optionText(m, optionBody, bodyForm) == bodyJSON {
		return jsonRSAObject(in, own, ps)
	}
	return jsonRSAForm(in, own, ps)
}

func jsonRSAForm(in Input, own []Field, ps Params) (Message, error) {
	fields := gather(own, ps)
	text, err := phpStrings(fields, jsonRSASignature)
	if err != nil {
		return Message{}, err
	}
	signature, err := in.Keys.sign(in, signTypeOf(in.Merchant, jsonRSASignTypes), text)
	if err != nil {
		return Message{}, err
	}
	fields = append(fields, Field{jsonRSASignature, signature})
	return Message{Method: "POST", Header: formHeader, Body: formBody(fields), StringToSign: text}, nil
}

func jsonRSAObject(in Input, own []Field, ps Params) (Message, error) {
	body, err := appendMembers(appendDefaults([]byte{'{'}, own, ps), ps)
	if err != nil {
		return Message{}, err
	}
	text, err := phpText(append(slices.Clip(body), '}'))
	if err != nil {
		return Message{}, err
	}
	signature, err := in.Keys.sign(in, signTypeOf(in.Merchant, jsonRSASignTypes), text)
	if err != nil {
		return Message{}, err
	}
	body = append(appendMember(body, jsonRSASignature, signature), '}')
	return Message{Method: "POST", Header: jsonHeader, Body: body, StringToSign: text}, nil
}

// verifyJSONRSA is the tutorials' check, with the signature taken out of what it covers.
func verifyJSONRSA(req CapturedRequest, keys VerifyKeys) (Verification, error) {
	v, err := readJSONRSA(req, keys.Options[optionBody])
	if err != nil {
		return v, err
	}
	signature := fieldOf(v.Fields, jsonRSASignature)
	signType := cmp.Or(keys.SignType, signRSA2)
	switch {
	case signature == "":
		return v, broken(RuleMissing, "there is no member signature")
	case !slices.Contains(jsonRSASignTypes, signType):
		return v, broken(RuleSignType, "sign_type %s is none of this dialect", quote(signType))
	case keys.PublicKey == nil:
		return v, broken(RuleSignature, "there is no public key to verify with")
	case signType == signRSA:
		return v, signatureError(signer.VerifyRSA1(keys.PublicKey, v.StringToSign, signature))
	}
	return v, signatureError(signer.VerifyRSA2(keys.PublicKey, v.StringToSign, signature))
}

// readJSONRSA reads the members and the text that is signed; want is options.body, empty for either.
func readJSONRSA(req CapturedRequest, want string) (v Verification, err error) {
	contentType := req.Get("Content-Type")
	kind, _, _ := strings.Cut(contentType, ";")
	isJSON := strings.EqualFold(strings.TrimSpace(kind), "application/json")
	switch {
	case req.Method != "POST":
		return v, broken(RuleRequest, "the method is %s, not POST", quote(req.Method))
	case want == bodyForm && isJSON, want == bodyJSON && !isJSON:
		return v, broken(RuleRequest, "the content type is %s, and options.body is %s", quote(contentType), want)
	case isJSON:
		return readJSONRSAObject(req.Body)
	}
	if v, err = readForm(req); err != nil {
		return v, err
	}
	for _, f := range v.Fields {
		if !phpKeepsName(f.Name) {
			return v, broken(RuleParameter, "PHP makes another name of parameter %s", quote(f.Name))
		}
	}
	if v.StringToSign, err = phpStrings(v.Fields, jsonRSASignature); err != nil {
		return v, broken(RuleEncoding, "the form cannot be signed: %v", err)
	}
	return v, nil
}

func readJSONRSAObject(body []byte) (v Verification, err error) {
	if v.Fields, err = jsonMembers(body); err != nil {
		return v, err
	}
	v.NotifyID, v.OutTradeNo = fieldOf(v.Fields, "notify_id"), fieldOf(v.Fields, "out_trade_no")
	ps, err := ParseParams(body)
	if err != nil {
		return v, broken(RuleEncoding, "the body is not a JSON object: %v", err)
	}
	// Null and lists are none of ours, but PHP writes them as they stand.
	if faults := checkJSON(jsonRules{noEmptyObjects: true}, &store.Notification{}, ps); len(faults) > 0 {
		name := strings.TrimPrefix(faults[0].Location, paramAt(""))
		return v, broken(RuleParameter, "member %s: %s", quote(name), faults[0].Message)
	}
	ps = slices.DeleteFunc(ps, func(p Param) bool { return p.Name == jsonRSASignature })
	doc, err := appendMembers([]byte{'{'}, ps)
	if err == nil {
		v.StringToSign, err = phpText(append(doc, '}'))
	}
	if err != nil {
		return v, broken(RuleEncoding, "the body cannot be signed: %v", err)
	}
	return v, nil
}

// phpKeepsName reports whether $_POST has the field under the name that it has on the wire. Digits alone
// would become a number.
func phpKeepsName(name string) bool {
	return name != "" && !strings.ContainsAny(name, " .[\x00") && digits(name) < len(name)
}
