package sqlitestore

import (
	"sync"

	"paynotify/store"
)

// claim is a live claim: what was given out, and the notification as it stands.
type claim struct {
	store.Claim // as given out; its Notification is the one of that instant

	r     *row
	l     *lane
	lease int64 // microsecond of its end
	at    int   // in claims.list
}

// claims are all claims that are out: at most as many as there are workers. The writer changes them, readers
// ask whether a notification is in flight.
type claims struct {
	mu     sync.RWMutex
	byID   map[int64]*claim
	list   []*claim
	bound  int64 // no lease ends before it
	bounds bool  // bound is known
}

func newClaims() *claims { return &claims{byID: make(map[int64]*claim)} }

func (cs *claims) add(c *claim) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.at = len(cs.list)
	cs.list = append(cs.list, c)
	cs.byID[c.r.id] = c
	if cs.bounds {
		cs.bound = min(cs.bound, c.lease)
	}
}

func (cs *claims) remove(c *claim) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	last := len(cs.list) - 1
	cs.list[c.at] = cs.list[last]
	cs.list[c.at].at = c.at
	cs.list[last] = nil
	cs.list = cs.list[:last]
	delete(cs.byID, c.r.id)
}

// of is the live claim of a notification, nil without one. For the writer.
func (cs *claims) of(id int64) *claim { return cs.byID[id] }

// inFlight is for everybody else.
func (cs *claims) inFlight(id int64) bool {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	return cs.byID[id] != nil
}

// ids lists what is in flight, for everybody.
func (cs *claims) ids() []int64 {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	ids := make([]int64, len(cs.list))
	for i, c := range cs.list {
		ids[i] = c.r.id
	}
	return ids
}

// firstLease is no later than the first end of a lease, never without claims.
func (cs *claims) firstLease() int64 {
	if len(cs.list) == 0 {
		cs.bounds = false
		return never
	}
	if !cs.bounds {
		cs.bound = never
		for _, c := range cs.list {
			cs.bound = min(cs.bound, c.lease)
		}
		cs.bounds = true
	}
	return cs.bound
}

// expired lists the claims whose lease has run out.
func (cs *claims) expired(now int64) (out []*claim) {
	if cs.firstLease() > now {
		return nil
	}
	for _, c := range cs.list {
		if c.lease <= now {
			out = append(out, c)
		}
	}
	cs.bounds = false
	return out
}

// claim takes a due notification for one attempt. The row is not written: that it is claimed stands in the
// live row, which the commit writes; what the due index says of it is skipped.
func (w *writer) claim(l *lane, r *row, lease int64) *claim {
	w.token++
	w.count(r, l, -1)
	given := r.n.Claimed(w.token, l.revision, w.time(), usToDuration(lease))
	w.count(r, l, +1)
	c := &claim{Claim: given, r: r, l: l, lease: w.now + lease}
	l.inflight++
	l.spend()
	w.claims.add(c)
	w.journal = append(w.journal, journaled{c, true})
	w.dirty = true
	return c
}

// release ends a claim; its place in the lane is free.
func (w *writer) release(c *claim) {
	w.claims.remove(c)
	w.journal = append(w.journal, journaled{c, false})
	c.l.inflight--
	w.dirty = true
}

// count adds (d = 1) or takes away (d = -1) what a notification contributes to counters and to its lane. It
// is called before and after every change.
func (w *writer) count(r *row, l *lane, d int) {
	n := &r.n
	w.counters.states[number(states, n.State)] += d
	if n.State == store.Pending {
		w.counters.sends.add(n.Send(), d)
		l.pending += d
		if n.Blocked {
			l.held += d
		}
	}
	w.dirty = true
	at, class := n.Due()
	if at.IsZero() {
		return
	}
	l.waiting[class] += d
	due := (at.UnixNano() + 999) / 1000
	if due <= l.mark {
		l.overdue += d
	} else if d > 0 {
		l.coming = min(l.coming, due)
	}
	switch {
	case d > 0 && (l.waiting[class] == 1 || due < l.next[class]):
		l.next[class] = due
		l.loose[class] = l.loose[class] && l.waiting[class] > 1
	case d < 0 && due == l.next[class]:
		l.loose[class] = l.waiting[class] > 0
	}
}
