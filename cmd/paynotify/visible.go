package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible writes bytes so that a person sees all of them: blanks, line ends and characters without ink have a
// sign of their own.
func visible(raw []byte) string { return strings.Join(glyphs(raw), "") }

// glyphs is visible, one element a character.
func glyphs(raw []byte) (out []string) {
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		out = append(out, glyph(r, raw[:size]))
		raw = raw[size:]
	}
	return out
}

func glyph(r rune, raw []byte) string {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case r == ' ':
		return "·"
	case r == '\n':
		return "↵"
	case r == '\r':
		return "␍"
	case r == '\t':
		return "⇥"
	case r == '\ufeff':
		return "⟨BOM⟩"
	case r < 0x20 || r == 0x7f:
		return fmt.Sprintf(`\x%02x`, r)
	case !unicode.IsPrint(r):
		return fmt.Sprintf("⟨U+%04X⟩", r)
	}
	return string(r)
}

// byteOffset is where the character with that number begins.
func byteOffset(raw []byte, character int) (offset int) {
	for range character {
		_, size := utf8.DecodeRune(raw[offset:])
		offset += size
	}
	return offset
}
