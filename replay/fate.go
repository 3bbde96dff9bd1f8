package replay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"paynotify/store"
)

const (
	atOnce = 16 // calls to the store: they share its commits
	// lookMax is how many of a lane are looked at in a step. A lane sends in the order in which it was asked, so
	// that those behind have to wait when these do.
	lookMax = 32
	// looksMax is how many are looked at in a step over all lanes: a window that waits must not keep the store
	// busy. The next step looks at the next ones.
	looksMax = 250
	// freshFor is how long what a record said is believed before a send is asked for.
	freshFor = time.Second
	// leaseLeft is what must be left of a lease to ask for sends.
	leaseLeft = stepMax + time.Second
)

// fate is what became of a notification.
type fate int

const (
	waits   fate = iota // its turn has not come
	owed                // asked for, and not sent
	sent                // and not acknowledged
	spent               // sent, and acknowledged
	held                // asked for: goes out when its lane opens
	skipped             // there is nothing to send
)

// fateOf tells what became of a notification that was read from the list with so many attempts.
func fateOf(o *Outstanding, n *store.Notification, attempts []store.Attempt, from store.State) fate {
	made := n.Shrunk && n.AttemptCount > o.Attempts
	for i := range attempts {
		made = made || attempts[i].N > o.Attempts && attempts[i].Trigger.Manual()
	}
	switch {
	case n.Resend != "":
		return owed
	case made && n.State == store.Spent:
		return spent
	case made:
		return sent
	case o.Asked, n.State == store.Spent, n.Shrunk:
		return skipped // of those that were asked: it was taken back, or damaged
	case n.State != from && (n.State == store.Canceled || n.State == store.Quarantined):
		return skipped
	}
	return waits
}

// lane is what a replay must know of a merchant.
type lane struct {
	held  bool // nothing is sent, or only probes: what is asked for waits there
	gone  bool
	share int // sends that may be owed at once
}

// laneOf tells about a merchant, once in a step.
func (w *worker) laneOf(ctx context.Context, mchID string) (lane, error) {
	if l, known := w.lanes[mchID]; known {
		return l, nil
	}
	m, err := w.Store.Merchant(ctx, mchID)
	var l lane
	switch {
	case errors.Is(err, store.ErrNoMerchant):
		l.gone = true
	case err != nil:
		return l, err
	default:
		// As many as it sends at once: a person's sends go first in a lane, and new notifications must not wait
		// behind a thousand old ones.
		l.held, l.share = m.HeldReason(w.Store.Now()) != "", m.MaxInflight
		if l.share == 0 {
			l.share = w.InflightDefault
		}
	}
	w.lanes[mchID] = l
	return l, nil
}

// each calls do for 0 to n-1, some at once, and answers the errors.
func each(n int, do func(i int) error) error {
	errs := make([]error, n)
	var calls sync.WaitGroup
	for first := range min(n, atOnce) {
		calls.Go(func() {
			for i := first; i < n; i += atOnce {
				errs[i] = do(i)
			}
		})
	}
	calls.Wait()
	return errors.Join(errs...)
}

// learn reads the records of some in the window and tells what became of each.
func (w *worker) learn(ctx context.Context, which []int) ([]fate, error) {
	fates, inFlight := make([]fate, len(which)), make([]bool, len(which))
	err := each(len(which), func(i int) error {
		o := &w.job.Window[which[i]]
		n, attempts, err := w.Store.Get(ctx, o.ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			fates[i] = skipped
		case err != nil:
			fates[i] = waits
			if o.Asked {
				fates[i] = owed
			}
			return err
		default:
			fates[i], inFlight[i] = fateOf(o, &n, attempts, w.job.State), n.InFlight
			o.lane, o.looked = n.MchID, time.Now()
		}
		return nil
	})
	for i := range fates {
		if fates[i] != owed || inFlight[i] || w.job.Window[which[i]].lane == "" {
			continue
		}
		l, laneErr := w.laneOf(ctx, w.job.Window[which[i]].lane)
		err = errors.Join(err, laneErr)
		switch {
		case l.gone:
			fates[i] = skipped
		case l.held:
			fates[i] = held
		}
	}
	return fates, err
}

// apply counts fates, and takes out of the window those that have an end. It reports whether there was
// something to count.
func (w *worker) apply(which []int, fates []fate) (moved bool) {
	over := map[int]bool{}
	for i, f := range fates {
		o := &w.job.Window[which[i]]
		if f == waits || f == owed && o.Asked {
			continue
		}
		moved, w.dirty = true, true
		if f != skipped && !o.Asked {
			o.Asked = true
			w.job.Asked++
		}
		switch f {
		case skipped:
			w.job.Skipped++
		case held:
			w.job.Held++
		case spent:
			w.job.Spent++
			w.job.Sent++
		case sent:
			w.job.Sent++
		}
		over[which[i]] = f != owed
	}
	if !moved {
		return false
	}
	left := make([]Outstanding, 0, len(w.job.Window))
	for i := range w.job.Window {
		if !over[i] {
			left = append(left, w.job.Window[i])
		}
	}
	w.job.Window = left
	return true
}

// look finds out what became of those that were asked for. It reports whether something did.
func (w *worker) look(ctx context.Context) (moved bool, err error) {
	var which []int
	looks, n := map[string]int{}, len(w.job.Window)
	for k := 0; k < n && len(which) < looksMax; k++ {
		i := (w.turn + k) % n
		o := &w.job.Window[i]
		if !o.Asked {
			continue
		}
		if o.lane != "" {
			l, err := w.laneOf(ctx, o.lane)
			if err != nil {
				return false, err
			}
			if looks[o.lane]++; looks[o.lane] > lookMax && !l.held {
				continue
			}
		}
		which = append(which, i)
	}
	w.turn = 0
	if len(which) == looksMax {
		w.turn = which[looksMax-1] + 1
	}
	fates, err := w.learn(ctx, which)
	return w.apply(which, fates), err
}

// drop takes out of the window of a canceled replay what was not asked for.
func (w *worker) drop(ctx context.Context) error {
	var which []int
	for i := range w.job.Window {
		if !w.job.Window[i].Asked {
			which = append(which, i)
		}
	}
	if len(which) == 0 {
		return nil
	}
	fates, err := w.learn(ctx, which)
	w.apply(which, fates)
	if err != nil {
		return err
	}
	w.job.Window = slices.DeleteFunc(w.job.Window, func(o Outstanding) bool { return !o.Asked })
	w.dirty = true
	return nil
}

// ask asks for the sends whose turn has come: as many as the rate and the lanes allow. It reports whether
// there was one.
func (w *worker) ask(ctx context.Context) (moved bool, err error) {
	if moved, err = w.relearn(ctx, w.strange()); err != nil {
		return moved, err
	}
	chosen, err := w.choose(ctx)
	if err != nil || len(chosen) == 0 {
		return moved, err
	}
	stale := slices.DeleteFunc(slices.Clone(chosen), func(i int) bool {
		return time.Since(w.job.Window[i].looked) < freshFor
	})
	if len(stale) > 0 { // then they are chosen again
		_, err := w.relearn(ctx, stale)
		return true, err
	}
	if !w.Sole && w.job.Until.Sub(w.Store.Now()) < leaseLeft {
		if err := w.save(ctx); err != nil {
			return moved, err
		}
	}
	if w.tokens != nil {
		w.tokens.AllowN(time.Now(), len(chosen))
	}
	fates := make([]fate, len(chosen))
	err = each(len(chosen), func(i int) error {
		o := &w.job.Window[chosen[i]]
		_, err := w.Store.Resend(ctx, o.ID, store.Replay, false)
		switch {
		case err == nil:
			fates[i] = owed
		case errors.Is(err, store.ErrAlreadySpent), errors.Is(err, store.ErrShrunk):
			o.looked = time.Time{} // perhaps by what a process before this one asked for: its record says so
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrNoMerchant):
			fates[i] = skipped
		default:
			o.looked = time.Time{} // perhaps it was asked for: its record says so
			return err
		}
		return nil
	})
	w.apply(chosen, fates)
	w.Nudge()
	return true, err
}

// strange are those of which this process knows nothing yet: perhaps they were asked for by another.
func (w *worker) strange() (which []int) {
	for i := range w.job.Window {
		if o := &w.job.Window[i]; !o.Asked && o.lane == "" {
			which = append(which, i)
		}
	}
	return which
}

// relearn reads records again before anything is asked for.
func (w *worker) relearn(ctx context.Context, which []int) (moved bool, err error) {
	fates, err := w.learn(ctx, which)
	return w.apply(which, fates), err
}

// choose picks those whose turn has come, in the order of the list. A lane that has its share is passed over;
// one that is held takes all, for they wait there.
func (w *worker) choose(ctx context.Context) (which []int, err error) {
	tokens := WindowMax
	if w.tokens != nil {
		tokens = int(w.tokens.TokensAt(time.Now()))
	}
	owing := map[string]int{}
	for i := range w.job.Window {
		if o := &w.job.Window[i]; o.Asked {
			owing[o.lane]++
		}
	}
	for i := range w.job.Window {
		o := &w.job.Window[i]
		if len(which) >= tokens {
			break
		}
		if o.Asked {
			continue
		}
		l, err := w.laneOf(ctx, o.lane)
		if err != nil {
			return nil, err
		}
		if l.held || l.gone || owing[o.lane] < l.share {
			owing[o.lane]++
			which = append(which, i)
		}
	}
	return which, nil
}
