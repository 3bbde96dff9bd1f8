package console

import (
	"math"
	"time"

	"paynotify/api"
	"paynotify/retry"
	"paynotify/store"
)

// timeline is the sends of a notification, planned and real, in the order of time.
type timeline struct {
	Label string
	Stops []stop
	Dots  []dot // the same on a line whose scale is logarithmic
}

// stop is one send: made, next, to come, or asked for by a person.
type stop struct {
	Tone  string // of the line above it; "next" and "idle" for those to come
	Icon  string
	Name  string
	Text  string // the verdict, or what is to come
	After string // of the moment it was accepted
	At    moment
	Late  string
	Href  string // of its attempt, on this page
}

// dot is a send on the line, in thousandths of its width.
type dot struct {
	Tone string
	X    int
}

// lateWorthSaying is by how much a send must start late for it to be said.
const lateWorthSaying = 2 * time.Second

// timelineOf sets what was planned beside what was done. Sends are planned from the instant of the last one:
// those to come are told as they would be if each of them started in time.
func timelineOf(r *request, n *api.NotificationView) timeline {
	var instants []time.Time
	var t timeline
	add := func(s stop, at time.Time) {
		s.At, s.After = momentOf(at), "+"+r.span(at.Sub(n.CreatedAt.Time))
		t.Stops = append(t.Stops, s)
		instants = append(instants, at)
	}
	for i := range n.Attempts {
		add(madeStop(r, n, &n.Attempts[i]), n.Attempts[i].StartedAt.Time)
	}
	schedule, err := retry.Parse(n.Schedule)
	if err == nil && n.NotifyState == store.Pending && n.NextNotifyTime != nil {
		at := n.NextNotifyTime.Time
		for send := n.NotifyCount + 1; send <= schedule.Sends(); send++ {
			s := stop{Tone: "idle", Icon: "○", Name: r.t("Send %d", send), Text: r.t("planned")}
			if send == n.NotifyCount+1 {
				s.Tone, s.Text = "next", r.t("next")
			}
			add(s, at)
			at = at.Add(schedule.Wait(send))
		}
	}
	t.Label = r.t("%d attempts so far, %d sends in the schedule", len(n.Attempts), n.NotifyCountLimit)
	t.Dots = dotsOf(n.CreatedAt.Time, instants, t.Stops)
	return t
}

func madeStop(r *request, n *api.NotificationView, a *api.AttemptView) stop {
	judged := judgedChip(a.Verdict, a.Reason)
	s := stop{
		Tone: judged.Tone, Icon: judged.Icon, Name: placeOf(r, n, a), Text: string(a.Reason),
		Href: attemptAnchor(a.N),
	}
	if a.Send != nil {
		s.Name = r.t("Send %d", *a.Send)
	}
	if late := a.StartedAt.Sub(a.ScheduledAt.Time); late >= lateWorthSaying {
		s.Late = r.t("%s late", r.span(late))
	}
	return s
}

// dotsOf places instants on a line: the first hour of a schedule must not vanish before its last day.
func dotsOf(from time.Time, instants []time.Time, stops []stop) []dot {
	if len(instants) == 0 {
		return nil
	}
	scale := func(t time.Time) float64 { return math.Log1p(max(0, t.Sub(from).Seconds())) }
	last := 1.0
	for _, t := range instants {
		last = max(last, scale(t))
	}
	dots := make([]dot, len(instants))
	for i, t := range instants {
		dots[i] = dot{Tone: stops[i].Tone, X: 15 + int(scale(t)/last*970)}
	}
	return dots
}
