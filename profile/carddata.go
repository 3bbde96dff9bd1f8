package profile

import (
	"slices"
	"strings"
)

// Card data is refused at accept (PCI DSS 4.0.1: 3.3.1, 3.5.1): whoever keeps it out of notifications keeps
// this service, its stores and its logs out of scope. Masking a parameter instead would change what is
// signed.
//
// Two rules, at any depth of nested values and of JSON in strings: no parameter is named like what proves
// that a card is at hand (CVV, PIN, track), and no value holds a card number: 13 to 19 digits in a row or in
// a card's groups, of a known issuer range, whose check digit is right. About one in forty arbitrary numbers
// of 16 digits passes for one, so that a parameter whose name says that it identifies something else is not
// asked: trade_no, transaction_id, mchOrderNo, … may hold any digits.

// slugCardData is the problem type of a parameter that is refused for it.
const slugCardData = "card-data"

// checkCard applies both rules to a parameter. It is on the hot path: nearly all parameters are done with
// after a look at every name and at every 13th byte of a value.
func checkCard(faults []Fault, p *Param) []Fault {
	c := cardChecker{}
	switch {
	case cardName(p.Name):
		c.named(p.Name)
	case p.Kind >= KindObject:
		c.nested(p.Name, string(p.Raw), 0)
	case p.Kind == KindString || p.Kind == KindNumber:
		c.value(p.Name, p.Value, 0)
	}
	if c.message == "" {
		return faults
	}
	return append(faults, Fault{
		Location: paramAt(p.Name), Slug: slugCardData, Message: c.message, Cure: c.cure,
	})
}

// cardChecker looks at one parameter and at what stands in it. Nothing of a value is in what it says.
type cardChecker struct{ message, cure string }

func (c *cardChecker) named(name string) {
	c.message = "the name " + quote(name) + " is that of a card's CVV, PIN or track data, which nobody may keep"
	c.cure = "leave it out; if it is something else, give it another name"
}

// value looks at a text or a number. Texts that look like JSON are looked into, a bounded number of levels.
func (c *cardChecker) value(name, text string, levels int) {
	if len(text) > 1 && (text[0] == '{' || text[0] == '[') && levels < jsonLevelsMax {
		if c.nested(name, text, levels) {
			return
		}
	}
	if start, _ := nextPAN(text, 0); start >= 0 && !identifies(name) {
		c.message = "it holds what is, by issuer range and check digit, a card number"
		c.cure = "mask it (first six and last four digits, the others as *); " +
			"an identifier belongs into a parameter whose name ends in _no or _id"
	}
}

// nested looks into a JSON text; it reports whether it is one.
func (c *cardChecker) nested(name, text string, levels int) bool {
	if lo, _ := nextRun(text, 0); lo < 0 && !suspectName(text) {
		return true // there is nothing to find
	}
	s := scanner{raw: []byte(text), text: text}
	return c.walk(&s, name, levels) == nil && s.end() == nil
}

func (c *cardChecker) walk(s *scanner, name string, levels int) error {
	switch b := s.next(); {
	case b == '"':
		text, err := s.str()
		if err == nil {
			c.value(name, text, levels+1)
		}
		return err
	case b == '-' || b >= '0' && b <= '9':
		text, err := s.number()
		c.value(name, text, levels)
		return err
	case b == '{' || b == '[':
		return s.items(levels, func(member string, _ bool) error {
			if b == '[' {
				member = name
			} else if cardName(member) {
				c.named(member)
			}
			return c.walk(s, member, levels+1)
		})
	}
	_, _, err := s.word()
	return err
}

// cardWords are names of sensitive authentication data, and what people write them together with.
var cardWords = map[string]bool{
	"cvc": true, "cvc2": true, "cvn": true, "cvn2": true, "cardcvc": true, "cardcvn": true,
	"track1": true, "track2": true, "track3": true, "trackdata": true,
	"pin": true, "pinblock": true, "cardpin": true,
}

// suspectName sorts out quickly the names, nearly all, that hold none of the words.
func suspectName(name string) bool {
	for i := 0; i+2 < len(name); i++ {
		switch name[i] | 0x20 {
		case 'c':
			if name[i+1]|0x20 == 'v' {
				return true
			}
		case 'p':
			if name[i+1]|0x20 == 'i' && name[i+2]|0x20 == 'n' {
				return true
			}
		case 't':
			if name[i+1]|0x20 == 'r' && name[i+2]|0x20 == 'a' && i+3 < len(name) && name[i+3]|0x20 == 'c' {
				return true
			}
		}
	}
	return false
}

// cardName reports whether one of the words of a name, or two together, are among cardWords. Words end at
// anything but letters and digits, and where a capital follows a small letter.
func cardName(name string) bool {
	if !suspectName(name) {
		return false
	}
	if strings.Contains(strings.ToLower(name), "cvv") {
		return true
	}
	before, from := "", 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && isWordByte(name[i]) && !(i > from && isUpper(name[i]) && !isUpper(name[i-1])) {
			continue
		}
		word := strings.ToLower(name[from:i])
		if cardWords[word] || cardWords[before+word] {
			return true
		}
		if word != "" {
			before = word
		}
		if from = i; i < len(name) && !isWordByte(name[i]) {
			from++
		}
	}
	return false
}

func isWordByte(c byte) bool { return nameByte[c] && c != '_' }

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

// identifies reports whether a name says that its value identifies something that is no card.
func identifies(name string) bool {
	low := strings.ToLower(name)
	if strings.Contains(low, "card") || strings.Contains(low, "acc") || strings.HasPrefix(low, "pan") {
		return false
	}
	return slices.ContainsFunc(identifiers, func(end string) bool { return strings.HasSuffix(low, end) })
}

// identifiers end the names of what identifies something.
var identifiers = []string{
	"id", "no", "sn", "num", "number", "order", "ref", "reference", "seq", "serial",
}

// MaskPAN replaces all but the first six and last four digits of each card number in what a merchant said by
// asterisks. It returns text itself when there is none.
func MaskPAN[T string | []byte](text T) T {
	var masked []byte
	for at := 0; ; {
		start, end := nextPAN(text, at)
		if start < 0 {
			break
		}
		if masked == nil {
			masked = []byte(text)
		}
		hide(masked[start:end])
		at = end
	}
	if masked == nil {
		return text
	}
	return T(masked)
}

func hide(number []byte) {
	const first, last = 6, 4
	total := 0
	for _, c := range number {
		if isDigit(c) {
			total++
		}
	}
	n := 0
	for i, c := range number {
		if !isDigit(c) {
			continue
		}
		if n++; n > first && n <= total-last {
			number[i] = '*'
		}
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Bounds of a card number (ISO/IEC 7812).
const (
	panDigitsMin = 13
	panDigitsMax = 19
)

// nextPAN finds the first card number that begins at from or later; start is -1 when there is none. A card
// number takes at least 13 bytes, so that one of every 13 bytes is in it.
func nextPAN[T string | []byte](text T, from int) (start, end int) {
	for {
		lo, hi := nextRun(text, from)
		if lo < 0 {
			return -1, -1
		}
		if start, end = panIn(text, lo, hi); start >= 0 {
			return start, end
		}
		from = hi
	}
}

// nextRun finds the first run of digits, blanks and hyphens, at from or later, that has the digits for a card
// number; lo is −1 when there is none.
func nextRun[T string | []byte](text T, from int) (lo, hi int) {
	for at := from + panDigitsMin - 1; at < len(text); at = hi + panDigitsMin {
		if !numberByte[text[at]] {
			hi = at
			continue
		}
		lo, hi = at, at
		for lo > from && numberByte[text[lo-1]] {
			lo--
		}
		n := 0
		for i := lo; i < len(text) && numberByte[text[i]]; i++ {
			if hi = i + 1; isDigit(text[i]) {
				n++
			}
		}
		if n >= panDigitsMin {
			return lo, hi
		}
	}
	return -1, -1
}

var numberByte = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	' ': true, '-': true,
}

// panIn finds a card number in text[lo:hi], which is digits, blanks and hyphens.
func panIn[T string | []byte](text T, lo, hi int) (start, end int) {
	for at := lo; at < hi; at++ {
		if text[at] < '2' || text[at] > '6' { // the first digits that the issuers have
			continue
		}
		if at > lo && text[at-1] != ' ' || inLonger(text, at-1, -1) {
			continue
		}
		var digits [panDigitsMax]byte
		if stop := panFrom(text, at, hi, &digits); stop > 0 {
			return at, stop
		}
	}
	return -1, -1
}

// inLonger reports whether the byte at the edge of a number makes it a part of something longer: a word, a
// hash, a decimal fraction. next is the way out of the number, −1 or 1.
func inLonger[T string | []byte](text T, at, next int) bool {
	if at < 0 || at >= len(text) {
		return false
	}
	c := text[at]
	beyond := at + next
	return nameByte[c] || c == '-' || c == '.' && beyond >= 0 && beyond < len(text) && isDigit(text[beyond])
}

// panFrom reads a card number that begins at from: digits in a row, or in groups as on a card with one kind
// of separator between them. It returns where the number ends, 0 when there is none.
func panFrom[T string | []byte](text T, from, hi int, digits *[panDigitsMax]byte) (end int) {
	n, group, groups := 0, 0, 0
	var sizes [panDigitsMax]int
	separator := byte(0)
	for at := from; ; at++ {
		if at < hi && isDigit(text[at]) {
			if n == len(digits) {
				return 0
			}
			digits[n] = text[at]
			n++
			group++
			continue
		}
		sizes[groups] = group
		groups, group = groups+1, 0
		// The number may end here, also where another one follows behind a blank.
		if (at == hi || text[at] == ' ') && !inLonger(text, at, 1) && onCards(sizes[:groups]) && isPAN(digits[:n]) {
			return at
		}
		more := at+1 < hi && isDigit(text[at+1]) && (separator == 0 || separator == text[at])
		if !more {
			return 0
		}
		separator = text[at]
	}
}

// onCards reports whether digits stand in groups as on cards: all in a row, in fours, or 4-6-4 and 4-6-5.
func onCards(sizes []int) bool {
	if len(sizes) == 1 {
		return true
	}
	if len(sizes) == 3 && sizes[0] == 4 && sizes[1] == 6 && (sizes[2] == 4 || sizes[2] == 5) {
		return true
	}
	last := len(sizes) - 1
	for _, size := range sizes[:last] {
		if size != 4 {
			return false
		}
	}
	return sizes[last] <= 4
}

// isPAN reports whether digits are a card number: of a known issuer range and length, with the right check
// digit (Luhn).
func isPAN(digits []byte) bool {
	if len(digits) < panDigitsMin || len(digits) > panDigitsMax || !issued(digits) {
		return false
	}
	sum, twice := 0, false
	for i := len(digits) - 1; i >= 0; i-- {
		d := int(digits[i] - '0')
		if twice {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum, twice = sum+d, !twice
	}
	return sum%10 == 0
}

// issuers are the ranges of the first four digits that the large schemes issue, and how long their numbers
// are. Sources: ISO/IEC 7812 and the schemes' own pages.
var issuers = []struct{ from, to, shortest, longest, step int }{
	{4000, 4999, 13, 19, 3}, // Visa
	{2221, 2720, 16, 16, 1}, // Mastercard
	{5100, 5599, 16, 16, 1}, // Mastercard
	{3400, 3499, 15, 15, 1}, // American Express
	{3700, 3799, 15, 15, 1}, // American Express
	{6200, 6299, 16, 19, 1}, // UnionPay
	{3528, 3589, 16, 19, 1}, // JCB
	{6011, 6011, 16, 19, 1}, // Discover
	{6440, 6599, 16, 19, 1}, // Discover
	{3000, 3059, 14, 14, 1}, // Diners Club
	{3600, 3699, 14, 14, 1}, // Diners Club
	{3800, 3999, 14, 14, 1}, // Diners Club
	{5018, 5018, 13, 19, 1}, // Maestro, as those that follow
	{5020, 5020, 13, 19, 1},
	{5038, 5038, 13, 19, 1},
	{5893, 5893, 13, 19, 1},
	{6304, 6304, 13, 19, 1},
	{6759, 6759, 13, 19, 1},
	{6761, 6763, 13, 19, 1},
}

func issued(digits []byte) bool {
	first := int(digits[0]-'0')*1000 + int(digits[1]-'0')*100 + int(digits[2]-'0')*10 + int(digits[3]-'0')
	for _, r := range issuers {
		n := len(digits)
		if first >= r.from && first <= r.to && n >= r.shortest && n <= r.longest && (n-r.shortest)%r.step == 0 {
			return true
		}
	}
	return false
}
