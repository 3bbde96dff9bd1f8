package storetest

import (
	"slices"
	"strings"
	"time"

	"paynotify/store"
)

// Settle records attempts and applies their outcomes, each atomically …
var settleCases = []testCase{
	{"Settle/acknowledged", settleAcked},
	{"Settle/refused", settleRefused},
	{"Settle/exhausted", settleExhausted},
	{"Settle/every field of the attempt", settleFields},
	{"Settle/charged and not", settleCharged},
	{"Settle/stale connection", settleStale},
	{"Settle/quarantined", settleQuarantined},
	{"Settle/many at once", settleMany},
	{"Settle/manual sends leave the schedule alone", settleManual},
	{"Settle/a manual send goes again", settleAgain},
	{"Settle/a refused address holds the merchant", settleHoldMerchant},
	{"Settle/a refused override holds the notification", settleHoldOverride},
}

// expect settles a claim and wants the stored notification to be what state.go makes of it.
func (e *env) expect(c store.Claim, o store.Outcome) store.Notification {
	e.Helper()
	want, before := e.get(c.NotifyID)
	want.Settle(o)
	e.settle(c, o)
	n, after := e.get(c.NotifyID)
	e.diff("settled notification", want, n)
	if o.Stale != nil {
		before = append(before, numbered(*o.Stale, len(before)+1))
	}
	before = append(before, numbered(o.Attempt, len(before)+1))
	e.diff("attempts", before, after)
	return n
}

func numbered(a store.Attempt, n int) store.Attempt {
	a.N = n
	return a
}

// never wants nothing in m1 to be claimable, now or in two days.
func (e *env) never() {
	e.Helper()
	e.noClaim("m1", store.LaneIdle)
	e.Advance(48 * time.Hour)
	if slices.Contains(e.wakes(plenty).Lanes, "m1") {
		e.Fatal("Wakes names m1, which has nothing to do any more")
	}
	e.noClaim("m1", store.LaneIdle)
}

func settleAcked(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	n := e.expect(c, acked(c))
	if n.State != store.Spent || !n.SpentAt.Equal(c.ClaimedAt.Add(7*time.Millisecond)) || !n.NextAt.IsZero() {
		e.Fatalf("acknowledged: %s, spent at %v, next at %v", n.State, n.SpentAt, n.NextAt)
	}
	e.never()
	e.Store = e.Reopen()
	e.never()
	got, as := e.get(id)
	e.diff("spent notification after reopening", n, got)
	if len(as) != 1 {
		e.Fatalf("%d attempts after reopening, want 1", len(as))
	}
}

func settleRefused(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	var n store.Notification
	for send := 1; send <= 3; send++ {
		c := e.claimID("m1", id)
		n = e.expect(c, refused(c, e.in(time.Hour)))
		if n.State != store.Pending || n.NotifyCount != send || n.AttemptCount != send || n.InFlight {
			e.Fatalf("refused %d times: %s, counts %d/%d", send, n.State, n.NotifyCount, n.AttemptCount)
		}
		e.noClaim("m1", store.LaneIdle)
		e.Advance(time.Hour + tick)
	}
	e.Store = e.Reopen()
	got, _ := e.get(id)
	e.diff("notification after reopening", n, got)
	if c := e.claimID("m1", id); c.Send != 4 {
		e.Fatalf("send %d comes after three refused ones, want 4", c.Send)
	}
}

func settleExhausted(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	n := e.expect(c, exhausted(c))
	if n.State != store.Exhausted || n.NotifyCount != 1 || !n.NextAt.IsZero() {
		e.Fatalf("exhausted: %s, count %d, next at %v", n.State, n.NotifyCount, n.NextAt)
	}
	e.never()
}

func settleFields(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	o := refused(c, e.in(time.Hour))
	reply := make([]byte, store.ReplyBytesKept)
	for i := range reply {
		reply[i] = byte(i) // NUL, invalid UTF-8 and all
	}
	o.Attempt = store.Attempt{
		Send: 1, Charged: true, Trigger: store.First, ScheduledAt: c.ScheduledAt, StartedAt: c.ClaimedAt,
		Duration: 1234567 * time.Microsecond, Verdict: store.HTTP5xx, Reason: store.HTTPStatus,
		Detail: "says “nein” \\ <b>", Status: 503, Reply: reply, RemoteAddr: "[2001:db8::1]:443",
		RequestSHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Phases: store.Phases{
			DNS: 1 * time.Millisecond, Connect: 2 * time.Millisecond, TLS: 3 * time.Millisecond,
			FirstByte: 4 * time.Millisecond, Body: 5 * time.Millisecond,
		},
		TLS: &store.TLSInfo{
			Version: "TLS 1.3", Subject: strings.Repeat("ä", store.TLSSubjectBytesMax/2), // bytes, not characters
			NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // beyond what 64 bits of nanoseconds hold
		},
	}
	o.Streak = store.Streak{Reason: store.DNSFailure, Count: 7, Since: e.in(-time.Minute)}
	n := e.expect(c, o)
	_, as := e.get(id)
	e.Store = e.Reopen()
	got, gotAttempts := e.get(id)
	e.diff("notification after reopening", n, got)
	e.diff("attempts after reopening", as, gotAttempts)
}

func settleCharged(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	planned := time.Time{}
	for i := range 3 {
		c := e.claimID("m1", id)
		if i == 0 {
			planned = c.ScheduledAt
		}
		if c.Send != 1 || c.Trigger != store.First || !c.ScheduledAt.Equal(planned) {
			e.Fatalf("repeat of an uncharged send: %s, send %d, planned for %v; want first, 1, %v",
				c.Trigger, c.Send, c.ScheduledAt, planned)
		}
		n := e.expect(c, uncharged(c, e.in(5*time.Second)))
		if n.NotifyCount != 0 || n.AttemptCount != i+1 || n.Streak.Count != i+1 {
			e.Fatalf("uncharged %d times: counts %d/%d, streak %d",
				i+1, n.NotifyCount, n.AttemptCount, n.Streak.Count)
		}
		e.noClaim("m1", store.LaneIdle)
		e.Advance(6 * time.Second)
	}
	c := e.claimID("m1", id)
	n := e.expect(c, refused(c, e.in(time.Minute)))
	if n.NotifyCount != 1 || n.AttemptCount != 4 || n.Streak != (store.Streak{}) {
		e.Fatalf("then charged: counts %d/%d, streak %+v", n.NotifyCount, n.AttemptCount, n.Streak)
	}
}

func settleStale(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	for i := range 2 {
		c := e.claimID("m1", id)
		stale := attempt(c, store.ConnectError, store.ConnStale, false)
		o := refused(c, e.in(time.Minute))
		if i == 1 {
			o = acked(c)
		}
		o.Stale = &stale
		n := e.expect(c, o)
		if n.NotifyCount != i+1 || n.AttemptCount != 2*(i+1) {
			e.Fatalf("with a stale connection: counts %d/%d", n.NotifyCount, n.AttemptCount)
		}
		e.Advance(time.Minute + tick)
	}
	n, as := e.get(id)
	if n.State != store.Spent || len(as) != 4 || as[0].Charged || as[0].Reason != store.ConnStale {
		e.Fatalf("%s with attempts %+v", n.State, as)
	}
}

func settleQuarantined(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	o := store.Outcome{
		Attempt: attempt(c, store.InternalError, store.Internal, false), State: store.Quarantined,
		Streak: store.Streak{Reason: store.Internal, Count: 3, Since: c.ClaimedAt},
	}
	if n := e.expect(c, o); n.State != store.Quarantined || n.NotifyCount != 0 {
		e.Fatalf("is %s with count %d", n.State, n.NotifyCount)
	}
	e.never()
}

func settleMany(e *env) {
	lanes := []string{"m1", "m2", "m3"}
	var batch []store.Settlement
	want := map[string]store.State{}
	for _, lane := range lanes {
		e.merchant(lane, nil)
		e.add(lane, 4)
		cs := e.claimN(lane, 4)
		for i, o := range []store.Outcome{
			acked(cs[0]), refused(cs[1], e.in(time.Hour)), exhausted(cs[2]), exhausted(cs[3]),
		} {
			s := settlement(cs[i], o)
			want[s.NotifyID] = []store.State{store.Spent, store.Pending, store.Exhausted, store.Pending}[i]
			if i == 3 {
				s.Token += 1 << 20 // nobody's claim
			}
			batch = append(batch, s)
		}
		gone := batch[0]
		gone.NotifyID = store.NewID(e.Now(), 7)
		batch = append(batch, gone)
	}
	e.settleAll(batch)
	e.settleAll(nil)
	for id, state := range want {
		e.state(id, state)
	}
}

func settleManual(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	next := e.in(time.Hour)
	before := e.expect(c, refused(c, next))

	e.resend(id, false)
	e.Advance(tick)
	c = e.claimID("m1", id)
	o := refused(c, time.Time{})
	o.State = store.Exhausted // means nothing for a person's send
	n := e.expect(c, o)
	if n.State != store.Pending || !n.NextAt.Equal(next) || !n.PlannedAt.Equal(before.PlannedAt) ||
		n.NotifyCount != 1 || n.AttemptCount != 2 || n.Resend != "" {
		e.Fatalf("after a refused resend: %s, next at %v, counts %d/%d",
			n.State, n.NextAt, n.NotifyCount, n.AttemptCount)
	}
	e.noClaim("m1", store.LaneIdle)
	e.Advance(time.Hour)
	c = e.claimID("m1", id)
	if c.Trigger != store.Retry || c.Send != 2 || !c.ScheduledAt.Equal(next) {
		e.Fatalf("after a refused resend: %s, send %d, planned for %v", c.Trigger, c.Send, c.ScheduledAt)
	}
	e.expect(c, exhausted(c))

	e.resend(id, false)
	e.Advance(tick)
	c = e.claimID("m1", id)
	if n = e.expect(c, refused(c, e.in(time.Hour))); n.State != store.Exhausted || !n.NextAt.IsZero() {
		e.Fatalf("after a refused resend of an exhausted one: %s, next at %v", n.State, n.NextAt)
	}
	e.never()

	e.resend(id, false)
	e.Advance(tick)
	c = e.claimID("m1", id)
	if n = e.expect(c, acked(c)); n.State != store.Spent || n.NotifyCount != 2 {
		e.Fatalf("after an acknowledged resend: %s, count %d", n.State, n.NotifyCount)
	}
	e.never()
}

func settleAgain(e *env) {
	e.merchant("m1", nil)
	id := e.exhaust()
	e.resend(id, false)
	e.Advance(tick)
	for range 3 {
		c := e.claimID("m1", id)
		again := e.in(time.Minute)
		n := e.expect(c, uncharged(c, again))
		if n.State != store.Exhausted || n.Resend != store.Resend || !n.ResendAt.Equal(again) {
			e.Fatalf("resend that goes again: %s, %q at %v", n.State, n.Resend, n.ResendAt)
		}
		e.noClaim("m1", store.LaneIdle)
		e.Advance(50 * time.Second)
		e.noClaim("m1", store.LaneIdle)
		e.Advance(11 * time.Second)
	}
	c := e.claimID("m1", id)
	if c.Trigger != store.Resend || c.Send != 0 {
		e.Fatalf("resend that goes again: %s, send %d", c.Trigger, c.Send)
	}
	e.expect(c, refused(c, time.Time{}))
	e.never()
}

func settleHoldMerchant(e *env) {
	e.merchant("m1", nil)
	want := e.add("m1", 3)
	cs := e.claimN("m1", 2)
	revision := cs[0].MerchantRevision
	e.expect(cs[0], blocked(cs[0], e.in(5*time.Second)))
	m, err := e.Store.Merchant(e.ctx, "m1")
	e.must("Merchant", err)
	if !m.Blocked || m.HeldReason(e.Now()) != store.HeldAddressBlocked || m.Revision <= revision {
		e.Fatalf("merchant of a refused address: blocked %v, revision %d after %d",
			m.Blocked, m.Revision, revision)
	}
	if n, _ := e.get(want[0]); n.Blocked {
		e.Fatal("the notification is held, and not just its merchant")
	}
	e.Advance(time.Minute)
	e.noClaim("m1", store.LaneHeld)
	e.expect(cs[1], acked(cs[1])) // one in flight ends as it would
	e.noClaim("m1", store.LaneHeld)
	e.Store = e.Reopen()
	e.noClaim("m1", store.LaneHeld)
	e.update("m1", func(m *store.Merchant) { m.Blocked = false })
	c := e.claimN("m1", 2)[0]
	if c.Send != 1 {
		e.Fatalf("a blocked attempt was charged: send %d comes next", c.Send)
	}
	e.update("m1", func(m *store.Merchant) { m.NotifyURL = "https://new.example/" })
	e.expect(c, blocked(c, e.in(0)))
	e.claimN("m1", 1) // the address that was refused is not the merchant's any more
}

func settleHoldOverride(e *env) {
	e.merchant("m1", nil)
	own := incoming("m1")
	own.NotifyURL = "http://10.0.0.1/notify"
	id := e.accept(own)[0].NotifyID
	other := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	if n := e.expect(c, blocked(c, e.in(5*time.Second))); !n.Blocked || n.State != store.Pending {
		e.Fatalf("refused override: %s, blocked %v", n.State, n.Blocked)
	}
	m, err := e.Store.Merchant(e.ctx, "m1")
	e.must("Merchant", err)
	if m.Blocked {
		e.Fatal("a refused override holds the whole merchant")
	}
	c = e.claimID("m1", other)
	e.settle(c, acked(c))
	e.never()
	e.resend(id, false)
	e.Advance(tick)
	c = e.claimID("m1", id)
	if n := e.expect(c, blocked(c, e.in(5*time.Second))); !n.Blocked || n.Resend != "" {
		e.Fatalf("override refused again: blocked %v, resend %q", n.Blocked, n.Resend)
	}
	e.noClaim("m1", store.LaneIdle)
	e.resend(id, false)
	e.Advance(tick)
	c = e.claimID("m1", id)
	e.expect(c, refused(c, time.Time{}))
	if c = e.claimID("m1", id); c.Trigger != store.First {
		e.Fatalf("the hold was lifted: %s comes next, want the first send", c.Trigger)
	}
}
