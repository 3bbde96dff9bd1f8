package redisstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"paynotify/store"
)

// Settle records attempts and applies their outcomes; see store.Store. Each is one step, all go at once.
func (s *Store) Settle(ctx context.Context, ss []store.Settlement) ([]string, error) {
	if s.shards() == 0 {
		return nil, s.notReady()
	}
	if len(ss) == 1 {
		ready, err := s.settle(ctx, &ss[0])
		if ready {
			return []string{ss[0].MchID}, err
		}
		return nil, err
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var ready []string
	var errs []error
	for i := range ss {
		all.Go(func() {
			is, err := s.settle(ctx, &ss[i])
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			if is && !slices.Contains(ready, ss[i].MchID) {
				ready = append(ready, ss[i].MchID)
			}
		})
	}
	all.Wait()
	return ready, errors.Join(errs...)
}

// settle applies one outcome. The record that the claim was made from is tried first: nearly always nobody
// has touched it since.
func (s *Store) settle(ctx context.Context, x *store.Settlement) (ready bool, err error) {
	shard := shardOf(x.MchID, s.shards())
	if x.Token == 0 {
		return false, nil // nobody's claim
	}
	r := s.live.take(x.NotifyID, x.Token)
	for range changeTries {
		if r == nil {
			if r, err = s.fetch(ctx, shard, x.NotifyID); err != nil && !errors.Is(err, errDamaged) {
				return false, err
			}
			if r == nil {
				return false, s.marked(ctx, shard) // gone, or never there
			}
		}
		e := &edit{r: r, was: placeOf(r)}
		if err := s.outcome(ctx, e, x); err != nil {
			if errors.Is(err, errUnchanged) {
				return false, nil
			}
			return false, err
		}
		var raw string
		ready, raw, err = s.swap(ctx, shard, e)
		if err != nil || raw == swapped {
			return ready, err
		}
		revision := r.revision
		if r = nil; raw != "" {
			if r, err = parseRecord(x.NotifyID, raw); r == nil {
				return false, err
			}
			r.revision = revision
		}
	}
	return false, store.ErrUnavailable
}

// outcome computes what a settlement makes of a record; errUnchanged when nothing.
func (s *Store) outcome(ctx context.Context, e *edit, x *store.Settlement) error {
	r, o := e.r, &x.Outcome
	if r.n.Shrunk {
		return errUnchanged
	}
	if r.token != x.Token {
		if !r.n.SettleLate(*o) {
			return errUnchanged
		}
		e.add(o.Attempt)
		e.how = howEnded(&o.Attempt)
		return nil
	}
	final := r.n.State.Final()
	r.n.Settle(*o)
	if !final && r.n.State.Final() {
		r.finalAt = o.Attempt.StartedAt.Add(o.Attempt.Duration)
	}
	e.release, e.wake = true, true
	if o.Stale != nil {
		e.add(*o.Stale)
	}
	e.add(o.Attempt)
	e.how = howEnded(&o.Attempt)
	if o.Hold && r.n.NotifyURL == "" {
		return s.hold(ctx, e)
	}
	return nil
}

// howEnded is what the lane learns from an attempt.
func howEnded(a *store.Attempt) string {
	switch {
	case a.Verdict == store.Interrupted:
		return ""
	case a.Verdict == store.Acked:
		return "a"
	case a.Failed():
		return "f"
	case a.Answered():
		return "r"
	}
	return "o"
}

// hold adds to an edit that the merchant is held, if it is still as it was when the claim was made.
func (s *Store) hold(ctx context.Context, e *edit) error {
	m, err := s.Merchant(ctx, e.r.n.MchID)
	switch {
	case errors.Is(err, store.ErrNoMerchant):
		return nil
	case err != nil:
		return err
	case m.Revision == e.r.revision:
		m.Blocked = true
		m.Revision++
		e.hold, err = packMerchant(&m)
		e.holdAt = e.r.revision
		s.cache.drop(m.MchID)
	}
	return err
}

// add appends an attempt. Its notification is settled already.
func (e *edit) add(a store.Attempt) {
	e.attempts = append(e.attempts, entry{Attempt: a, state: e.r.n.State, next: e.r.n.NextAt})
}

// interrupt records a claim whose lease ran out.
func (s *Store) interrupt(ctx context.Context, shard int, id, raw string) (bool, error) {
	r, err := parseRecord(id, raw)
	if r == nil || r.token == 0 {
		return false, err
	}
	token := r.token
	_, err = s.change(ctx, shard, id, func(e *edit) error {
		if e.r.token != token {
			return errUnchanged
		}
		c := e.r.given(0)
		o := c.Interrupt(s.Now(), "the claim's lease ran out before the attempt was settled")
		err := s.outcome(ctx, e, &store.Settlement{NotifyID: id, MchID: c.MchID, Token: token, Outcome: o})
		e.wake = false // the lane is named by the next look at it
		return err
	})
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	return err == nil, err
}

// Resend asks for one send on a person's behalf; see store.Store.
func (s *Store) Resend(
	ctx context.Context, id string, t store.Trigger, force bool,
) (store.Notification, error) {
	return s.ask(ctx, id, func(n *store.Notification) error {
		if _, err := s.Merchant(ctx, n.MchID); err != nil {
			return err
		}
		return n.AskResend(t, force, s.Now().Truncate(time.Microsecond))
	})
}

// Cancel takes a pending notification back; see store.Store.
func (s *Store) Cancel(ctx context.Context, id string) (store.Notification, error) {
	return s.ask(ctx, id, (*store.Notification).Cancel)
}

// ask applies a change that a person asked for. A claimed notification stays claimed.
func (s *Store) ask(
	ctx context.Context, id string, fn func(n *store.Notification) error,
) (store.Notification, error) {
	found, shard, err := s.load(ctx, id)
	if err != nil && !(errors.Is(err, errDamaged) && found != nil) {
		return store.Notification{}, err
	}
	r, err := s.change(ctx, shard, id, func(e *edit) error {
		final := e.r.n.State.Final()
		if err := fn(&e.r.n); err != nil {
			return err
		}
		if !final && e.r.n.State.Final() {
			e.r.finalAt = s.Now()
		}
		return nil
	})
	if err != nil {
		return store.Notification{}, err
	}
	return r.n, nil
}
