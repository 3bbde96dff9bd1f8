package api

import "unicode/utf8"

// EscapeReply makes a merchant's reply safe and exact to show: UTF-8, each byte of a control character
// (Unicode Cc: C0, DEL and C1) or of invalid text as \xNN, a backslash as \\.
func EscapeReply(reply []byte) string {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, len(reply)+16)
	for i := 0; i < len(reply); {
		r, size := utf8.DecodeRune(reply[i:])
		switch {
		case r == '\\':
			out = append(out, `\\`...)
		case isHidden(r) || r == utf8.RuneError && size == 1:
			for _, b := range reply[i : i+size] {
				out = append(out, '\\', 'x', hex[b>>4], hex[b&15])
			}
		default:
			out = append(out, reply[i:i+size]...)
		}
		i += size
	}
	return string(out)
}

// isHidden reports control characters.
func isHidden(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }
