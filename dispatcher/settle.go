package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"paynotify/store"
)

const (
	settleRetryMin = 50 * time.Millisecond
	settleRetryMax = time.Second
)

// isolated keeps a panic inside the notification that caused it.
func (d *Dispatcher) isolated(h *held) (o store.Outcome) {
	defer func() {
		if p := recover(); p != nil {
			d.Log.Error("panic in an attempt", "notify_id", h.NotifyID, "panic", p, "stack", string(debug.Stack()))
			o = d.internal(h, fmt.Errorf("panic: %v", p))
		}
	}()
	return d.Deliver(d.interrupt, h)
}

// settle writes an outcome down, however long the store is away: an outcome in hand is never dropped while
// the process lives. Until it is written nothing else is claimed or dialled. It reports whether it was.
func (d *Dispatcher) settle(h *held, o store.Outcome) bool {
	ctx := context.WithoutCancel(d.interrupt)
	one := []store.Settlement{{NotifyID: h.NotifyID, MchID: h.MchID, Token: h.Token, Outcome: o}}
	ready, err := d.Store.Settle(ctx, one)
	if err == nil {
		d.runAll(ready)
		return true
	}
	d.gate.shut(h.MchID)
	d.Log.Error("outcome cannot be recorded, sending stops until it is", "notify_id", h.NotifyID, "err", err)
	for wait := settleRetryMin; err != nil; wait = min(2*wait, settleRetryMax) {
		select {
		case <-d.interrupt.Done():
			return false // the next start finds the claim and records it as interrupted
		case <-time.After(wait):
		}
		ready, err = d.Store.Settle(ctx, one)
	}
	d.runAll(ready)
	if open, lanes := d.gate.settled(h.MchID); open {
		d.Log.Info("outcomes are recorded again, sending goes on")
		d.runAll(lanes)
		d.Nudge()
	}
	return true
}

func (d *Dispatcher) runAll(lanes []string) {
	for _, lane := range lanes {
		d.again(lane)
	}
}

// report tells metrics and log about a settled attempt.
func (d *Dispatcher) report(h *held, o store.Outcome) {
	n := h.AttemptCount + 1
	if o.Stale != nil {
		d.metrics.attempt(h, o.Stale)
		d.trace(h, o.Stale, n)
		d.logAttempt(h, o.Stale, n, o)
		n++
	}
	d.metrics.attempt(h, &o.Attempt)
	d.metrics.outcome(h, o)
	d.trace(h, &o.Attempt, n)
	if d.Settled != nil {
		after := h.Notification
		after.Settle(o)
		d.Settled(&store.Settled{
			Attempt: o.Attempt, NotifyID: h.NotifyID, MchID: h.MchID, OutTradeNo: h.OutTradeNo,
			NotifyType: h.NotifyType, State: after.State, NextAt: after.NextAt, Sends: h.Sends(),
		})
	}
	d.logAttempt(h, &o.Attempt, n, o)
}

// trace tells who traces about attempt n.
func (d *Dispatcher) trace(h *held, a *store.Attempt, n int) {
	if d.Traced == nil {
		return
	}
	numbered := *a // the store numbers its own copy
	numbered.N = n
	d.Traced(&h.Notification, &numbered)
}

// logAttempt writes one line an attempt: failed ones at info, acked ones at debug.
func (d *Dispatcher) logAttempt(h *held, a *store.Attempt, n int, o store.Outcome) {
	level := slog.LevelInfo
	switch a.Verdict {
	case store.Acked:
		level = slog.LevelDebug
	case store.InternalError:
		level = slog.LevelError
	}
	ctx := context.Background()
	if !d.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("notify_id", h.NotifyID), slog.String("mch_id", h.MchID), slog.String("profile", h.Profile),
		slog.Int("n", n), slog.String("verdict", string(a.Verdict)),
		slog.String("reason", string(a.Reason)), slog.Int("status", a.Status), slog.Duration("took", a.Duration),
	}
	if !o.NextAt.IsZero() {
		attrs = append(attrs, slog.Time("next_at", o.NextAt))
	}
	if a.Detail != "" {
		attrs = append(attrs, slog.String("detail", a.Detail))
	}
	d.Log.LogAttrs(ctx, level, "attempt", attrs...)
}
