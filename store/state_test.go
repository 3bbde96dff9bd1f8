package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return noon.Add(d) }

// standing are notifications in every state, each as a store would have it.
func standing() map[string]Notification {
	base := Notification{NotifyID: "id", MchID: "m1", Schedule: "alipay", CreatedAt: noon}
	with := func(f func(n *Notification)) Notification {
		n := base
		n.Accept("id", noon)
		f(&n)
		return n
	}
	final := func(s State) Notification {
		return with(func(n *Notification) {
			n.State, n.NextAt, n.PlannedAt = s, time.Time{}, time.Time{}
			n.NotifyCount, n.AttemptCount = 8, 9
			if s == Spent {
				n.SpentAt = at(-time.Minute)
			}
		})
	}
	return map[string]Notification{
		"first": with(func(*Notification) {}),
		"retry": with(func(n *Notification) {
			n.NotifyCount, n.AttemptCount, n.NextAt, n.PlannedAt = 2, 3, at(time.Hour), at(59*time.Minute)
		}),
		"spent": final(Spent), "exhausted": final(Exhausted), "canceled": final(Canceled),
		"quarantined": final(Quarantined),
	}
}

// outcomeOf is an outcome of a claim.
func outcomeOf(c Claim, v Verdict, charged bool) Outcome {
	return Outcome{
		Attempt: Attempt{
			Send: c.Send, Charged: charged, Trigger: c.Trigger, ScheduledAt: c.ScheduledAt,
			StartedAt: c.ClaimedAt, Duration: time.Second, Verdict: v, Reason: AckExact,
		},
		State: Pending, NextAt: at(2 * time.Hour), PlannedAt: at(time.Hour),
	}
}

// TestTransitions settles every kind of outcome in every state. Final states are reached again by a person's
// send, and pending ones by the schedule's.
func TestTransitions(t *testing.T) {
	outcomes := map[string]func(c Claim) Outcome{
		"acked":     func(c Claim) Outcome { return outcomeOf(c, Acked, !c.Trigger.Manual()) },
		"refused":   func(c Claim) Outcome { return outcomeOf(c, Refused, !c.Trigger.Manual()) },
		"uncharged": func(c Claim) Outcome { return outcomeOf(c, DNSError, false) },
		"last": func(c Claim) Outcome {
			o := outcomeOf(c, Refused, !c.Trigger.Manual())
			o.State = Exhausted
			return o
		},
		"internal": func(c Claim) Outcome {
			o := outcomeOf(c, InternalError, false)
			o.State = Quarantined
			return o
		},
	}
	pending := map[string]State{
		"acked": Spent, "refused": Pending, "uncharged": Pending, "last": Exhausted, "internal": Quarantined,
	}
	for state, n := range standing() {
		for name, outcome := range outcomes {
			n, want := n, pending[name]
			if before := n.State; before.Final() {
				if err := n.AskResend(Resend, true, noon); err != nil {
					t.Fatal(err)
				}
				want = before
				if name == "acked" {
					want = Spent
				}
			}
			c := n.Claimed(1, 1, at(time.Minute), time.Minute)
			o := outcome(c)
			before := n
			n.Settle(o)
			if n.State != want {
				t.Errorf("%s, %s: %s, want %s", state, name, n.State, want)
			}
			if n.State.Final() && (!n.NextAt.IsZero() || !n.PlannedAt.IsZero()) {
				t.Errorf("%s, %s: final, and next at %v", state, name, n.NextAt)
			}
			if n.State == Pending && (!n.NextAt.Equal(o.NextAt) || !n.PlannedAt.Equal(o.PlannedAt)) {
				t.Errorf("%s, %s: next at %v, planned for %v", state, name, n.NextAt, n.PlannedAt)
			}
			charged := 0
			if o.Attempt.Charged {
				charged = 1
			}
			if n.NotifyCount != before.NotifyCount+charged || n.AttemptCount != before.AttemptCount+1 {
				t.Errorf("%s, %s: counts %d/%d", state, name, n.NotifyCount, n.AttemptCount)
			}
			if n.InFlight || n.Resend != "" || n.ResendForce {
				t.Errorf("%s, %s: in flight %v, resend %q", state, name, n.InFlight, n.Resend)
			}
			if (n.State == Spent) == n.SpentAt.IsZero() {
				t.Errorf("%s, %s: %s, spent at %v", state, name, n.State, n.SpentAt)
			}
			if before.State == Spent && !n.SpentAt.Equal(before.SpentAt) {
				t.Errorf("%s, %s: spent again at %v", state, name, n.SpentAt)
			}
			if n.LastVerdict != o.Attempt.Verdict || !n.LastAt.Equal(c.ClaimedAt) {
				t.Errorf("%s, %s: last %s at %v", state, name, n.LastVerdict, n.LastAt)
			}
		}
	}
}

func TestAcceptForgetsProgress(t *testing.T) {
	n := standing()["spent"]
	n.Params, n.IdempotencyKey, n.ContentDigest, n.TraceParent = []byte(`{}`), "k", []byte("d"), "tp"
	n.NotifyURL, n.OutTradeNo, n.NotifyType, n.Profile = "https://a.example/", "T1", "type", "alipay"
	want := n
	want.NotifyID, want.CreatedAt, want.State, want.NextAt, want.PlannedAt = "new", at(1), Pending, at(1), at(1)
	want.NotifyCount, want.AttemptCount, want.SpentAt = 0, 0, time.Time{}
	n.Accept("new", at(1))
	if d := cmp.Diff(want, n); d != "" {
		t.Errorf("Accept (-want +got):\n%s", d)
	}
}

func TestSettleStaleCountsTwo(t *testing.T) {
	n := standing()["first"]
	o := outcomeOf(n.Claimed(1, 1, noon, time.Minute), Refused, true)
	o.Stale = &Attempt{}
	n.Settle(o)
	if n.NotifyCount != 1 || n.AttemptCount != 2 {
		t.Errorf("counts %d/%d, want 1/2", n.NotifyCount, n.AttemptCount)
	}
}

func TestSettleLate(t *testing.T) {
	for state, n := range standing() {
		before := n
		c := Claim{Notification: n, Send: n.Send(), Trigger: Retry, ClaimedAt: at(-time.Hour)}
		if n.SettleLate(outcomeOf(c, Refused, true)) || cmp.Diff(before, n) != "" {
			t.Errorf("%s: a late refusal changed something", state)
		}
		if !n.SettleLate(outcomeOf(c, Acked, true)) || n.State != Spent || n.SpentAt.IsZero() {
			t.Errorf("%s: a late acknowledgement makes it %s", state, n.State)
		}
		if n.AttemptCount != before.AttemptCount+1 || n.NotifyCount != before.NotifyCount+1 {
			t.Errorf("%s: counts %d/%d after a late acknowledgement", state, n.NotifyCount, n.AttemptCount)
		}
		after := n
		if n.SettleLate(outcomeOf(c, Acked, true)) || cmp.Diff(after, n) != "" {
			t.Errorf("%s: the same late acknowledgement was taken twice", state)
		}
	}
}

func TestSettleLateBesideAnotherClaim(t *testing.T) {
	n := standing()["first"]
	old := n.Claimed(1, 1, noon, time.Minute)
	n.Settle(old.Interrupt(at(time.Minute), ""))
	now := n.Claimed(2, 1, at(2*time.Minute), time.Minute)
	if !n.SettleLate(outcomeOf(old, Acked, true)) || !n.InFlight || n.NotifyCount != 1 {
		t.Fatalf("late: in flight %v, count %d; want true, 1", n.InFlight, n.NotifyCount)
	}
	n.Settle(outcomeOf(now, Refused, true))
	if n.State != Spent || n.NotifyCount != 1 || n.AttemptCount != 3 || n.InFlight {
		t.Errorf("then refused: %s, counts %d/%d; want spent, 1/3", n.State, n.NotifyCount, n.AttemptCount)
	}
}

func TestManualSends(t *testing.T) {
	n := standing()["retry"]
	if err := n.AskResend(Resend, false, noon); err != nil {
		t.Fatal(err)
	}
	c := n.Claimed(1, 1, at(1), time.Minute)
	again := outcomeOf(c, DNSError, false)
	again.Again = true
	n.Settle(again)
	if n.Resend != Resend || !n.ResendAt.Equal(again.NextAt) || !n.NextAt.Equal(at(time.Hour)) {
		t.Errorf("again: %q at %v, schedule at %v", n.Resend, n.ResendAt, n.NextAt)
	}
	if due, class := n.Due(); class != ClassResend || !due.Equal(again.NextAt) {
		t.Errorf("again: due at %v as %d", due, class)
	}
	c = n.Claimed(2, 1, at(3*time.Hour), time.Minute)
	if err := n.Cancel(); err != nil {
		t.Fatal(err)
	}
	n.Settle(c.Interrupt(at(3*time.Hour), "told to stop"))
	if due, _ := n.Due(); n.State != Canceled || n.Resend != "" || !n.ResendAt.IsZero() || !due.IsZero() {
		t.Errorf("canceled in flight, then interrupted: %s, resend %q at %v", n.State, n.Resend, n.ResendAt)
	}
}

func TestAskResend(t *testing.T) {
	for state, n := range standing() {
		err := n.AskResend(Replay, false, noon)
		if state == "spent" {
			if !errors.Is(err, ErrAlreadySpent) || n.Resend != "" {
				t.Errorf("spent without force: %v, owed %q", err, n.Resend)
			}
			err = n.AskResend(Replay, true, noon)
		}
		if err != nil || n.Resend != Replay || !n.ResendAt.Equal(noon) || n.ResendForce != (state == "spent") {
			t.Errorf("%s: %v, owed %q at %v, force %v", state, err, n.Resend, n.ResendAt, n.ResendForce)
		}
		err = n.AskResend(Resend, true, at(time.Hour))
		if err != nil || n.Resend != Replay || !n.ResendAt.Equal(noon) || !n.ResendForce {
			t.Errorf("%s, asked again: %v, owed %q at %v, force %v",
				state, err, n.Resend, n.ResendAt, n.ResendForce)
		}
	}
	n := standing()["spent"]
	n.Shrunk = true
	if err := n.AskResend(Resend, true, noon); !errors.Is(err, ErrShrunk) {
		t.Errorf("shrunk: %v, want ErrShrunk", err)
	}
}

func TestAcknowledgementAndResend(t *testing.T) {
	for _, c := range []struct {
		name   string
		forced bool
		left   Trigger
	}{{"plain", false, ""}, {"forced", true, Resend}} {
		n := standing()["first"]
		claim := n.Claimed(1, 1, noon, time.Minute)
		if err := n.AskResend(Resend, c.forced, noon); err != nil {
			t.Fatal(err)
		}
		n.Settle(outcomeOf(claim, Acked, true))
		if n.State != Spent || n.Resend != c.left {
			t.Errorf("%s resend asked for in flight, then acknowledged: %s, owed %q", c.name, n.State, n.Resend)
		}
	}
}

func TestCancel(t *testing.T) {
	for state, n := range standing() {
		before := n
		err := n.Cancel()
		switch before.State {
		case Pending, Canceled:
			if err != nil || n.State != Canceled || !n.NextAt.IsZero() {
				t.Errorf("%s: %v, %s", state, err, n.State)
			}
		default:
			if !errors.Is(err, ErrNotPending) || cmp.Diff(before, n) != "" {
				t.Errorf("%s: %v, %s", state, err, n.State)
			}
		}
	}
}

func TestQuarantine(t *testing.T) {
	for state, n := range standing() {
		before := n.State
		n.Resend, n.ResendAt, n.Blocked = Resend, noon, true
		n.Quarantine()
		want := Quarantined
		if before == Spent {
			want = Spent
		}
		if due, _ := n.Due(); n.State != want || !due.IsZero() || n.Blocked || n.Resend != "" {
			t.Errorf("%s: %s, due %v, blocked %v", state, n.State, due, n.Blocked)
		}
	}
}

func TestHold(t *testing.T) {
	for _, c := range []struct {
		name, override string
		manual, want   bool
	}{
		{"merchant's address", "", false, false},
		{"own address", "https://own.example/", false, true},
		{"own address by a person", "https://own.example/", true, true},
	} {
		n := standing()["first"]
		n.NotifyURL = c.override
		if c.manual {
			n.Resend, n.ResendAt = Resend, noon
		}
		o := outcomeOf(n.Claimed(1, 1, noon, time.Minute), Blocked, false)
		o.Hold, o.Again = true, true
		n.Settle(o)
		due, _ := n.Due()
		if n.Blocked != c.want || due.IsZero() != c.want || n.Resend != "" {
			t.Errorf("%s: blocked %v, due %v, resend %q", c.name, n.Blocked, due, n.Resend)
		}
		if err := n.AskResend(Resend, false, noon); err != nil || n.Blocked {
			t.Errorf("%s, asked for: %v, blocked %v", c.name, err, n.Blocked)
		}
	}
	n := standing()["exhausted"]
	n.NotifyURL, n.Resend, n.ResendAt = "https://own.example/", Resend, noon
	o := outcomeOf(n.Claimed(1, 1, noon, time.Minute), Blocked, false)
	o.Hold = true
	n.Settle(o)
	if n.Blocked {
		t.Error("an exhausted notification is held")
	}
}

func TestLateAcknowledgementOfAnEarlierSend(t *testing.T) {
	n := standing()["retry"]
	old := Claim{Notification: n, Send: 1, Trigger: First, ClaimedAt: at(-time.Hour)}
	if !n.SettleLate(outcomeOf(old, Acked, true)) || n.NotifyCount != 2 {
		t.Errorf("count %d after send 1 was acknowledged late, want 2 still", n.NotifyCount)
	}
}

func TestManualSendQuarantines(t *testing.T) {
	n := standing()["retry"]
	n.Resend, n.ResendAt = Resend, noon
	o := outcomeOf(n.Claimed(1, 1, noon, time.Minute), InternalError, false)
	o.State = Quarantined
	n.Settle(o)
	if due, _ := n.Due(); n.State != Quarantined || !due.IsZero() {
		t.Errorf("a person's send that fails inside us for the last time: %s, due %v", n.State, due)
	}
}
