package redisstore

import (
	"strconv"
	"strings"

	"paynotify/store"
	"paynotify/store/packed"
)

// Cursors are opaque to whoever gets them: a letter for their kind, a position, and a check, so that whatever
// else is taken for a cursor is told from one.
const (
	cursorCheckMin   = 46_656    // the least number of…
	cursorCheckChars = 4         // …so many digits in base 36
	cursorChecks     = 1_632_960 // how many numbers of so many digits there are
)

func cursorOf(kind, position string) string {
	text := kind + position
	check := int64(packed.Sum([]byte(text)))%cursorChecks + cursorCheckMin
	return text + strconv.FormatInt(check, 36)
}

// positionOf takes the position out of a cursor, or fails with store.ErrBadCursor.
func positionOf(kind, cursor string) (string, error) {
	text, ok := strings.CutPrefix(cursor, kind)
	if !ok || len(text) <= cursorCheckChars {
		return "", store.ErrBadCursor
	}
	position := text[:len(text)-cursorCheckChars]
	if cursorOf(kind, position) != cursor {
		return "", store.ErrBadCursor
	}
	return position, nil
}
