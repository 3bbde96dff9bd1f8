package main

import (
	"fmt"
	"strings"
	"time"

	"paynotify/api"
	"paynotify/store"
)

// attemptLine is an attempt in one line, for logs that people follow:
//
//	15:04:05.000 ✓ acked 200 success  m1  send 3/8  23ms  NOTIFY_ID
//
// The reason stands there only where it says more than the verdict.
func attemptLine(a api.FollowedAttempt, paint palette) string {
	colour, mark := paint.red, "✗"
	switch {
	case a.Verdict == store.Acked:
		colour, mark = paint.green, "✓"
	case a.Reason.NearMiss():
		colour, mark = paint.yellow, "~"
	}
	words := mark + " " + string(a.Verdict)
	if a.Reason != store.AckExact {
		words += " " + string(a.Reason)
	}
	if a.Status != nil {
		words += " " + strings.TrimSpace(fmt.Sprintf("%d %s", *a.Status, replyShort(a.ReplyBytes)))
	}
	ended := a.StartedAt.Add(time.Duration(a.DurationMS * float64(time.Millisecond)))
	return fmt.Sprintf("%s %s  %s  %s  %s  %s", paint.dim(ended.Local().Format(clock)), colour(words), a.MchID,
		placeOf(a), took(time.Duration(a.DurationMS*float64(time.Millisecond))), paint.dim(a.NotifyID))
}

// replyShort is the beginning of a reply, safe for a terminal.
func replyShort(reply []byte) string {
	const chars = 24
	return cut(printable(strings.Join(strings.Fields(string(reply)), " ")), chars)
}

// placeOf is where in its schedule a send stands.
func placeOf(a api.FollowedAttempt) string {
	if a.Send == nil {
		return string(a.Trigger)
	}
	return fmt.Sprintf("send %d/%d", *a.Send, a.NotifyCountLimit)
}
