package profile

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"paynotify/store"
)

// The rules of dialects whose parameters travel as form fields, a query or XML elements. Each is here
// because a real verifier breaks without it: it drops, renames, trims, re-sorts or re-encodes something on
// the way from the wire to the signed text, and a rightly signed notification is refused.

// checkForm applies them all; adds are the names that the dialect sends besides params.
func checkForm(adds []string, m *store.Merchant, n *store.Notification, ps Params) []Fault {
	gbk := charsetOf(m) == charsetGBK
	faults := checkValue(nil, "body.out_trade_no", n.OutTradeNo, gbk)
	faults = checkValue(faults, "body.notify_type", n.NotifyType, gbk)
	for i := range ps {
		p := &ps[i]
		if cure := nameCure(p.Name); cure != "" {
			faults = append(faults, Fault{
				Location: paramAt(p.Name), Message: "parameter name " + quote(p.Name) + " does not reach merchants",
				Cure: cure,
			})
		}
		if p.Kind >= KindObject {
			faults = append(faults, Fault{
				Location: paramAt(p.Name), Message: "a form carries no object and no list",
				Cure: "give it as a JSON string",
			})
			continue
		}
		if p.Value != "" && suspect(p.Value) {
			faults = checkValue(faults, paramAt(p.Name), p.Value, gbk)
		}
	}
	return checkSorted(faults, adds, n, ps)
}

// suspect sorts out quickly the values, nearly all, that need no closer look.
func suspect(v string) bool {
	first, last := v[0], v[len(v)-1]
	return first <= '@' && (first == '@' || first <= ' ') || last <= ' ' || !ascii(v)
}

// checkValue checks one value that is sent.
func checkValue(faults []Fault, location, v string, gbk bool) []Fault {
	if v == "" {
		return faults
	}
	add := func(message, cure string) {
		faults = append(faults, Fault{Location: location, Message: message, Cure: cure})
	}
	if v[0] == '@' {
		add("the value begins with @, and Alipay's PHP SDKs leave such parameters out of what they verify",
			"put something before the @")
	}
	first, _ := utf8.DecodeRuneInString(v)
	last, _ := utf8.DecodeLastRuneInString(v)
	if isBlank(first) || isBlank(last) {
		add("the value begins or ends with white space, which many receivers trim before they verify",
			"take the white space off")
	}
	if !gbk {
		return faults
	}
	if _, r, ok := gbkOf(v); !ok {
		add(fmt.Sprintf("the value holds %q (%U), which the merchant's charset gbk cannot carry", r, r),
			"take it out, or set the merchant's charset to utf-8")
	}
	return faults
}

// isBlank reports whether some receiver trims the rune: Unicode's White_Space, and U+FEFF, which JavaScript
// trims too.
func isBlank(r rune) bool { return unicode.IsSpace(r) || r == '\uFEFF' }

// nameCure is empty for a name that every receiver keeps as it is.
func nameCure(name string) string {
	const cure = "use a letter, then letters, digits and _ only: PHP turns other characters into _, or the" +
		" parameter into an array"
	switch {
	case name == "":
		return "give it a name"
	case name[0] == '_':
		return "begin it with a letter: yansongda/pay drops names that begin with _"
	case name[0] >= '0' && name[0] <= '9':
		return "begin it with a letter: PHP sorts numeric names as numbers"
	}
	for i := range len(name) {
		if c := name[i]; !nameByte[c] {
			return cure
		}
	}
	switch name {
	case "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString",
		"valueOf":
		return "take another name: it is a member of every JavaScript object, and Express drops it"
	}
	return ""
}

var nameByte = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") {
		set[c] = true
	}
	return set
}()

// named is a name in the sorted list, with the place of its parameter, -1 for one of the dialect's own.
type named struct {
	name string
	at   int
}

// checkSorted applies the rules that concern names beside each other in the signed text.
func checkSorted(faults []Fault, adds []string, n *store.Notification, ps Params) []Fault {
	var room [fieldsRoom]named
	sorted := room[:0]
	for _, name := range adds {
		if name == "out_trade_no" && n.OutTradeNo == "" || name == "notify_type" && n.NotifyType == "" {
			continue // defaults of notify_type hold nothing that could break a rule
		}
		sorted = append(sorted, named{name, -1})
	}
	for i := range ps {
		sorted = append(sorted, named{ps[i].Name, i})
	}
	slices.SortFunc(sorted, func(a, b named) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(sorted); i++ {
		before, here := sorted[i-1], sorted[i]
		switch {
		case before.name == here.name:
			if before.at >= 0 && here.at >= 0 {
				faults = append(faults, Fault{
					Location: paramAt(here.name), Message: "parameter " + quote(here.name) + " stands twice in params",
					Cure: "give it once: receivers keep one of the two",
				})
			}
		case digitFollows(before.name, here.name):
			faults = append(faults, Fault{
				Location: paramAt(here.name),
				Message: fmt.Sprintf("parameter name %s is %s and a digit, and verifiers that sort name=value pairs"+
					" put them the other way round", quote(here.name), quote(before.name)),
				Cure: "write " + quote(before.name+"_"+here.name[len(before.name):]),
			})
		}
	}
	return checkLast(faults, sorted, n, ps)
}

// digitFollows reports whether name is stem with a digit behind it. Among sorted names only a neighbour can
// be: digits sort before all other characters of names.
func digitFollows(stem, name string) bool {
	return len(name) > len(stem) && stem != "" && name[:len(stem)] == stem &&
		name[len(stem)] >= '0' && name[len(stem)] <= '9'
}

// checkLast looks at the end of the signed text: hand-written verifiers join with a trailing & and trim it,
// and would trim an & of the last value as well.
func checkLast(faults []Fault, sorted []named, n *store.Notification, ps Params) []Fault {
	for i := len(sorted) - 1; i >= 0; i-- {
		location, value := "", "ours"
		switch last := sorted[i]; {
		case last.at >= 0:
			location, value = paramAt(last.name), ps[last.at].Value
		case last.name == "out_trade_no":
			location, value = "body.out_trade_no", n.OutTradeNo
		case last.name == "notify_type":
			location, value = "body.notify_type", n.NotifyType
		}
		if value == "" {
			continue // not sent
		}
		if strings.HasSuffix(value, "&") {
			faults = append(faults, Fault{
				Location: location,
				Message:  "the value ends with &, and its parameter is the last one in sorted order",
				Cure:     "take the & off the end: hand-written verifiers trim it",
			})
		}
		return faults
	}
	return faults
}

// checkCharsetParam keeps a `charset` among the params from saying something else than the bytes do.
func checkCharsetParam(m *store.Merchant, ps Params) []Fault {
	given, ok := ps.Get("charset")
	if !ok || given == "" || strings.EqualFold(given, charsetOf(m)) {
		return nil
	}
	return []Fault{{
		Location: "body.params.charset",
		Message:  fmt.Sprintf("it says %s, and the merchant's charset is %s", quote(given), charsetOf(m)),
		Cure:     "leave it out, or change the merchant's charset",
	}}
}
