package sqlitestore

import (
	"context"
	"time"

	"paynotify/store"
)

// statsLanes is how many lanes are counted before the writer turns to somebody else.
const statsLanes = 256

// Stats counts from memory; see store.Store. What has become due since the last time is counted once, from
// the due index.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	var out store.Stats
	oldest := int64(never)
	for from, more := int64(1), true; more; from += statsLanes {
		err := s.do(ctx, func(w *writer) error {
			if from == 1 {
				out, oldest = w.totals(), never
			}
			more = w.highest >= from+statsLanes
			for num := from; num < from+statsLanes; num++ {
				if l := w.byNum[num]; l != nil {
					if err := w.addLane(&out, l, &oldest); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return store.Stats{}, err
		}
	}
	if oldest != never {
		out.OldestDue = time.UnixMicro(oldest).UTC()
	}
	return out, nil
}

// totals are the counts that do not depend on lanes.
func (w *writer) totals() store.Stats {
	out := store.Stats{
		States: make(map[store.State]int), PendingBySend: make(map[int]int), InFlight: len(w.claims.list),
	}
	for i, n := range w.counters.states {
		out.States[states[i]] = n
	}
	for send, n := range w.counters.sends {
		if n > 0 {
			out.PendingBySend[send] = n
		}
	}
	return out
}

// addLane adds what one lane contributes.
func (w *writer) addLane(out *store.Stats, l *lane, oldest *int64) error {
	shut := l.closed(w.now) || l.breaker.Open
	switch {
	case l.deleted:
	case l.pausedAt(w.now):
		out.Merchants.Paused++
	case l.breaker.Open && !l.blocked:
		out.Merchants.BreakerOpen++
	case l.failing, l.blocked:
		out.Merchants.Failing++
	default:
		out.Merchants.Active++
	}
	if w.sending.Paused || shut {
		out.Held += l.pending
		return nil
	}
	out.Held += l.held
	if err := w.mature(l); err != nil {
		return err
	}
	out.Due += l.overdue
	if l.earliest() <= w.now {
		if err := w.tighten(l); err != nil {
			return err
		}
		if at := l.earliest(); at <= w.now {
			*oldest = min(*oldest, at)
		}
	}
	return nil
}

// mature brings a lane's count of due ones up to now. Each notification is looked at once for each instant
// that it is planned for, however often somebody asks.
func (w *writer) mature(l *lane) error {
	if l.coming > w.now {
		l.mark = max(l.mark, w.now)
		return nil
	}
	if err := w.begin(); err != nil {
		return err
	}
	from := l.mark
	l.mark, l.coming = w.now, never
	for class, n := range l.waiting {
		if n == 0 {
			continue
		}
		const count = "SELECT count(*) FROM n WHERE mch = ? AND class = ? AND due > ? AND due <= ?"
		_, err := w.c.query(context.Background(), count, l.num, int64(class), from, w.now).
			one(func(r *rows) { l.overdue += int(r.int(0)) })
		if err != nil {
			return err
		}
		const first = "SELECT min(due) FROM n WHERE mch = ? AND class = ? AND due > ?"
		_, err = w.c.query(context.Background(), first, l.num, int64(class), w.now).one(func(r *rows) {
			if !r.null(0) {
				l.coming = min(l.coming, r.int(0))
			}
		})
		if err != nil {
			return err
		}
	}
	for _, c := range w.claims.list { // in the index until they are settled, and not waiting
		if c.l == l && l.waiting[c.r.class] > 0 && c.r.due > from && c.r.due <= w.now {
			l.overdue--
		}
	}
	return nil
}
