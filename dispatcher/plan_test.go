package dispatcher

import (
	"testing"
	"time"

	"paynotify/dispatcher/egress"
	"paynotify/store"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// stopped is a clock that shows t0.
type stopped struct{}

func (stopped) Now() time.Time { return t0 }

// claimed is a claim of the given send of the seeds' schedule, planned for t0.
func claimed(send int) *held {
	return &held{
		Claim: store.Claim{
			Notification: store.Notification{
				NotifyID: "0n2b", MchID: "m1", Profile: "alipay", Schedule: "alipay", CreatedAt: t0,
				State: store.Pending, NotifyCount: send - 1, NextAt: t0, PlannedAt: t0, InFlight: true,
			},
			Send: send, Trigger: store.Retry, ScheduledAt: t0, ClaimedAt: t0,
		},
		asked: time.Now(), clock: stopped{},
	}
}

func planner() *Dispatcher { return &Dispatcher{metrics: newMetrics(nil, nil, 0)} }

var refused = store.Attempt{Verdict: store.Refused, Reason: store.AckMismatch}

var plans = []struct {
	name    string
	send    int
	late    time.Duration // the send started this long after its instant
	attempt store.Attempt
	ours    bool
	wait    time.Duration // Retry-After
	change  func(h *held)
	charged bool
	state   store.State
	next    time.Duration // after t0
	again   bool
}{
	{name: "1st", send: 1, attempt: refused, charged: true, state: store.Pending, next: 4 * time.Minute},
	{name: "3rd", send: 3, attempt: refused, charged: true, state: store.Pending, next: 10 * time.Minute},
	{name: "last refused", send: 8, attempt: refused, charged: true, state: store.Exhausted},
	{
		name: "a little late counts from the plan", send: 1, late: 59 * time.Second, attempt: refused,
		charged: true, state: store.Pending, next: 4 * time.Minute,
	},
	{
		name: "very late counts from the start", send: 1, late: 2 * time.Hour, attempt: refused,
		charged: true, state: store.Pending, next: 2*time.Hour + 4*time.Minute,
	},
	{
		name: "Retry-After within the wait changes nothing", send: 1, attempt: refused, wait: time.Minute,
		charged: true, state: store.Pending, next: 4 * time.Minute,
	},
	{
		name: "Retry-After delays", send: 1, attempt: refused, wait: 5 * time.Minute,
		charged: true, state: store.Pending, next: 5 * time.Minute,
	},
	{
		name: "Retry-After delays by at most the wait itself", send: 1, attempt: refused, wait: 5 * time.Hour,
		charged: true, state: store.Pending, next: 8 * time.Minute,
	},
	{
		name: "acked", send: 2, attempt: store.Attempt{Verdict: store.Acked, Reason: store.AckExact},
		charged: true, state: store.Pending,
	},
	{
		name: "our DNS", send: 2, attempt: store.Attempt{Verdict: store.DNSError, Reason: store.DNSFailure},
		state: store.Pending, next: 5 * time.Second, again: true,
	},
	{
		name: "our DNS for a quarter of an hour", send: 2,
		attempt: store.Attempt{Verdict: store.DNSError, Reason: store.DNSFailure},
		change: func(h *held) {
			h.Streak = store.Streak{Reason: store.DNSFailure, Count: 20, Since: t0.Add(-15 * time.Minute)}
		},
		charged: true, state: store.Pending, next: 10 * time.Minute,
	},
	{
		name: "our proxy", send: 2, ours: true,
		attempt: store.Attempt{Verdict: store.ConnectError, Reason: store.ConnRefused},
		state:   store.Pending, next: 5 * time.Second, again: true,
	},
	{
		name: "our proxy after our DNS, third in a row", send: 2, ours: true,
		attempt: store.Attempt{Verdict: store.Timeout, Reason: store.TimeoutConnect},
		change:  func(h *held) { h.Streak = store.Streak{Reason: store.DNSFailure, Count: 2, Since: t0} },
		state:   store.Pending, next: 20 * time.Second, again: true,
	},
	{
		name: "our proxy for a quarter of an hour", send: 2, ours: true,
		attempt: store.Attempt{Verdict: store.ConnectError, Reason: store.Unreachable},
		change: func(h *held) {
			h.Streak = store.Streak{Reason: store.DNSFailure, Count: 20, Since: t0.Add(-15 * time.Minute)}
		},
		charged: true, state: store.Pending, next: 10 * time.Minute,
	},
	{
		name: "their DNS", send: 2, attempt: store.Attempt{Verdict: store.DNSError, Reason: store.DNSNXDomain},
		charged: true, state: store.Pending, next: 10 * time.Minute,
	},
	{
		name: "a bug of ours", send: 8,
		attempt: store.Attempt{Verdict: store.InternalError, Reason: store.Internal},
		state:   store.Pending, next: time.Second, again: true,
	},
	{
		name: "a bug of ours, third in a row", send: 8,
		attempt: store.Attempt{Verdict: store.InternalError, Reason: store.Internal},
		change:  func(h *held) { h.Streak = store.Streak{Reason: store.Internal, Count: 2, Since: t0} },
		state:   store.Quarantined,
	},
	{
		name: "blocked", send: 3, attempt: store.Attempt{Verdict: store.Blocked, Reason: store.AddressBlocked},
		state: store.Pending, again: true,
	},
	{
		name: "a person's send refused", send: 0, attempt: refused,
		change: func(h *held) { h.Trigger, h.NotifyCount = store.Resend, 8 },
		state:  store.Pending,
	},
}

func TestPlan(t *testing.T) {
	for _, c := range plans {
		t.Run(c.name, func(t *testing.T) {
			h := claimed(max(1, c.send))
			h.Send = c.send
			if c.change != nil {
				c.change(h)
			}
			c.attempt.StartedAt = t0.Add(c.late)
			o := planner().plan(h, c.attempt, c.ours, c.wait)
			if o.Attempt.Charged != c.charged || o.State != c.state || o.Again != c.again {
				t.Errorf("charged=%v state=%s again=%v, want %v %s %v",
					o.Attempt.Charged, o.State, o.Again, c.charged, c.state, c.again)
			}
			var next time.Time
			if c.next != 0 || c.attempt.Verdict == store.Blocked {
				next = t0.Add(c.next)
			}
			if !o.NextAt.Equal(next) {
				t.Errorf("next at %v, want %v", o.NextAt, next)
			}
			if c.again && !o.PlannedAt.Equal(t0) {
				t.Errorf("planned at %v: a repeat keeps the instant of the schedule, want %v", o.PlannedAt, t0)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	cases := []struct {
		status int
		header string
		want   time.Duration
	}{
		{429, "120", 2 * time.Minute},
		{503, "Sat, 21 Nov 2026 12:05:00 GMT", 5 * time.Minute},
		{503, "Sat, 21 Nov 2026 11:00:00 GMT", 0},
		{500, "120", 0},
		{429, "-1", 0},
		{429, "soon", 0},
		{429, "4294967295", retryAfterMax},
		{429, "99999999999999999999", 0},
	}
	for _, c := range cases {
		if got := retryAfter(egress.Result{Status: c.status, RetryAfter: c.header}, t0); got != c.want {
			t.Errorf("retryAfter(%d, %q) = %v, want %v", c.status, c.header, got, c.want)
		}
	}
}
