package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"paynotify/profile"
	"paynotify/store"
)

// timeline prints attempts as they are settled, one line each, and what a person should know the first time
// that it happens to a merchant.
type timeline struct {
	out   io.Writer
	paint palette
	told  map[string]bool // merchant and reason that a hint was printed for
}

// Widths of the timeline's columns; with the blanks between them a line has 98.
const (
	verdictWidth  = 8
	reasonWidth   = 15
	replyWidth    = len("200 ") + 15
	merchantWidth = 10
	placeWidth    = len("send 1/8")
	idShown       = 6 // the last characters of a notify_id: the first ones are the time
	lineWidth     = 98
)

// attempt prints one line, and the hints that it calls for.
func (t *timeline) attempt(a store.Settled) {
	paint, mark := t.paint.red, "✗"
	switch {
	case a.Verdict == store.Acked:
		paint, mark = t.paint.green, "✓"
	case a.Reason.NearMiss():
		paint, mark = t.paint.yellow, "~"
	}
	at := a.StartedAt.Add(a.Duration).Local().Format(clock)
	judged := paint(mark + " " + pad(string(a.Verdict), verdictWidth) + " " + pad(string(a.Reason), reasonWidth))
	fmt.Fprintf(t.out, "%s %s  %s  %s  %s  %s\n", t.paint.dim(at), judged, pad(replied(a.Attempt), replyWidth),
		pad(a.MchID, merchantWidth), pad(place(a), placeWidth),
		t.paint.dim(fmt.Sprintf("%6s  …%s", took(a.Duration), a.NotifyID[max(0, len(a.NotifyID)-idShown):])))
	if key := a.MchID + " " + string(a.Reason); speaks(a.Reason) && !t.told[key] {
		t.told[key] = true
		hint := profile.Explain(a.Reason).Hint()
		t.note(hint)
	}
	if a.State == store.Exhausted && !t.told[a.MchID+" exhausted"] {
		t.told[a.MchID+" exhausted"] = true
		t.note(fmt.Sprintf("Exhausted: that was the last of %d sends. From here a person may resend it.", a.Sends))
	}
}

// speaks reports whether a hint helps: a yes and a plain no need none.
func speaks(r store.Reason) bool { return r != store.AckExact && r != store.AckMismatch }

// note prints a remark under a line.
func (t *timeline) note(text string) {
	const hang = 13 // under the mark
	for i, line := range wrapWords(text, lineWidth-hang-2) {
		lead := "  "
		if i == 0 {
			lead = "└ "
		}
		fmt.Fprintf(t.out, "%*s%s\n", hang, "", t.paint.dim(lead+line))
	}
}

// replied is the reply in as few characters as tell it apart.
func replied(a store.Attempt) string {
	if a.Status == 0 {
		return "–"
	}
	body := printable(strings.Join(strings.Fields(string(a.Reply)), " "))
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, body))
}

// place is where in its schedule a send stands.
func place(a store.Settled) string {
	if a.Send == 0 {
		return string(a.Trigger)
	}
	return fmt.Sprintf("send %d/%d", a.Send, a.Sends)
}

// took is a duration in at most six characters.
func took(d time.Duration) string {
	switch {
	case d < 9950*time.Microsecond:
		return fmt.Sprintf("%.1fms", d.Seconds()*1e3)
	case d < 10*time.Second:
		return fmt.Sprintf("%.0fms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

// cut shortens a text to n characters, the last of which then is an ellipsis.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// pad cuts and fills a text to n characters.
func pad(s string, n int) string {
	s = cut(s, n)
	return s + strings.Repeat(" ", n-utf8.RuneCountInString(s))
}

// wrapWords breaks a text into lines of at most width characters.
func wrapWords(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
