package notices

import (
	"context"
	"errors"
	"time"

	"paynotify/store"
)

// looks are the merchants to look at because an attempt of theirs failed: it may be why they are held now.
type looks map[string]look

type look struct {
	due  time.Time // zero = nothing has failed since the last one
	last time.Time
}

// want asks for a look at a merchant soon, and no more often than every lookEvery.
func (l looks) want(mchID string, now time.Time) {
	one := l[mchID]
	if !one.due.IsZero() || one.last.IsZero() && len(l) >= watchedMax {
		return
	}
	one.due = now.Add(lookAfter)
	if soonest := one.last.Add(lookEvery); one.due.Before(soonest) {
		one.due = soonest
	}
	l[mchID] = one
}

// take lists the merchants whose time has come.
func (l looks) take(now time.Time) (mchIDs []string) {
	for mchID, one := range l {
		switch {
		case one.due.IsZero():
			if now.Sub(one.last) >= lookEvery {
				delete(l, mchID)
			}
		case !now.Before(one.due):
			l[mchID] = look{last: now}
			mchIDs = append(mchIDs, mchID)
		}
	}
	return mchIDs
}

// tellHolds looks at the merchants that may be held, and tells what it finds.
//
// What is found is durable before it is told, with the instant that its key has; that it was told is durable
// after it was. So a crash between them repeats the telling, under the same key.
func (f *Follower) tellHolds(ctx context.Context) error {
	now := f.Store.Now()
	if err := f.lookAtSome(ctx, now); err != nil {
		return err
	}
	if err := f.sweep(ctx, now); err != nil {
		return err
	}
	if err := f.holds.save(ctx); err != nil {
		return err
	}
	mchIDs := f.holds.untold(now)
	if len(mchIDs) == 0 {
		return nil
	}
	var events []event
	var found []Notice
	for _, mchID := range mchIDs {
		h := *f.holds.known[mchID]
		if f.Callback && !store.Reserved(mchID) {
			events = append(events, heldEvent(mchID, h))
		}
		found = append(found, heldNotice(mchID, h, now))
	}
	ns, err := f.notifications(append(events, f.notices(found, now)...))
	if err == nil {
		err = f.tell(ctx, ns)
	}
	if err != nil {
		return err
	}
	f.holds.told(mchIDs, now)
	return f.holds.save(ctx)
}

// lookAtSome looks at merchants whose attempts failed.
func (f *Follower) lookAtSome(ctx context.Context, now time.Time) error {
	f.mu.Lock()
	mchIDs := f.looks.take(now)
	f.mu.Unlock()
	for _, mchID := range mchIDs {
		m, err := f.Store.Merchant(ctx, mchID)
		switch {
		case errors.Is(err, store.ErrNoMerchant):
			f.holds.gone(mchID)
		case err != nil:
			return err // the sweep looks at those that are left
		default:
			f.holds.look(&m, now)
		}
	}
	return nil
}

// sweep looks at a page of all merchants, and begins anew some time after it began: a person's pause and a
// lane that is well again make no attempts.
func (f *Follower) sweep(ctx context.Context, now time.Time) error {
	if f.cursor == "" {
		every := sweepEvery
		if f.few {
			every = sweepFew
		}
		if now.Sub(f.swept) < every {
			return nil
		}
		f.swept = now
		f.holds.forget(now)
		f.unseen = map[string]bool{}
		for mchID := range f.holds.known {
			f.unseen[mchID] = true
		}
	}
	page, next, err := f.Store.Merchants(ctx, f.cursor, sweepPage)
	if err != nil {
		return err
	}
	f.few = f.cursor == "" && next == ""
	f.cursor = next
	for i := range page {
		delete(f.unseen, page[i].MchID)
		f.holds.look(&page[i], now)
	}
	if f.cursor == "" {
		for mchID := range f.unseen {
			f.holds.gone(mchID)
		}
	}
	return nil
}

// See shows an attempt to a Follower that follows no feed; the dispatcher calls it for each that it
// settles. It is quick. Notices of it are written to the log by Run.
func (f *Follower) See(s *store.Settled) { f.watchOne(s, f.Store.Now()) }

// watch writes to the log what See has seen, and which of the merchants that fail are held. Every process
// does so for what it sends itself, and remembers in memory what it has said.
func (f *Follower) watch(ctx context.Context) {
	for f.sleep(ctx, followEvery) {
		f.glance(ctx)
	}
}

// glance is one look of watch. A store that does not answer says so elsewhere.
func (f *Follower) glance(ctx context.Context) {
	now := f.Store.Now()
	f.mu.Lock()
	found := f.take(now)
	for mchID := range f.holds.known {
		f.looks.want(mchID, now)
	}
	f.mu.Unlock()
	f.notices(found, now)
	if f.lookAtSome(ctx, now) != nil {
		return
	}
	held := f.holds.untold(now)
	for _, mchID := range held {
		f.notices([]Notice{heldNotice(mchID, *f.holds.known[mchID], now)}, now)
	}
	f.holds.told(held, now)
	f.holds.forget(now)
}
