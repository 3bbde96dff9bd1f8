package profile

import (
	"encoding/json"
	"math/big"
	"strings"
)

// amountCharsMax bounds an amount's text: the largest sum a bank books has 20 digits, the finest currency 18
// decimals.
const amountCharsMax = 40

// amountName is where a dialect has money.
type amountName struct {
	name   string // "a.b" is b inside the object a
	refund bool
}

// amountNames are, by profile, the dialects' own names of what a notification is about. A refund comes first:
// its notification carries the amount of the payment beside it, and the two must not be added up. Units are
// the dialect's: Alipay and epay write yuan, WeChat Pay and Jeepay fen.
var amountNames = map[string][]amountName{
	"alipay":      {{"refund_fee", true}, {"total_amount", false}},
	"alipay_mapi": {{"refund_fee", true}, {"total_fee", false}},
	"wechat_v2":   {{"refund_fee", true}, {"total_fee", false}},
	"wechat_v3":   {{"amount.refund", true}, {"amount.total", false}},
	"epay":        {{"money", false}},
	"jeepay":      {{"refundAmount", true}, {"amount", false}},
	"stripe":      {{"amount", false}, {"amount_total", false}, {"amount_paid", false}},
}

// amountNamesCommon are tried after a profile's own, for the profiles whose parameters are the platform's to
// choose: the names of the dialects above, and those of PayPal's and Adyen's objects.
var amountNamesCommon = []amountName{
	{"refund_fee", true},
	{"refund_amount", true},
	{"amount.refund", true},
	{"total_amount", false},
	{"total_fee", false},
	{"amount", false},
	{"amount.total", false},
	{"amount.value", false},
	{"money", false},
	{"amount_total", false},
	{"total", false},
	{"price", false},
}

// Amount finds the money that a notification tells of: the name of the parameter, with a dot where it lies
// inside an object, and its value as the platform wrote it, a plain decimal number of at most 40 characters
// in the dialect's unit. Both are empty when there is none, or params cannot be read. A refund of zero is no
// refund: dialects send the field in payments too.
func Amount(profileName string, params json.RawMessage) (field, value string) {
	ps, err := ParseParams(params)
	if err != nil {
		return "", ""
	}
	for _, names := range [][]amountName{amountNames[profileName], amountNamesCommon} {
		for _, n := range names {
			text := ps.at(n.name)
			if isDecimal(text) && !(n.refund && isZero(text)) {
				return n.name, text
			}
		}
	}
	return "", ""
}

// at is the text of a string or number; path is a name, or one inside the object of another.
func (ps Params) at(path string) string {
	outer, inner, nested := strings.Cut(path, ".")
	for i := range ps {
		p := &ps[i]
		switch {
		case p.Name != outer:
		case !nested && (p.Kind == KindString || p.Kind == KindNumber):
			return p.Value
		case nested && p.Kind == KindObject:
			inside, err := ParseParams(p.Raw)
			if err != nil {
				return ""
			}
			return inside.at(inner)
		}
	}
	return ""
}

// isDecimal reports whether text is a number in digits, without an exponent: 1e999999999 would be one too,
// and adding it up would take all memory.
func isDecimal(text string) bool {
	if len(text) > amountCharsMax {
		return false
	}
	whole, part, cut := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	return whole != "" && digits(whole) == len(whole) && (!cut || part != "" && digits(part) == len(part))
}

func isZero(decimal string) bool { return strings.Trim(decimal, "-0.") == "" }

// Amounts are sums of money by the name of the field, exact to the last decimal. The zero value is empty.
type Amounts struct {
	byField map[string]*amountSum
}

// amountSum is units / 10^decimals.
type amountSum struct {
	units    big.Int
	decimals int
}

// Add counts one answer of Amount; an empty field counts nothing.
func (a *Amounts) Add(field, value string) {
	if field == "" || !isDecimal(value) {
		return
	}
	sum := a.byField[field]
	if sum == nil {
		if a.byField == nil {
			a.byField = map[string]*amountSum{}
		}
		sum = &amountSum{}
		a.byField[field] = sum
	}
	whole, part, _ := strings.Cut(value, ".")
	var units big.Int
	units.SetString(whole+part, 10)
	if more := sum.decimals - len(part); more > 0 {
		units.Mul(&units, powerOfTen(more))
	} else if more < 0 {
		sum.units.Mul(&sum.units, powerOfTen(-more))
		sum.decimals = len(part)
	}
	sum.units.Add(&sum.units, &units)
}

func powerOfTen(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// Texts are the sums as plain decimals, with as many decimals as the finest amount had; never nil.
func (a *Amounts) Texts() map[string]string {
	texts := make(map[string]string, len(a.byField))
	for field, sum := range a.byField {
		texts[field] = sum.String()
	}
	return texts
}

func (s *amountSum) String() string {
	text := s.units.String()
	minus := ""
	if rest, is := strings.CutPrefix(text, "-"); is {
		minus, text = "-", rest
	}
	if s.decimals == 0 {
		return minus + text
	}
	if short := s.decimals + 1 - len(text); short > 0 {
		text = strings.Repeat("0", short) + text
	}
	at := len(text) - s.decimals
	return minus + text[:at] + "." + text[at:]
}
