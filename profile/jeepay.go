package profile

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"paynotify/signer"
	"paynotify/store"
)

// Jeepay: a form POST in camel case, signed with upper-case MD5. It carries no notify_id, and all sends of a
// notification are the same bytes: reqTime is the instant of acceptance. Source: JeepayKit of
// jeepay-sdk-java.
var jeepay = Profile{
	Name:        "jeepay",
	Summary:     "Jeepay: form POST in camel case, MD5 signature",
	Method:      "POST",
	SignTypes:   []string{"MD5"},
	Key:         KeySecret,
	Schedule:    "jeepay",
	Ack:         store.Ack{Match: "trim_fold", Text: "success", Status: []string{"200"}}, // equalsIgnoreCase
	Charsets:    []string{charsetUTF8},
	Reserved:    []string{"reqTime"},
	Adds:        jeepayAdds,
	Headers:     []string{"Content-Type"},
	CheckParams: checkJeepay,
	Encode:      encodeJeepay,
	Verify:      verifyJeepay,
}

var jeepayAdds = []string{"mchNo", "appId", "mchOrderNo", "reqTime"}

// checkJeepay adds to the common rules that JeepayKit sorts without regard to case: names that differ in
// nothing else would be sorted by their values.
func checkJeepay(m *store.Merchant, n *store.Notification, ps Params) []Fault {
	faults := checkForm(jeepayAdds, m, n, ps)
	seen := make(map[string]string, len(ps)+len(jeepayAdds))
	for _, name := range jeepayAdds {
		seen[strings.ToLower(name)] = name
	}
	for i := range ps {
		name := ps[i].Name
		low := strings.ToLower(name)
		if other, there := seen[low]; there && other != name {
			faults = append(faults, Fault{
				Location: paramAt(name),
				Message:  "parameter name " + quote(name) + " differs from " + quote(other) + " in case alone",
				Cure:     "give one of the two: Jeepay's SDK sorts names without regard to case",
			})
		}
		seen[low] = name
	}
	return faults
}

func encodeJeepay(in Input) (Message, error) {
	m, n := in.Merchant, in.Notification
	ps, err := ParseParams(n.Params)
	if err != nil {
		return Message{}, err
	}
	defaults := [...]Field{
		{"mchNo", Partner(m)},
		{"appId", m.AppID},
		{"mchOrderNo", n.OutTradeNo},
		{"reqTime", strconv.FormatInt(n.CreatedAt.UnixMilli(), 10)},
	}
	fields := gather(defaults[:], ps)
	text := append(canonicalFolded(fields), "&key="...)
	sign, err := in.Keys.sign(in, "MD5", text)
	if err != nil {
		return Message{}, err
	}
	fields = append(fields, Field{"sign", strings.ToUpper(sign)})
	return Message{Method: "POST", Header: formHeaderUTF8, Body: formBody(fields), StringToSign: text}, nil
}

// canonicalFolded is canonical, sorted without regard to case.
func canonicalFolded(fields []Field) []byte {
	sorted := slices.Clone(fields)
	slices.SortStableFunc(sorted, func(a, b Field) int {
		return cmp.Compare(strings.ToLower(a.Name+"="), strings.ToLower(b.Name+"="))
	})
	return joined(sorted)
}

// verifyJeepay is JeepayKit's getSign, compared as the SDK's users do.
func verifyJeepay(req CapturedRequest, keys VerifyKeys) (Verification, error) {
	v, sign, err := signedFields(req)
	if err != nil {
		return v, err
	}
	signed := slices.DeleteFunc(slices.Clone(v.Fields), func(f Field) bool { return f.Value == "" })
	v.StringToSign = append(canonicalFolded(signed), "&key="...)
	v.OutTradeNo = fieldOf(v.Fields, "mchOrderNo")
	switch {
	case keys.SignType != "" && keys.SignType != "MD5":
		return v, broken(RuleSignType, "Jeepay signs with MD5, not %s", quote(keys.SignType))
	case keys.Secret == "":
		return v, broken(RuleSignature, "there is no secret to verify with")
	case sign != strings.ToUpper(sign):
		return v, broken(RuleSignature, "the signature is not in upper case")
	}
	return v, signatureError(signer.VerifyMD5Key(v.StringToSign, []byte(keys.Secret), strings.ToLower(sign)))
}
