package sqlitestore

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"paynotify/store"
)

// judge lets the lane's breaker learn from an attempt.
func (w *writer) judge(l *lane, r *row, a *store.Attempt) {
	if a.Verdict == store.Acked && l.breaker.Calm() {
		return // nearly always
	}
	open := l.breaker.Open
	l.breaker.Judge(breakerName(r.id), a, w.now)
	if l.breaker.Open != open {
		w.s.breakers.set(l)
	}
}

// closeBreaker forgets what the lane has failed.
func (w *writer) closeBreaker(l *lane) {
	l.breaker = store.Breaker{}
	w.s.breakers.set(l)
}

// breakers tells everybody which lanes' breakers are open. The writer sets them.
type breakers struct {
	count atomic.Int64
	open  sync.Map // by mch_id
}

func (b *breakers) set(l *lane) {
	if !l.breaker.Open {
		if _, was := b.open.LoadAndDelete(l.id); was {
			b.count.Add(-1)
		}
		return
	}
	if _, was := b.open.LoadOrStore(l.id, true); !was {
		b.count.Add(1)
	}
}

// show tells a merchant that was read whether its breaker is open.
func (b *breakers) show(m *store.Merchant) {
	m.BreakerOpen = false
	if b.count.Load() > 0 {
		_, m.BreakerOpen = b.open.Load(m.MchID)
	}
}

// breakerName is how the breaker knows a notification.
func breakerName(id int64) string { return strconv.FormatInt(id, 36) }

// place is a candidate's place in the picker.
type place struct {
	class store.Class
	at    int // in ids
}

// pickTight is pick for a lane that is held back: it names the next that may go, the first of a class or a
// probe. What was held back too long goes under the lane's full cap. Nothing may go when it is not ok.
func (p *picker) pickTight(want int) (c candidate, class store.Class, ok bool, err error) {
	due, err := p.dueNow(want)
	if err != nil || len(due) == 0 {
		return c, class, false, err
	}
	b, now := &p.l.breaker, p.w.now
	var chosen int
	if b.May(p.l.inflight, p.w.limit(p.l), now) {
		names := make([]string, len(due))
		for i, d := range due {
			names[i] = breakerName(p.ids[d.class][d.at].id)
		}
		chosen = b.Probe(names)
	} else {
		chosen = slices.IndexFunc(due, func(d place) bool { return b.Released(p.ids[d.class][d.at].due) <= now })
		if chosen < 0 {
			return c, class, false, nil
		}
	}
	at := due[chosen]
	c = p.ids[at.class][at.at]
	p.ids[at.class] = slices.Delete(slices.Clone(p.ids[at.class]), at.at, at.at+1)
	p.learn(at.class)
	return c, at.class, true, nil
}

// dueNow are the places of what is due, as far as it is looked at, in lane order.
func (p *picker) dueNow(want int) (due []place, err error) {
	first, _ := p.class()
	for i := -1; i < store.Classes; i++ {
		class := store.Class(i)
		if i < 0 {
			class = first
		} else if class == first {
			continue
		}
		if !p.mayHave(class) {
			continue
		}
		if err := p.look(class, want+store.BreakerFailures); err != nil {
			return nil, err
		}
		p.learn(class)
		for at, c := range p.ids[class] {
			if c.due <= p.w.now {
				due = append(due, place{class, at})
			}
		}
	}
	return due, nil
}
