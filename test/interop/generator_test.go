package interop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator makes random parameters: mostly such as providers send, made of what is known to go wrong on the
// way, and now and then one that must not be let in.
type generator struct {
	*rand.Rand
	pieces []string
}

// pieces is what texts are made of.
var pieces = []string{
	"支付成功", "二年级《数学》", "，。、", "订单", "a", "Zz", "0", "7", "88.88", "&", "=", "+", "%", "%41", "%zz",
	"%%", `"`, "'", `""`, "`", "😀", "👨‍👩‍👧", "🇨🇳", "é", "e\u0301", "ß", "İ", `\`, `\\n`, `\u0041`, "/",
	"<b>", "</xml>", "]]", "<!--", "&amp;", "&#x41;", "@", "#", "?", ";", ",", ":", "{\"a\":[1,2]}", "[0]",
	" ", "  ", "\n", "\t", "\u3000", "\u00a0", "\u2028", "\ufeff", "\u200b", "\u007f", "~", "*", "-_.", "|",
	"^", "$1", "${x}", "(", ")", "!", "key=", "sign=", "&sign=x", "null", "true", "\U0010FFFF", "\uFFFD",
	"\uE000",
}

// gbkPieces is what they are made of for merchants who still live with GBK.
var gbkPieces = []string{
	"支付成功", "二年级《数学》", "，。、", "訂單", "囍", "ａ", "α", "я", "あ", "①", "㈱", "a", "Zz", "0",
	"7", "88.88", "&", "=", "+", "%", "%41", `"`, "'", "<b>", `\`, "/", " ", "\n", "\u3000", "~", "|", "^",
	"[0]", "key=",
}

// controls are what forms and JSON carry beside them, and XML does not.
var controls = []string{"\x00", "\x01", "\r\n", "\r", "\x1f", "\b", "\f", "]]>", "\uFFFE"}

// text is a text of the pieces, now and then of several KB, rarely with blanks at its ends.
func (g *generator) text(more ...string) string {
	var b strings.Builder
	pieces := slices.Concat(g.pieces, more)
	for range 1 + g.IntN(12) {
		b.WriteString(pieces[g.IntN(len(pieces))])
	}
	text := b.String()
	if g.IntN(25) == 0 {
		text = strings.Repeat(text, 1+4096/len(text))
	}
	if g.IntN(100) != 0 {
		text = "测" + text + "."
	}
	return text
}

// name is a parameter's name that every dialect carries.
func (g *generator) name() string {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const rest = first + "0123456789_"
	name := []byte{first[g.IntN(len(first))]}
	for range 2 + g.IntN(20) {
		name = append(name, rest[g.IntN(len(rest))])
	}
	return string(name) + "_n"
}

var formNames = []string{
	"trade_no", "trade_status", "total_amount", "receipt_amount", "subject", "body", "buyer_id", "seller_id",
	"gmt_create", "gmt_payment", "fund_bill_list", "passback_params", "out_biz_no", "refund_fee",
}

// form is a set of parameters for forms.
func (g *generator) form() object { return g.formOf(controls...) }

// gbk is one for forms in GBK.
func (g *generator) gbk() object {
	g.pieces = gbkPieces
	if g.IntN(50) == 0 {
		return g.formOf("é", "한", "€") // not let in
	}
	return g.formOf()
}

func (g *generator) formOf(more ...string) object {
	params := object{}
	for range 1 + g.IntN(8) {
		name := formNames[g.IntN(len(formNames))]
		switch {
		case g.IntN(100) == 0:
			name = g.text() // rarely let in
		case g.IntN(3) == 0:
			name = g.name()
		}
		params[name] = g.scalar(more...)
	}
	return params
}

// scalar is a value that a form or XML carries.
func (g *generator) scalar(more ...string) any {
	switch g.IntN(12) {
	case 0:
		return g.IntN(1 << 30)
	case 1:
		return g.IntN(2) == 0
	case 2:
		return []any{nil, ""}[g.IntN(2)]
	case 3:
		return float64(g.IntN(1e6)) / 100
	default:
		return g.text(more...)
	}
}

var (
	wechatTexts = []string{
		"device_info", "err_code", "err_code_des", "openid", "is_subscribe", "trade_type", "bank_type",
		"fee_type", "cash_fee_type", "transaction_id", "attach", "time_end", "coupon_type_0", "coupon_id_1",
	}
	wechatNumbers = []string{
		"total_fee", "settlement_total_fee", "cash_fee", "coupon_fee", "coupon_count", "coupon_fee_0",
	}
)

// wechatV2 is a set of parameters of WeChat's closed list.
func (g *generator) wechatV2() object {
	params := object{}
	for range 1 + g.IntN(8) {
		name := wechatTexts[g.IntN(len(wechatTexts))]
		if g.IntN(200) == 0 {
			name = g.name() // not let in
		}
		more := controls[:0]
		if g.IntN(50) == 0 {
			more = controls // not let in
		}
		params[name] = g.scalar(more...)
	}
	for range g.IntN(4) {
		name, number := wechatNumbers[g.IntN(len(wechatNumbers))], g.IntN(1<<30)
		switch g.IntN(40) {
		case 0:
			params[name] = fmt.Sprintf("00%d", number) // not let in
		case 1:
			params[name] = float64(number) + 0.5 // not let in
		case 2:
			params[name] = nil
		default:
			params[name] = []any{number, fmt.Sprint(number)}[g.IntN(2)]
		}
	}
	return params
}

// json is a set of parameters for JSON bodies.
func (g *generator) json() object {
	params := object{}
	for range 1 + g.IntN(6) {
		params[g.member()] = g.value(3)
	}
	return params
}

// member is a name in JSON, where nearly all texts are names.
func (g *generator) member() string {
	if g.IntN(3) > 0 {
		return g.name()
	}
	name := g.text()
	if g.IntN(200) == 0 {
		return name + "\x01" // not let in
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, "n"+name) // no number
}

// value is any JSON value that is let in, of so many levels, and rarely one that is not.
func (g *generator) value(levels int) any {
	switch kind := g.IntN(10); {
	case kind == 0 && levels > 0:
		list := []any{}
		for range g.IntN(4) {
			list = append(list, g.value(levels-1))
		}
		return list
	case kind <= 2 && levels > 0:
		members := object{}
		for range g.IntN(4) {
			members[g.member()] = g.value(levels - 1)
		}
		return members
	case kind == 3:
		return []any{nil, true, false, "", " ", "\ufeff"}[g.IntN(6)]
	case kind <= 5:
		return g.Int64N(1<<54-1) - (1<<53 - 1)
	case kind == 6 && g.IntN(20) == 0:
		return []any{1.5, int64(1 << 53), 1e30}[g.IntN(3)] // not let in
	default:
		return strings.TrimPrefix(g.text(controls...), "测")
	}
}
