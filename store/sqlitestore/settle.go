package sqlitestore

import (
	"context"
	"errors"
	"time"

	"paynotify/store"
)

type settleOp struct {
	task
	ss    []store.Settlement
	ready []string
}

// Settle records attempts, applies their outcomes and names the lanes that this gave work; see store.Store.
// It goes on working on a full disk as long as the reserve lasts.
func (s *Store) Settle(ctx context.Context, ss []store.Settlement) ([]string, error) {
	o := &settleOp{ss: ss}
	if err := s.submit(ctx, o); err != nil {
		return nil, err
	}
	return o.ready, nil
}

func (o *settleOp) run(w *writer) error {
	o.ready = nil
	for i := range o.ss {
		if err := w.settle(&o.ss[i]); err != nil {
			return err
		}
	}
	for i := range o.ss {
		l := w.lanes[o.ss[i].MchID]
		if l == nil || w.wakeAt(l) > w.now {
			continue
		}
		if err := w.tighten(l); err != nil {
			return err
		}
		if w.rouse(l) {
			o.ready = append(o.ready, l.id)
		}
	}
	return nil
}

// settle applies one outcome, fenced by its claim.
func (w *writer) settle(s *store.Settlement) error {
	at, _, err := store.ParseID(s.NotifyID)
	if err != nil {
		return nil //nolint:nilerr // never given out, so never claimed
	}
	id, err := w.locate(s.NotifyID, at.UnixMicro())
	if err != nil {
		return err
	}
	c := w.claims.of(id)
	if c == nil || c.Token != s.Token || c.NotifyID != s.NotifyID {
		return w.settleLate(s, id)
	}
	w.release(c)
	if err := w.apply(c.r, c.l, s.Outcome); err != nil {
		return err
	}
	if s.Outcome.Hold && c.r.n.NotifyURL == "" && c.MerchantRevision == c.l.revision {
		if err := w.holdMerchant(c.l); err != nil {
			return err
		}
	}
	w.touch(c.l)
	return nil
}

// apply settles an outcome on its notification, which is no longer claimed, and records its attempts.
func (w *writer) apply(r *row, l *lane, o store.Outcome) error {
	if r.n.Shrunk {
		return nil
	}
	w.count(r, l, -1)
	final := r.n.State.Final()
	r.n.Settle(o)
	if !final && r.n.State.Final() {
		r.finalAt = w.time()
	}
	w.count(r, l, +1)
	if o.Attempt.Verdict != store.Interrupted {
		l.failing = o.Attempt.Verdict != store.Acked
	}
	w.judge(l, r, &o.Attempt)
	last := r.n.AttemptCount
	if o.Stale != nil {
		if err := w.record(r, o.Stale, last-1); err != nil {
			return err
		}
	}
	if err := w.record(r, &o.Attempt, last); err != nil {
		return err
	}
	return w.update(r)
}

// record appends one attempt to the timeline.
func (w *writer) record(r *row, a *store.Attempt, n int) error {
	if err := w.begin(); err != nil {
		return err
	}
	rec := record{Attempt: *a, prev: r.lastSeq, state: r.n.State, next: r.n.NextAt}
	return w.append(r, &rec, n)
}

func (w *writer) append(r *row, rec *record, n int) error {
	rec.N = n
	if len(rec.Reply) > store.ReplyBytesKept {
		rec.Reply = rec.Reply[:store.ReplyBytesKept]
	}
	w.lastSeq++
	r.lastSeq = w.lastSeq
	w.buf = rec.pack(w.buf, r.id, w.words)
	return w.st.insertAttempt.do(w.lastSeq, r.id, w.buf)
}

// settleLate applies an outcome whose claim was lost: only an acknowledgement counts.
func (w *writer) settleLate(s *store.Settlement, id int64) error {
	if s.Outcome.Attempt.Verdict != store.Acked {
		return nil
	}
	live := w.claims.of(id)
	var r *row
	if live != nil {
		r = live.r
	} else {
		var err error
		if r, err = w.loadWhole(id); err != nil || r == nil {
			return err
		}
	}
	if r.n.NotifyID != s.NotifyID {
		return nil
	}
	l := w.byNum[r.mch]
	w.count(r, l, -1)
	counts := r.n.SettleLate(s.Outcome)
	w.count(r, l, +1)
	if !counts {
		return nil
	}
	w.judge(l, r, &s.Outcome.Attempt)
	if err := w.record(r, &s.Outcome.Attempt, r.n.AttemptCount); err != nil {
		return err
	}
	w.touch(l)
	return w.update(r)
}

// loadWhole reads a notification with its body. Damage to either is forgiven: an acknowledgement, a cancel
// or a resend of a damaged record is still what it is, and a claim verifies it.
func (w *writer) loadWhole(id int64) (*row, error) {
	r, err := w.loadVerified(id)
	if err != nil && !errors.Is(err, errDamaged) {
		return nil, err
	}
	return r, nil
}

// sweep turns claims whose lease ran out into interrupted attempts.
func (w *writer) sweep() (int, error) {
	lost := w.claims.expired(w.now)
	return len(lost), w.interrupt(lost, "the claim's lease ran out before the attempt was settled")
}

func (w *writer) interrupt(lost []*claim, detail string) error {
	for _, c := range lost {
		w.release(c)
		if err := w.apply(c.r, c.l, c.Interrupt(w.time(), detail)); err != nil {
			return err
		}
		w.touch(c.l)
	}
	return nil
}

// recover records the claims of a dead process as interrupted attempts: it held the lock that we hold now.
func (w *writer) recover() error {
	w.tick()
	dead := w.dead
	w.dead = nil
	for i := range dead {
		d := &dead[i]
		r, err := w.loadRow(d.id)
		switch {
		case errors.Is(err, errDamaged), err == nil && r == nil:
			continue // left to the next claim's checks
		case err != nil:
			return err
		}
		l := w.byNum[r.mch]
		if l == nil {
			continue
		}
		c := store.Claim{
			Notification: r.n, Send: d.send, Trigger: d.trigger,
			ScheduledAt: d.scheduled, ClaimedAt: d.claimed,
		}
		r.n.InFlight = r.due == 0 // a row outside the due index was not counted as waiting
		w.count(r, l, -1)
		r.n.InFlight = true
		w.count(r, l, +1)
		out := c.Interrupt(w.time(), "the process ended before the attempt was settled")
		if err := w.apply(r, l, out); err != nil {
			return err
		}
		w.touch(l)
	}
	if len(dead) > 0 {
		w.s.log.Info("claims of the last process released", "claims", len(dead))
	}
	w.dirty = true
	return w.commit()
}

// Resend asks for one send on a person's behalf; see store.Store.
func (s *Store) Resend(
	ctx context.Context, id string, t store.Trigger, force bool,
) (store.Notification, error) {
	return s.change(ctx, id, func(n *store.Notification, l *lane, now time.Time) error {
		if l.deleted {
			return store.ErrNoMerchant
		}
		return n.AskResend(t, force, now)
	})
}

// Cancel takes a pending notification back; see store.Store.
func (s *Store) Cancel(ctx context.Context, id string) (store.Notification, error) {
	return s.change(ctx, id, func(n *store.Notification, _ *lane, _ time.Time) error { return n.Cancel() })
}

// change applies a change that a person asked for. A claimed notification stays claimed.
func (s *Store) change(
	ctx context.Context, id string, fn func(n *store.Notification, l *lane, now time.Time) error,
) (store.Notification, error) {
	var out store.Notification
	at, _, err := store.ParseID(id)
	if err != nil {
		return out, store.ErrNotFound
	}
	err = s.do(ctx, func(w *writer) error {
		key, err := w.locate(id, at.UnixMicro())
		if err != nil {
			return err
		}
		var r *row
		if c := w.claims.of(key); c != nil {
			r = c.r
		} else if r, err = w.loadWhole(key); err != nil {
			return err
		}
		if r == nil || r.n.NotifyID != id {
			return refuse(store.ErrNotFound)
		}
		changed, l := r.n, w.byNum[r.mch]
		if err := fn(&changed, l, w.time()); err != nil {
			return refuse(err)
		}
		w.count(r, l, -1)
		if !r.n.State.Final() && changed.State.Final() {
			r.finalAt = w.time()
		}
		r.n = changed
		w.count(r, l, +1)
		w.touch(l)
		out = changed
		return w.update(r)
	})
	if err != nil {
		return store.Notification{}, err
	}
	return out, nil
}
