package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paynotify/store"
)

const (
	// lease is long against what a case takes by the wall clock, which the store's clock may follow.
	lease = 30 * time.Second
	// tick is more than what a store may round an instant by, or add to keep CreatedAt unique.
	tick = 10 * time.Millisecond
	// plenty is a max that no case reaches.
	plenty = 1000
)

// env is a Harness with the words in which cases are written. Whatever goes wrong ends the case.
type env struct {
	rapid.TB
	Harness

	ctx context.Context
}

func newEnv(tb rapid.TB, h Harness) *env {
	return &env{TB: tb, Harness: h, ctx: context.Background()}
}

func (e *env) close() {
	if err := e.Store.Close(); err != nil {
		e.Errorf("Close: %v", err)
	}
}

func (e *env) must(what string, err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("%s: %v", what, err)
	}
}

func (e *env) diff(what string, want, got any) {
	e.Helper()
	if d := cmp.Diff(want, got); d != "" {
		e.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// merchant creates a merchant; change may be nil.
func (e *env) merchant(mchID string, change func(m *store.Merchant)) store.Merchant {
	e.Helper()
	m := store.Merchant{
		MchID: mchID, Name: "Shop " + mchID, Profile: "form", NotifyURL: "https://shop.example/notify",
		MaxInflight: plenty,
	}
	if change != nil {
		change(&m)
	}
	created, err := e.Store.CreateMerchant(e.ctx, m)
	e.must("CreateMerchant", err)
	return created
}

func (e *env) update(mchID string, change func(m *store.Merchant)) store.Merchant {
	e.Helper()
	m, err := e.Store.UpdateMerchant(e.ctx, mchID, func(m *store.Merchant) error { change(m); return nil })
	e.must("UpdateMerchant", err)
	return m
}

// incoming is a plain notification of a merchant.
func incoming(mchID string) store.Incoming {
	return store.Incoming{Notification: store.Notification{
		MchID: mchID, Profile: "form", Schedule: "alipay", OutTradeNo: "20261121-1",
		Params: json.RawMessage(`{"trade_no":"2026112122001","total_amount":"88.88"}`),
	}}
}

// wanted is a plain notification that asks to be claimed at once.
func wanted(mchID string) store.Incoming {
	in := incoming(mchID)
	in.Want = true
	return in
}

// accept stores items and lets a tick pass, so that what was accepted is due.
func (e *env) accept(items ...store.Incoming) []store.Accepted {
	e.Helper()
	got, err := e.Store.Accept(e.ctx, items, lease)
	e.must("Accept", err)
	if len(got) != len(items) {
		e.Fatalf("Accept answered %d of %d items", len(got), len(items))
	}
	e.Advance(tick)
	return got
}

// add accepts n plain notifications and returns their ids, oldest first.
func (e *env) add(mchID string, n int) []string {
	e.Helper()
	items := make([]store.Incoming, n)
	for i := range items {
		items[i] = incoming(mchID)
	}
	ids := make([]string, n)
	for i, a := range e.accept(items...) {
		if a.Status != store.New {
			e.Fatalf("Accept: item %d has status %d, want New", i, a.Status)
		}
		ids[i] = a.NotifyID
	}
	return ids
}

func (e *env) claim(lane string, limit int) store.Claims {
	e.Helper()
	cs, err := e.Store.Claim(e.ctx, lane, limit, lease)
	e.must("Claim", err)
	if len(cs.Items) > limit {
		e.Fatalf("Claim gave out %d, asked for at most %d", len(cs.Items), limit)
	}
	return cs
}

// claimN claims exactly n.
func (e *env) claimN(lane string, n int) []store.Claim {
	e.Helper()
	cs := e.claim(lane, n)
	if len(cs.Items) != n {
		e.Fatalf("Claim gave out %d (%v), want %d", len(cs.Items), laneStatus(cs.Lane), n)
	}
	return cs.Items
}

// claimID claims one and wants it to be this notification.
func (e *env) claimID(lane, notifyID string) store.Claim {
	e.Helper()
	c := e.claimN(lane, 1)[0]
	if c.NotifyID != notifyID {
		e.Fatalf("Claim gave out %s, want %s", c.NotifyID, notifyID)
	}
	return c
}

// noClaim wants a lane that gives nothing, for the given reason.
func (e *env) noClaim(lane string, want store.LaneStatus) {
	e.Helper()
	cs := e.claim(lane, plenty)
	if len(cs.Items) != 0 {
		e.Fatalf("Claim gave out %s as %s, want nothing", cs.Items[0].NotifyID, cs.Items[0].Trigger)
	}
	if cs.Lane != want {
		e.Fatalf("Claim gave nothing: %v, want %v", laneStatus(cs.Lane), laneStatus(want))
	}
}

func (e *env) settle(c store.Claim, o store.Outcome) {
	e.Helper()
	e.settleAll([]store.Settlement{settlement(c, o)})
}

// settleAll settles in one call and answers the lanes that are ready.
func (e *env) settleAll(ss []store.Settlement) []string {
	e.Helper()
	ready, err := e.Store.Settle(e.ctx, ss)
	e.must("Settle", err)
	return ready
}

func settlement(c store.Claim, o store.Outcome) store.Settlement {
	return store.Settlement{NotifyID: c.NotifyID, MchID: c.MchID, Token: c.Token, Outcome: o}
}

func (e *env) get(notifyID string) (store.Notification, []store.Attempt) {
	e.Helper()
	n, as, err := e.Store.Get(e.ctx, notifyID)
	e.must("Get", err)
	return n, as
}

func (e *env) state(notifyID string, want store.State) store.Notification {
	e.Helper()
	n, _ := e.get(notifyID)
	if n.State != want {
		e.Fatalf("%s is %s, want %s", notifyID, n.State, want)
	}
	return n
}

func (e *env) resend(notifyID string, force bool) store.Notification {
	e.Helper()
	n, err := e.Store.Resend(e.ctx, notifyID, store.Resend, force)
	e.must("Resend", err)
	return n
}

func (e *env) wakes(limit int) store.Wakes {
	e.Helper()
	w, err := e.Store.Wakes(e.ctx, limit)
	e.must("Wakes", err)
	if len(w.Lanes) > limit {
		e.Fatalf("Wakes named %d lanes, asked for at most %d", len(w.Lanes), limit)
	}
	return w
}

// wakesNames wants exactly these lanes to be named, in any order.
func (e *env) wakesNames(want ...string) store.Wakes {
	e.Helper()
	w := e.wakes(plenty)
	got := map[string]int{}
	for _, lane := range w.Lanes {
		got[lane]++
	}
	wants := map[string]int{}
	for _, lane := range want {
		wants[lane] = 1
	}
	e.diff("lanes that Wakes named", wants, got)
	return w
}

// setSending turns the global switch.
func (e *env) setSending(paused bool, reason string) {
	e.Helper()
	e.must("SetSending", e.Store.SetSending(e.ctx, store.Sending{Paused: paused, Reason: reason}))
}

// in is the instant d from now, as a caller that keeps milliseconds would write it.
func (e *env) in(d time.Duration) time.Time { return e.Now().Add(d).UTC().Truncate(time.Millisecond) }

// attempt is a plausible attempt of a claim.
func attempt(c store.Claim, v store.Verdict, r store.Reason, charged bool) store.Attempt {
	return store.Attempt{
		Send: c.Send, Charged: charged && !c.Trigger.Manual(), Trigger: c.Trigger, ScheduledAt: c.ScheduledAt,
		StartedAt: c.ClaimedAt, Duration: 7 * time.Millisecond, Verdict: v, Reason: r,
	}
}

// acked is the outcome of an acknowledged send.
func acked(c store.Claim) store.Outcome {
	a := attempt(c, store.Acked, store.AckExact, true)
	a.Status, a.Reply = 200, []byte("success")
	return store.Outcome{Attempt: a}
}

// refused is the outcome of a charged send whose next one is due at the given instant.
func refused(c store.Claim, next time.Time) store.Outcome {
	a := attempt(c, store.Refused, store.AckHTML, true)
	a.Status, a.Reply = 200, []byte("<html>")
	return store.Outcome{Attempt: a, State: store.Pending, NextAt: next, PlannedAt: next}
}

// exhausted is the outcome of a schedule's last send.
func exhausted(c store.Claim) store.Outcome {
	return store.Outcome{
		Attempt: attempt(c, store.Timeout, store.TimeoutHeaders, true), State: store.Exhausted,
	}
}

// uncharged is the outcome of a fault of ours: the same send goes again at the given instant.
func uncharged(c store.Claim, next time.Time) store.Outcome {
	return store.Outcome{
		Attempt: attempt(c, store.DNSError, store.DNSFailure, false),
		State:   store.Pending, NextAt: next, PlannedAt: c.ScheduledAt, Again: true,
		Streak: c.Streak.Grow(store.DNSFailure, c.ClaimedAt),
	}
}

// blocked is the outcome of an address that was refused.
func blocked(c store.Claim, next time.Time) store.Outcome {
	return store.Outcome{
		Attempt: attempt(c, store.Blocked, store.AddressBlocked, false),
		State:   store.Pending, NextAt: next, PlannedAt: c.ScheduledAt, Again: true, Hold: true,
		Streak: c.Streak.Grow(store.AddressBlocked, c.ClaimedAt),
	}
}

// spend makes a new notification of m1 spent. The lane must have nothing else due.
func (e *env) spend() string {
	e.Helper()
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	e.settle(c, acked(c))
	return id
}

// exhaust makes a new notification of m1 exhausted. The lane must have nothing else due.
func (e *env) exhaust() string {
	e.Helper()
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	e.settle(c, exhausted(c))
	return id
}

func ids(cs []store.Claim) []string {
	out := make([]string, len(cs))
	for i := range cs {
		out[i] = cs[i].NotifyID
	}
	return out
}

type laneStatus store.LaneStatus

func (s laneStatus) String() string {
	names := []string{"idle", "more", "capped", "rated", "held", "tight"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("LaneStatus(%d)", int(s))
}
