package profile

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"paynotify/store"
)

// The charsets of a message.
const (
	charsetUTF8 = "utf-8"
	charsetGBK  = "gbk"
)

// charsetOf is the charset of the merchant's messages.
func charsetOf(m *store.Merchant) string {
	if m.Charset == "" {
		return charsetUTF8
	}
	return m.Charset
}

// wireCharset is how a charset is written in the `charset` parameter and in Content-Type: as Alipay does.
func wireCharset(charset string) string {
	if charset == charsetGBK {
		return "GBK"
	}
	return charsetUTF8
}

// gbkOf encodes a text as GBK; ok is false where it holds a rune that GBK cannot carry, which is bad then.
func gbkOf(text string) (encoded string, bad rune, ok bool) {
	if ascii(text) {
		return text, 0, true
	}
	for _, r := range text {
		if beyondGBK(r) {
			return "", r, false
		}
	}
	encoder := simplifiedchinese.GBK.NewEncoder()
	encoded, err := encoder.String(text)
	if err == nil {
		return encoded, 0, true
	}
	for _, r := range text {
		if _, err := encoder.String(string(r)); err != nil {
			return "", r, false
		}
	}
	return "", utf8.RuneError, false
}

// beyondGBK reports the runes that the encoder of x/text knows and the codecs of Java and Python do not: the
// euro sign (as 0x80) and what GB 18030 added later. A merchant using those would find a wrong signature.
func beyondGBK(r rune) bool {
	switch {
	case r == '€', r == 0x01F9, r == 0x303E, r == utf8.RuneError,
		r >= 0x2E80 && r <= 0x2EFF, // radicals
		r >= 0x2FF0 && r <= 0x2FFF, // ideographic description characters
		r >= 0x3400 && r <= 0x4DBF: // CJK extension A
		return true
	}
	return false
}

// toGBK encodes the values of the fields in place.
func toGBK(fields []Field) error {
	for i := range fields {
		f := &fields[i]
		text, bad, ok := gbkOf(f.Value)
		if !ok {
			return fmt.Errorf("parameter %s holds %U, which GBK cannot carry", f.Name, bad)
		}
		f.Value = text
	}
	return nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
