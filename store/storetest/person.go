package storetest

import (
	"errors"
	"time"

	"paynotify/store"
)

// Resend asks for one send on a person's behalf. Cancel takes a pending notification back.
var personCases = []testCase{
	{"Resend/not found", resendNotFound},
	{"Resend/from every state", resendEveryState},
	{"Resend/one at a time", resendOnce},
	{"Resend/replay", resendReplay},
	{"Resend/held lane", resendHeld},
	{"Resend/forced and acknowledged", resendForced},
	{"Resend/deleted merchant", resendDeleted},
	{"Cancel/rules", cancelRules},
	{"Cancel/a resend that is owed", cancelResend},
}

func resendNotFound(e *env) {
	e.merchant("m1", nil)
	for _, id := range []string{store.NewID(e.Now(), 3), "", "x"} {
		if _, err := e.Store.Resend(e.ctx, id, store.Resend, true); !errors.Is(err, store.ErrNotFound) {
			e.Fatalf("Resend(%q): %v, want ErrNotFound", id, err)
		}
		if _, err := e.Store.Cancel(e.ctx, id); !errors.Is(err, store.ErrNotFound) {
			e.Fatalf("Cancel(%q): %v, want ErrNotFound", id, err)
		}
	}
}

// quarantine makes a new notification of m1 quarantined. The lane must have nothing else due.
func (e *env) quarantine() string {
	e.Helper()
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	e.settle(c, store.Outcome{
		Attempt: attempt(c, store.InternalError, store.Internal, false), State: store.Quarantined,
	})
	return id
}

func (e *env) cancel(notifyID string) store.Notification {
	e.Helper()
	n, err := e.Store.Cancel(e.ctx, notifyID)
	e.must("Cancel", err)
	return n
}

func resendEveryState(e *env) {
	e.merchant("m1", nil)
	canceled := e.add("m1", 1)[0]
	e.cancel(canceled)
	waiting := e.add("m1", 1)[0]
	c := e.claimID("m1", waiting)
	e.settle(c, refused(c, e.in(1000*time.Hour)))
	for _, id := range []string{canceled, e.exhaust(), e.quarantine(), waiting} {
		before, _ := e.get(id)
		want := before
		from := e.Now().Truncate(time.Millisecond)
		got := e.resend(id, false)
		if got.ResendAt.Before(from) || got.ResendAt.After(e.Now()) {
			e.Fatalf("resend of a %s one: due at %v, asked for at %v", before.State, got.ResendAt, from)
		}
		e.must("AskResend", want.AskResend(store.Resend, false, got.ResendAt))
		e.diff("answer of Resend", want, got)
		stored, _ := e.get(id)
		e.diff("stored notification", want, stored)
		e.Advance(tick)
		e.wakesNames("m1")
		c := e.claimID("m1", id)
		e.checkClaim(c, store.Merchant{Revision: c.MerchantRevision}, store.Resend, 0, got.ResendAt)
		e.expect(c, refused(c, time.Time{}))
		e.state(id, before.State)
		e.noClaim("m1", store.LaneIdle)
	}
	spent := e.spend()
	if _, err := e.Store.Resend(e.ctx, spent, store.Resend, false); !errors.Is(err, store.ErrAlreadySpent) {
		e.Fatalf("Resend of a spent one: %v, want ErrAlreadySpent", err)
	}
	e.never()
}

func resendOnce(e *env) {
	e.merchant("m1", nil)
	id := e.exhaust()
	first := e.resend(id, false)
	e.Advance(time.Second)
	second := e.resend(id, false)
	if !second.ResendAt.Equal(first.ResendAt) {
		e.Fatalf("a second resend moved the first from %v to %v", first.ResendAt, second.ResendAt)
	}
	c := e.claimID("m1", id)
	e.noClaim("m1", store.LaneIdle)
	e.expect(c, refused(c, time.Time{}))
	e.never()
	e.resend(id, false)
	e.Advance(tick)
	e.claimID("m1", id)
}

func resendReplay(e *env) {
	e.merchant("m1", nil)
	id := e.exhaust()
	n, err := e.Store.Resend(e.ctx, id, store.Replay, false)
	e.must("Resend", err)
	if n.Resend != store.Replay {
		e.Fatalf("owed: %q, want a replay", n.Resend)
	}
	e.Advance(tick)
	c := e.claimID("m1", id)
	if c.Trigger != store.Replay || c.Send != 0 {
		e.Fatalf("claimed as %s, send %d", c.Trigger, c.Send)
	}
	e.expect(c, acked(c))
}

func resendHeld(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 1 })
	id := e.exhaust()
	e.setSending(true, "test")
	e.resend(id, false)
	e.Advance(tick)
	e.wakesNames()
	e.noClaim("m1", store.LaneHeld)
	e.setSending(false, "")
	e.add("m1", 1)
	c := e.claimID("m1", id)
	e.noClaim("m1", store.LaneCapped)
	e.settle(c, acked(c))
	busy := e.claimN("m1", 1)[0]
	e.resend(id, true)
	e.Advance(tick)
	e.noClaim("m1", store.LaneCapped) // a person's send waits for a place like any other
	e.settle(busy, acked(busy))
	e.claimID("m1", id)
}

func resendForced(e *env) {
	e.merchant("m1", nil)
	id := e.spend()
	before, _ := e.get(id)
	if n := e.resend(id, true); n.State != store.Spent || !n.ResendForce {
		e.Fatalf("forced: %s, force %v", n.State, n.ResendForce)
	}
	e.Advance(tick)
	c := e.claimID("m1", id)
	n := e.expect(c, acked(c))
	if n.State != store.Spent || !n.SpentAt.Equal(before.SpentAt) || n.ResendForce || n.AttemptCount != 2 {
		e.Fatalf("forced and acknowledged: %s at %v, force %v", n.State, n.SpentAt, n.ResendForce)
	}
	e.never()
}

func resendDeleted(e *env) {
	e.merchant("m1", nil)
	id := e.exhaust()
	e.must("DeleteMerchant", e.Store.DeleteMerchant(e.ctx, "m1"))
	if _, err := e.Store.Resend(e.ctx, id, store.Resend, false); !errors.Is(err, store.ErrNoMerchant) {
		e.Fatalf("Resend for a deleted merchant: %v, want ErrNoMerchant", err)
	}
}

func cancelRules(e *env) {
	e.merchant("m1", nil)
	final := []string{e.spend(), e.exhaust(), e.quarantine()}
	for _, id := range final {
		before, _ := e.get(id)
		if _, err := e.Store.Cancel(e.ctx, id); !errors.Is(err, store.ErrNotPending) {
			e.Fatalf("Cancel of a %s one: %v, want ErrNotPending", before.State, err)
		}
		after, _ := e.get(id)
		e.diff("notification that was not canceled", before, after)
	}
	id := e.add("m1", 1)[0]
	for range 2 {
		got := e.cancel(id)
		stored := e.state(id, store.Canceled)
		e.diff("answer of Cancel", stored, got)
	}
	retry := e.add("m1", 1)[0]
	c := e.claimID("m1", retry)
	e.settle(c, refused(c, e.in(time.Hour)))
	e.cancel(retry)
	e.never()
	e.Store = e.Reopen()
	e.state(id, store.Canceled)
	e.never()
}

func cancelResend(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	e.resend(id, false)
	if n := e.cancel(id); n.Resend != "" {
		e.Fatalf("canceled, and a %s is owed", n.Resend)
	}
	e.never()
}
