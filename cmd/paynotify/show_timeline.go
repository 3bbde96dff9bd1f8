package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"paynotify/api"
	"paynotify/retry"
	"paynotify/store"
)

// timeline sets every send that was made beside the instant that it was planned for, and behind them the
// sends that the schedule still has, when nothing is late.
func (s shower) timeline(w io.Writer, n *api.NotificationView, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SEND\tPLANNED\tAT\tLATE\tTOOK\tRESULT")
	for i := range n.Attempts {
		a := &n.Attempts[i]
		result := fmt.Sprintf("#%d %s", a.N, s.judged(a))
		if a.Status != nil {
			result += fmt.Sprintf(" %d", *a.Status)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", placeIn(a, n.NotifyCountLimit),
			offset(a.ScheduledAt.Sub(n.CreatedAt.Time)), stamp(a.StartedAt.Time),
			lateness(a.StartedAt.Sub(a.ScheduledAt.Time)), took(durationOf(a)), result)
	}
	s.ahead(tw, n, now)
	return tw.Flush()
}

// ahead is the rest of the timeline: the sends that come, if nothing acknowledges before.
func (s shower) ahead(w io.Writer, n *api.NotificationView, now time.Time) {
	schedule, err := retry.Parse(n.Schedule)
	if err != nil || n.NotifyState != store.Pending || n.NextNotifyTime == nil {
		return
	}
	at, next := n.NextNotifyTime.Time, n.NotifyCount+1
	row := func(send int, instant, when string) {
		fmt.Fprintf(w, "send %d/%d\t%s\t%s\t\t\t%s\n", send, n.NotifyCountLimit,
			offset(at.Sub(n.CreatedAt.Time)), instant, when)
	}
	switch {
	case n.InFlight:
		row(next, stamp(at), "being sent now")
	case n.HeldReason != nil:
		row(next, stamp(at), "held")
	default:
		row(next, stamp(at), inWords(at.Sub(now)))
	}
	if at.Before(now) {
		at = now // a send that is late delays those behind it
	}
	for send := next; send < n.NotifyCountLimit; send++ {
		at = at.Add(schedule.Wait(send))
		if n.HeldReason != nil {
			row(send+1, "–", "held")
		} else {
			row(send+1, stamp(at), inWords(at.Sub(now)))
		}
	}
}

// placeIn is where in its schedule an attempt stands.
func placeIn(a *api.AttemptView, limit int) string {
	if a.Send == nil {
		return string(a.Trigger)
	}
	return fmt.Sprintf("send %d/%d", *a.Send, limit)
}

// durationOf is how long an attempt took.
func durationOf(a *api.AttemptView) time.Duration { return ofMS(a.DurationMS) }

func ofMS(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// offset is an instant counted from the acceptance, in words.
func offset(d time.Duration) string {
	if d < time.Millisecond {
		return "0"
	}
	if d < time.Minute {
		return shortDuration(d.Truncate(time.Millisecond))
	}
	return shortDuration(d.Truncate(time.Second))
}

// lateness is how long after its instant a send started.
func lateness(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return "+0"
	case d < time.Minute:
		return "+" + took(d)
	}
	return "+" + shortDuration(d.Truncate(time.Second))
}

// phases says where the time of an attempt went.
func phases(a *api.AttemptView) string {
	var parts []string
	whole := 0.0
	add := func(name string, ms float64) {
		if whole += ms; ms > 0 {
			parts = append(parts, name+" "+took(ofMS(ms)))
		}
	}
	p := &a.PhasesMS
	add("dns", p.DNS)
	add("connect", p.Connect)
	add("tls", p.TLS)
	add("first byte", p.FirstByte)
	add("body", p.Body)
	if rest := a.DurationMS - whole; a.Reason == store.TimeoutHeaders && p.FirstByte == 0 && rest > 0 {
		parts = append(parts, "no reply in "+took(ofMS(rest)))
	}
	if p.Connect == 0 && p.FirstByte > 0 {
		parts = append([]string{"kept connection"}, parts...)
	}
	return strings.Join(parts, " · ")
}
