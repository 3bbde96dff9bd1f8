package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDue(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(n *Notification)
		from   string
		at     time.Time
		class  Class
	}{
		{"first", func(*Notification) {}, "first", noon, ClassFirst},
		{"uncharged", func(n *Notification) { n.AttemptCount, n.NextAt = 4, at(5) }, "first", at(5), ClassFirst},
		{"retry", func(*Notification) {}, "retry", at(time.Hour), ClassRetry},
		{"in flight", func(n *Notification) { n.InFlight = true }, "retry", time.Time{}, 0},
		{"held", func(n *Notification) { n.Blocked = true }, "retry", time.Time{}, 0},
		{"resend soon", func(n *Notification) { n.Resend, n.ResendAt = Resend, noon }, "retry", noon, ClassResend},
		{
			"resend later", func(n *Notification) { n.Resend, n.ResendAt = Replay, at(2*time.Hour) }, "retry",
			at(2 * time.Hour), ClassResend,
		},
		{"resend flying", func(n *Notification) { n.Resend, n.InFlight = Resend, true }, "retry", time.Time{}, 0},
		{
			"resend of a final one", func(n *Notification) { n.Resend, n.ResendAt = Resend, noon }, "exhausted",
			noon, ClassResend,
		},
		{"spent", func(*Notification) {}, "spent", time.Time{}, 0},
		{"exhausted", func(*Notification) {}, "exhausted", time.Time{}, 0},
		{"canceled", func(*Notification) {}, "canceled", time.Time{}, 0},
		{"quarantined", func(*Notification) {}, "quarantined", time.Time{}, 0},
	} {
		n := standing()[c.from]
		c.change(&n)
		if at, class := n.Due(); !at.Equal(c.at) || class != c.class {
			t.Errorf("%s: due at %v as %d, want %v as %d", c.name, at, class, c.at, c.class)
		}
	}
}

func TestClaimed(t *testing.T) {
	for _, c := range []struct {
		from    string
		resend  Trigger
		trigger Trigger
		send    int
		planned time.Time
	}{
		{"first", "", First, 1, noon},
		{"retry", "", Retry, 3, at(59 * time.Minute)},
		{"retry", Resend, Resend, 0, at(-1)},
		{"exhausted", Replay, Replay, 0, at(-1)},
	} {
		n := standing()[c.from]
		if c.resend != "" {
			n.Resend, n.ResendAt = c.resend, at(-1)
		}
		got := n.Claimed(7, 3, at(time.Second), time.Minute)
		want := Claim{
			Notification: n, Token: 7, MerchantRevision: 3, Send: c.send, Trigger: c.trigger,
			ScheduledAt: c.planned, ClaimedAt: at(time.Second), LeaseUntil: at(time.Minute + time.Second),
		}
		if d := cmp.Diff(want, got); d != "" || !n.InFlight {
			t.Errorf("%s, resend %q: in flight %v (-want +got):\n%s", c.from, c.resend, n.InFlight, d)
		}
	}
}

// TestInterruptAndRepeat loses the claim of every kind of send again and again: nothing is charged, the place
// in the schedule stays, and the waits grow.
func TestInterruptAndRepeat(t *testing.T) {
	waits := []time.Duration{
		0, 0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
		32 * time.Second, time.Minute, time.Minute,
	}
	for _, c := range []struct {
		from   string
		resend Trigger
	}{{"first", ""}, {"retry", ""}, {"retry", Resend}, {"exhausted", Replay}} {
		n := standing()[c.from]
		if c.resend != "" {
			n.Resend, n.ResendAt = c.resend, noon
		}
		born, now := n, at(2*time.Hour)
		var send int
		for i, wait := range waits {
			claim := n.Claimed(1, 1, now, time.Minute)
			if i > 0 && claim.Send != send {
				t.Fatalf("%s %s: send %d after send %d was interrupted", c.from, c.resend, claim.Send, send)
			}
			send = claim.Send
			lost := now.Add(time.Minute)
			o := claim.Interrupt(lost, "lost")
			if o.Attempt.Charged || o.Attempt.Verdict != Interrupted || o.Attempt.Duration != time.Minute ||
				!o.Attempt.ScheduledAt.Equal(claim.ScheduledAt) || !o.Attempt.StartedAt.Equal(now) {
				t.Fatalf("%s %s: attempt %+v", c.from, c.resend, o.Attempt)
			}
			if !o.PlannedAt.Equal(born.PlannedAt) {
				t.Fatalf("%s %s: the schedule counts from %v, want %v", c.from, c.resend, o.PlannedAt, born.PlannedAt)
			}
			n.Settle(o)
			if due, _ := n.Due(); !due.Equal(lost.Add(wait)) {
				t.Fatalf("%s %s: interrupted %d times, due %v later, want %v",
					c.from, c.resend, i+1, due.Sub(lost), wait)
			}
			now = lost.Add(wait)
		}
		if n.State != born.State || n.NotifyCount != born.NotifyCount || !n.PlannedAt.Equal(born.PlannedAt) ||
			n.AttemptCount != born.AttemptCount+len(waits) || n.Resend != born.Resend {
			t.Errorf("%s %s: %+v", c.from, c.resend, n)
		}
		if c.resend != "" && !n.NextAt.Equal(born.NextAt) {
			t.Errorf("%s %s: the schedule moved to %v", c.from, c.resend, n.NextAt)
		}
	}
}

func TestInterruptBackwardClock(t *testing.T) {
	n := standing()["first"]
	c := n.Claimed(1, 1, noon, time.Minute)
	if o := c.Interrupt(at(-time.Second), ""); o.Attempt.Duration != 0 {
		t.Errorf("lasted %v", o.Attempt.Duration)
	}
}

func TestStreakGrow(t *testing.T) {
	s := Streak{}.Grow(Crash, noon).Grow(Crash, at(1)).Grow(Crash, at(2))
	if want := (Streak{Reason: Crash, Count: 3, Since: noon}); s != want {
		t.Errorf("streak is %+v, want %+v", s, want)
	}
	if s = s.Grow(DNSFailure, at(3)); s != (Streak{Reason: DNSFailure, Count: 1, Since: at(3)}) {
		t.Errorf("after another reason: %+v", s)
	}
}

func TestStreakWait(t *testing.T) {
	const last = time.Duration(-1)
	for reason, waits := range map[Reason][]time.Duration{
		Crash: {
			0, 0, 0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
			32 * time.Second, time.Minute, time.Minute,
		},
		Internal: {0, time.Second, 10 * time.Second, last, last},
		DNSFailure: {
			0, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute,
		},
		"": {0},
	} {
		for count, want := range waits {
			wait, end := Streak{Reason: reason, Count: count}.Wait()
			if end != (want == last) || !end && wait != want {
				t.Errorf("%d in a row of %q: wait %v, last %v; want %v", count, reason, wait, end, want)
			}
		}
	}
	if wait, _ := (Streak{Reason: Crash, Count: 1 << 30}).Wait(); wait != time.Minute {
		t.Errorf("after very many interruptions: wait %v, want a minute", wait)
	}
}
