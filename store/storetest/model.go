package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paynotify/store"
)

// model is what a history has done so far, and what must therefore be true.
type model struct {
	e     *env
	rt    *rapid.T
	lanes map[string]*laneFacts
	names []string // of the lanes
	facts []*facts // by acceptance
	byID  map[string]*facts
	keys  map[string]*facts // by lane and key
	given map[uint64]bool   // tokens
	off   bool              // the switch

	access accessFacts
}

type laneFacts struct {
	name   string
	cap    int
	rate   float64
	paused bool
	failed time.Time   // the last failure by timeout; zero since a person resumed it
	starts []time.Time // of every claim
}

// facts are what is known about one notification.
type facts struct {
	n        int // for messages: notify_ids differ from run to run
	want     store.Notification
	attempts []store.Attempt
	live     *store.Claim
	crashed  bool // since the live claim was given out
	lost     []store.Claim
	spent    bool
}

func newModel(rt *rapid.T, h Harness) *model {
	m := &model{
		e: newEnv(rt, h), rt: rt, lanes: map[string]*laneFacts{}, byID: map[string]*facts{},
		keys: map[string]*facts{}, given: map[uint64]bool{}, access: newAccessFacts(),
	}
	for _, name := range []string{"m1", "m2", "m3"} {
		l := &laneFacts{
			name: name, cap: rapid.IntRange(1, 3).Draw(rt, "cap of "+name),
			rate: rapid.SampledFrom([]float64{0, 0, 0.5, 2}).Draw(rt, "rate of "+name),
		}
		m.lanes[name], m.names = l, append(m.names, name)
		m.e.merchant(name, func(mch *store.Merchant) { mch.MaxInflight, mch.RatePerSecond = l.cap, l.rate })
	}
	return m
}

// fail ends the history. The broken invariant is the message, the rest goes to the log: rapid takes two
// failures for the same one only if their messages are.
func (m *model) fail(invariant, format string, args ...any) {
	m.rt.Helper()
	m.rt.Logf(format, args...)
	m.rt.Fatal(invariant)
}

func (m *model) same(invariant string, f *facts, want, got any) {
	m.rt.Helper()
	if reflect.DeepEqual(want, got) {
		return // nearly always, and forty times faster
	}
	if d := cmp.Diff(want, got); d != "" {
		m.fail(invariant, "#%d (-want +got):\n%s", f.n, d)
	}
}

func (m *model) lane(rt *rapid.T) *laneFacts {
	return m.lanes[rapid.SampledFrom(m.names).Draw(rt, "lane")]
}

func (m *model) open(l *laneFacts) bool { return !m.off && !l.paused }

func (m *model) liveIn(l *laneFacts) int {
	live := 0
	for _, f := range m.facts {
		if f.live != nil && f.want.MchID == l.name {
			live++
		}
	}
	return live
}

// due are the notifications of a lane that were due at an instant.
func (m *model) due(l *laneFacts, at time.Time) []*facts {
	var due []*facts
	for _, f := range m.facts {
		if when, _ := f.want.Due(); f.want.MchID == l.name && !when.IsZero() && !when.After(at) {
			due = append(due, f)
		}
	}
	return due
}

func (m *model) accept(rt *rapid.T) {
	items := make([]store.Incoming, rapid.IntRange(1, 4).Draw(rt, "items"))
	for i := range items {
		items[i] = incoming(m.lane(rt).name)
		items[i].Want = rapid.Bool().Draw(rt, "want")
		if key := rapid.SampledFrom([]string{"", "", "", "a", "b"}).Draw(rt, "key"); key != "" {
			items[i].IdempotencyKey = key
			items[i].ContentDigest = []byte(rapid.SampledFrom([]string{"one", "two"}).Draw(rt, "content"))
		}
	}
	for i, a := range m.e.accept(items...) {
		m.accepted(items[i], a)
	}
}

func (m *model) accepted(in store.Incoming, a store.Accepted) {
	first := m.keys[in.MchID+"/"+in.IdempotencyKey]
	switch {
	case in.IdempotencyKey == "" || first == nil:
		if a.Status != store.New || m.byID[a.NotifyID] != nil {
			m.fail(keyWrong, "a new item has status %d", a.Status)
		}
	case string(first.want.ContentDigest) != string(in.ContentDigest):
		if a.Status != store.Conflict || a.Claim != nil {
			m.fail(keyWrong, "other content under the key of #%d has status %d", first.n, a.Status)
		}
		return
	default:
		if a.Status != store.Replayed || a.NotifyID != first.want.NotifyID || a.Claim != nil {
			m.fail(keyWrong, "the content of #%d again has status %d", first.n, a.Status)
		}
		return
	}
	f := &facts{n: len(m.facts), want: in.Notification}
	f.want.Accept(a.NotifyID, a.CreatedAt)
	m.facts = append(m.facts, f)
	m.byID[a.NotifyID] = f
	if in.IdempotencyKey != "" {
		m.keys[in.MchID+"/"+in.IdempotencyKey] = f
	}
	if a.Claim != nil {
		m.claimed(*a.Claim)
	}
}

func (m *model) claim(rt *rapid.T) { m.claimIn(m.lane(rt), rapid.IntRange(1, 5).Draw(rt, "max")) }

// claimIn claims in a lane, checks all claims and what the lane says.
func (m *model) claimIn(l *laneFacts, limit int) []*facts {
	before := m.e.Now()
	cs := m.e.claim(l.name, limit)
	var got []*facts
	for _, c := range cs.Items {
		got = append(got, m.claimed(c))
	}
	due, live := m.due(l, before), m.liveIn(l)
	if !l.failed.IsZero() { // its breaker may hold back what is left, but not for long
		due = slices.DeleteFunc(due, func(f *facts) bool {
			at, _ := f.want.Due()
			if at.Before(l.failed) {
				at = l.failed
			}
			return at.Add(store.BreakerDelayMax + time.Millisecond).After(before)
		})
	}
	left := len(due)
	free := m.open(l) && l.rate == 0 && live < l.cap && len(got) < limit
	if left > 0 && (free || cs.Lane == store.LaneIdle) {
		m.fail(claimsMissing, "%s: %d claimed, %d live, %d due", l.name, len(got), live, left)
	}
	ok := true
	switch cs.Lane {
	case store.LaneMore:
		ok = len(cs.Items) == limit
	case store.LaneCapped:
		ok = live == l.cap
	case store.LaneRated:
		ok = l.rate > 0
	case store.LaneHeld:
		ok = !m.open(l)
	case store.LaneTight:
		ok = !l.failed.IsZero()
	}
	if !ok {
		m.fail(laneWrong, "%s is %v with %d claimed, %d live, %d due",
			l.name, laneStatus(cs.Lane), len(got), live, left)
	}
	return got
}

// claimed checks one claim against everything that is known.
func (m *model) claimed(c store.Claim) *facts {
	f := m.byID[c.NotifyID]
	if f == nil {
		m.fail(claimedWrong, "nobody accepted it")
	}
	l := m.lanes[c.MchID]
	now := m.e.Now()
	due := f.want.NextAt
	if c.Trigger.Manual() {
		due = f.want.ResendAt
	}
	switch {
	case !m.open(l):
		m.fail(claimedHeld, "#%d", f.n)
	case f.live != nil:
		m.fail(claimedTwice, "#%d", f.n)
	case f.spent && !f.want.ResendForce, f.want.State.Final() && !c.Trigger.Manual(),
		c.Trigger.Manual() && f.want.Resend == "":
		m.fail(claimedFinal, "#%d is %s, claimed as %s", f.n, f.want.State, c.Trigger)
	case c.ClaimedAt.Before(due), now.Before(due.Add(-time.Millisecond)), now.Before(c.ClaimedAt.Add(-tick)):
		m.fail(claimedEarly, "#%d is due at %v, claimed at %v, and it is %v", f.n, due, c.ClaimedAt, now)
	case m.liveIn(l) >= l.cap:
		m.fail(claimedOverCap, "%s has a cap of %d", l.name, l.cap)
	case m.given[c.Token]:
		m.fail(claimTokens, "#%d", f.n)
	}
	m.given[c.Token] = true
	m.rated(l, c.ClaimedAt)
	want := f.want.Claimed(c.Token, 1, c.ClaimedAt, lease)
	want.MerchantRevision = c.MerchantRevision
	m.same(claimedWrong, f, want, c)
	f.live, f.crashed = &c, false
	return f
}

// rated checks the starts of a lane over every span that ends now.
func (m *model) rated(l *laneFacts, at time.Time) {
	l.starts = append(l.starts, at)
	if l.rate == 0 {
		return
	}
	for i, from := range l.starts {
		most := store.RateBurst(l.rate) + l.rate*(at.Sub(from)+2*time.Millisecond).Seconds()
		if n := len(l.starts) - i; float64(n) > most {
			m.fail(claimedOverRate, "%s: %d claims in %v at %v/s", l.name, n, at.Sub(from), l.rate)
		}
	}
}

// outcome draws what came of a claim.
func (m *model) outcome(rt *rapid.T, c store.Claim) store.Outcome {
	wait := rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, 2 * time.Hour}).Draw(rt, "wait")
	next := m.e.in(wait)
	var o store.Outcome
	switch rapid.SampledFrom([]string{"ack", "refuse", "silent", "silent", "ours", "last", "told"}).
		Draw(rt, "outcome") {
	case "ack":
		o = acked(c)
	case "refuse":
		o = refused(c, next)
	case "silent":
		o = timedOut(c, next)
	case "ours":
		o = uncharged(c, next)
	case "last":
		o = exhausted(c)
	case "told":
		o = c.Interrupt(m.e.in(0), "told to stop")
		o.Attempt.Duration = o.Attempt.Duration.Truncate(time.Millisecond)
	}
	if rapid.IntRange(0, 5).Draw(rt, "stale") == 0 {
		stale := attempt(c, store.ConnectError, store.ConnStale, false)
		o.Stale = &stale
	}
	return o
}

// pick draws one of the notifications that have something.
func (m *model) pick(rt *rapid.T, has func(f *facts) bool) *facts {
	var some []*facts
	for _, f := range m.facts {
		if has(f) {
			some = append(some, f)
		}
	}
	if len(some) == 0 {
		rt.Skip("there is none")
	}
	return some[rapid.IntRange(0, len(some)-1).Draw(rt, "notification")]
}

func (m *model) settle(rt *rapid.T) {
	f := m.pick(rt, func(f *facts) bool { return f.live != nil })
	m.settled(f, m.outcome(rt, *f.live))
}

// settled settles a live claim and answers the lanes that are ready.
func (m *model) settled(f *facts, o store.Outcome) []string {
	c := *f.live
	f.live = nil
	f.want.Settle(o)
	if o.Attempt.Verdict == store.Timeout {
		m.lanes[c.MchID].failed = m.e.Now()
	}
	if o.Stale != nil {
		f.attempts = append(f.attempts, numbered(*o.Stale, len(f.attempts)+1))
	}
	f.attempts = append(f.attempts, numbered(o.Attempt, len(f.attempts)+1))
	ready := m.e.settleAll([]store.Settlement{settlement(c, o)})
	for _, lane := range ready {
		m.named(lane)
	}
	return ready
}

func (m *model) settleLate(rt *rapid.T) {
	f := m.pick(rt, func(f *facts) bool { return len(f.lost) > 0 })
	c := rapid.SampledFrom(f.lost).Draw(rt, "lost claim")
	o := m.outcome(rt, c)
	if f.want.SettleLate(o) {
		f.attempts = append(f.attempts, numbered(o.Attempt, len(f.attempts)+1))
	}
	m.e.settle(c, o)
}

func (m *model) advance(rt *rapid.T) {
	m.e.Advance(rapid.SampledFrom([]time.Duration{
		tick, 500 * time.Millisecond, 2 * time.Second, lease / 2, lease + time.Second, 10 * time.Minute,
		3 * time.Hour,
	}).Draw(rt, "by"))
}

func (m *model) wakes(rt *rapid.T) { m.wake(rapid.IntRange(0, 3).Draw(rt, "max")) }

func (m *model) wake(limit int) store.Wakes {
	before := m.e.Now()
	w := m.e.wakes(limit)
	for _, f := range m.facts { // now, so that what Wakes recovered is due below
		m.recover(f)
		if f.live != nil && !f.live.LeaseUntil.After(before) {
			m.fail(interruptWrong, "#%d: the lease ran out at %v, and it is %v", f.n, f.live.LeaseUntil, before)
		}
	}
	for _, lane := range w.Lanes {
		m.named(lane)
	}
	return w
}

// named checks that a lane which is to be run has work that can be done.
func (m *model) named(lane string) {
	l := m.lanes[lane]
	if l == nil || !m.open(l) || len(m.due(l, m.e.Now())) == 0 || m.liveIn(l) >= l.cap {
		m.fail(wakesWrong, "%s", lane)
	}
}

func (m *model) resend(rt *rapid.T) {
	f := m.pick(rt, func(*facts) bool { return true })
	force := rapid.Bool().Draw(rt, "force")
	t := rapid.SampledFrom([]store.Trigger{store.Resend, store.Replay}).Draw(rt, "trigger")
	got, err := m.e.Store.Resend(m.e.ctx, f.want.NotifyID, t, force)
	if wantErr := f.want.AskResend(t, force, got.ResendAt); (wantErr == nil) != (err == nil) {
		m.fail(progressWrong, "Resend of #%d: %v, want %v", f.n, err, wantErr)
	}
	m.e.Advance(tick)
}

func (m *model) cancel(rt *rapid.T) {
	f := m.pick(rt, func(*facts) bool { return true })
	_, err := m.e.Store.Cancel(m.e.ctx, f.want.NotifyID)
	if wantErr := f.want.Cancel(); (wantErr == nil) != (err == nil) {
		m.fail(progressWrong, "Cancel of #%d: %v, want %v", f.n, err, wantErr)
	}
}

func (m *model) pause(rt *rapid.T) { m.setPaused(m.lane(rt), rapid.Bool().Draw(rt, "paused")) }

func (m *model) setPaused(l *laneFacts, paused bool) {
	if l.paused && !paused {
		l.failed = time.Time{}
	}
	l.paused = paused
	m.e.update(l.name, func(mch *store.Merchant) { mch.Paused = paused })
}

func (m *model) turnSwitch(rt *rapid.T) {
	m.off = rapid.Bool().Draw(rt, "paused")
	m.e.setSending(m.off, "test")
}

func (m *model) crash(*rapid.T) { m.restart(m.e.Crash) }

func (m *model) reopen(*rapid.T) { m.restart(m.e.Reopen) }

func (m *model) restart(open func() store.Store) {
	m.e.Store = open()
	for _, f := range m.facts {
		f.crashed = true // what that means for a live claim is the backend's business
	}
	m.checkAccess()
}

// drain makes every lane open and works as a dispatcher does until nothing is owed.
func (m *model) drain() {
	m.off = false
	m.e.setSending(false, "")
	for _, name := range m.names {
		m.setPaused(m.lanes[name], false)
	}
	for range 100 + 50*len(m.facts) {
		w := m.wake(len(m.names))
		for awake := w.Lanes; len(awake) > 0; awake = awake[1:] {
			for _, f := range m.claimIn(m.lanes[awake[0]], 2) {
				awake = append(awake, m.settled(f, acked(*f.live))...)
			}
		}
		m.check()
		switch owed := m.owed(); {
		case owed == "":
			return
		case len(w.Lanes) > 0:
			m.e.Advance(tick)
		case w.Next.IsZero():
			m.fail(neverClaimable, "%s", owed)
		default:
			m.e.Advance(max(0, w.Next.Sub(m.e.Now())) + tick)
		}
	}
	m.fail(neverClaimable, "%s", m.owed())
}

// owed lists what is not done.
func (m *model) owed() string {
	var text strings.Builder
	for _, f := range m.facts {
		if f.want.State == store.Pending || f.want.Resend != "" || f.live != nil {
			fmt.Fprintf(&text, "#%d is %s in %s, resend %q, in flight %v, next at %v\n",
				f.n, f.want.State, f.want.MchID, f.want.Resend, f.live != nil, f.want.NextAt)
		}
	}
	return text.String()
}
