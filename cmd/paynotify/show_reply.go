package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"paynotify/api"
	"paynotify/profile"
	"paynotify/store"
)

// replyColumns is how much of a reply stands on a line.
const replyColumns = 80

// ackRule is a merchant's rule as package profile reads it.
func ackRule(v api.AckView) store.Ack { return store.Ack{Match: v.Match, Text: v.Text, Path: v.Path} }

// compare sets a reply beside the acknowledgement that was expected. What must not be there is underlined,
// and the first byte that is wrong has its number.
func (s shower) compare(w io.Writer, reply []byte) {
	rule := ackRule(s.ack)
	fmt.Fprintf(w, "    expected  %s\n", cut(profile.Visible(profile.ExpectedReply(rule)), replyColumns))
	var line, marks strings.Builder
	first, firstColumn, column := -1, 0, 0
	for _, part := range profile.AckDiff(rule, reply) {
		text := ""
		if part.Kind != profile.DiffMissing {
			text = cut(profile.Visible(part.Raw), replyColumns-column)
		}
		width := utf8.RuneCountInString(text)
		mark, paint := " ", func(text string) string { return text }
		switch part.Kind {
		case profile.DiffIgnored:
			paint = s.paint.dim
		case profile.DiffExtra:
			mark, paint = "^", s.paint.red
		}
		if first < 0 && (part.Kind == profile.DiffExtra || part.Kind == profile.DiffMissing) {
			first, firstColumn = part.At, column
		}
		line.WriteString(paint(text))
		marks.WriteString(strings.Repeat(mark, width))
		if column += width; column >= replyColumns {
			break
		}
	}
	if column == 0 {
		line.WriteString("(nothing)")
	}
	fmt.Fprintf(w, "    received  %s\n", line.String())
	if first < 0 || column == 0 {
		return
	}
	under := strings.TrimRight(marks.String(), " ")
	if under == "" {
		under = strings.Repeat(" ", firstColumn) + "^" // nothing is too much: something is missing
	}
	fmt.Fprintf(w, "              %s\n", s.paint.red(under+" byte "+fmt.Sprint(first)))
}

// compareStatus sets the status beside those that would have counted, where the body is not to blame.
func (s shower) compareStatus(w io.Writer, a *api.AttemptView) {
	statuses := make([]string, len(s.ack.Status))
	for i, status := range s.ack.Status {
		statuses[i] = string(status)
	}
	if len(statuses) > 0 { // none are known of a merchant that was removed
		fmt.Fprintf(w, "    expected  status %s\n", strings.Join(statuses, " or "))
	}
	fmt.Fprintf(w, "    received  status %s  %s\n", s.paint.red(fmt.Sprint(*a.Status)),
		cut(profile.Visible(a.ReplyBytes), replyColumns))
}
