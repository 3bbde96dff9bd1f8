package sqlitestore

import (
	"context"
	"errors"
	"time"

	"paynotify/store"
)

const retryEvery = 4 // at least one claim in so many goes to the oldest due retry

func usToDuration(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

type claimOp struct {
	task
	lane  string
	max   int
	lease int64
	out   store.Claims
}

// Claim gives out due notifications of a lane; see store.Store. On a full disk it fails with ErrFull.
func (s *Store) Claim(ctx context.Context, lane string, most int, lease time.Duration) (store.Claims, error) {
	o := &claimOp{lane: lane, max: most, lease: lease.Microseconds()}
	if err := s.submit(ctx, o); err != nil {
		return store.Claims{}, err
	}
	return o.out, nil
}

func (o *claimOp) run(w *writer) error {
	o.out = store.Claims{}
	l := w.lanes[o.lane]
	switch {
	case w.full:
		return refuse(store.ErrFull)
	case l == nil || l.deleted:
		return nil
	case w.sending.Paused || l.closed(w.now):
		o.out.Lane = store.LaneHeld
		w.sleep(l)
		o.out.Next = instant(w.wakeAt(l))
		return nil
	}
	if err := o.take(w, l); err != nil {
		return err
	}
	if o.out.Lane == store.LaneMore {
		l.awake = w.now + store.AwakeLeaseMax.Microseconds()
	} else {
		l.awake = 0
		o.out.Next = instant(w.wakeAt(l))
	}
	w.touch(l)
	return nil
}

// take claims in lane order until something stops it, and says what.
func (o *claimOp) take(w *writer, l *lane) error {
	p := picker{w: w, l: l}
	for {
		class, ok := p.class()
		switch {
		case !ok:
			o.out.Lane = store.LaneIdle
			l.breaker.Rest()
			return nil
		case l.inflight >= w.limit(l):
			o.out.Lane = store.LaneCapped
			return nil
		case l.free(w.now) < 1:
			o.out.Lane = store.LaneRated
			return nil
		case len(o.out.Items) >= o.max:
			o.out.Lane = store.LaneMore
			return nil
		}
		var c candidate
		var err error
		if l.breaker.Tight() {
			c, class, ok, err = p.pickTight(o.max - len(o.out.Items))
		} else {
			c, ok, err = p.pick(class, o.max-len(o.out.Items))
		}
		if err != nil {
			return err
		}
		if !ok {
			if _, due := p.class(); due && l.breaker.Tight() {
				o.out.Lane = store.LaneTight
				return nil
			}
			continue // nothing of that class is due after all; the lane knows now
		}
		if err := o.claimOne(w, l, c, class); err != nil {
			return err
		}
	}
}

// claimOne reads one candidate, verifies it, and claims it.
func (o *claimOp) claimOne(w *writer, l *lane, c candidate, class store.Class) error {
	if w.claims.of(c.id) != nil {
		return nil // named twice by a damaged index
	}
	r, err := w.loadVerified(c.id)
	switch {
	case errors.Is(err, errDamaged):
		o.out.Quarantined = append(o.out.Quarantined, r.n.NotifyID)
		return w.quarantine(l, r, c, class)
	case err != nil:
		return err
	case r == nil || r.due != c.due || r.class != class || r.mch != l.num:
		w.ghost(l, c, class)
		return nil
	}
	if class == store.ClassRetry {
		l.turn = 0
	} else {
		l.turn++
	}
	o.out.Items = append(o.out.Items, w.claim(l, r, o.lease).Claim)
	return nil
}

// picker names the candidates of a lane in lane order. It reads each class of the due index at most once per
// chunk, and leaves in the lane what it learns about when the next one is due.
type picker struct {
	w    *writer
	l    *lane
	ids  [store.Classes][]candidate
	read [store.Classes]bool // ids is what the index says, in order
	end  [store.Classes]bool // and there is nothing behind them
}

type candidate struct{ id, due int64 }

// class is the class whose turn it is, among those that may have something due.
func (p *picker) class() (store.Class, bool) {
	if p.l.turn >= retryEvery-1 && p.mayHave(store.ClassRetry) {
		return store.ClassRetry, true
	}
	for c := range store.Class(store.Classes) {
		if p.mayHave(c) {
			return c, true
		}
	}
	return 0, false
}

func (p *picker) mayHave(c store.Class) bool { return p.l.waiting[c] > 0 && p.l.next[c] <= p.w.now }

// pick takes the oldest due candidate of a class. Whatever it finds, the lane knows afterwards when the next
// one of the class is due.
func (p *picker) pick(class store.Class, want int) (c candidate, ok bool, err error) {
	if err := p.look(class, want); err != nil {
		return c, false, err
	}
	if ids := p.ids[class]; len(ids) > 0 && ids[0].due <= p.w.now {
		c, ok = ids[0], true
		p.ids[class] = ids[1:]
	}
	p.learn(class)
	return c, ok, nil
}

// look makes sure that the head of a class is known, and what is behind it.
func (p *picker) look(class store.Class, want int) error {
	if p.read[class] && (len(p.ids[class]) >= 2 || p.end[class]) {
		return nil
	}
	return p.fetch(class, want)
}

// learn tells the lane when the first candidate of a class is due.
func (p *picker) learn(class store.Class) {
	p.l.next[class], p.l.loose[class] = never, false
	if ids := p.ids[class]; len(ids) > 0 {
		p.l.next[class] = ids[0].due
	}
}

// fetch reads the head of a class from the due index: as many as are wanted and one more. Those in flight
// may still stand in the index; there are at most as many as the lane's cap.
func (p *picker) fetch(class store.Class, want int) error {
	if err := p.w.begin(); err != nil {
		return err
	}
	most := int64(min(want, claimChunk) + p.l.inflight + len(p.w.ghosts) + 2)
	p.ids[class], p.read[class] = p.ids[class][:0], true
	rs := p.w.st.dueOf.query(context.Background(), p.l.num, int64(class), most)
	seen := int64(0)
	for rs.next() {
		seen++
		if c := (candidate{rs.int(0), rs.int(1)}); p.w.claims.of(c.id) == nil && !p.w.ghosts[c] {
			p.ids[class] = append(p.ids[class], c)
		}
	}
	p.end[class] = seen < most
	return rs.close()
}

const claimChunk = 64

// quarantine takes a damaged record out of the schedule. One that cannot be read leaves the due index all the
// same, and the rest of it is left as it is.
func (w *writer) quarantine(l *lane, r *row, c candidate, class store.Class) error {
	if len(r.n.NotifyID) != store.NotifyIDChars || r.due != c.due || r.class != class || r.mch != l.num {
		w.ghost(l, c, class)
		if own := w.byNum[r.mch]; own != nil {
			own.note(part{number(states, store.Quarantined), r.said})
		}
		return w.c.do("UPDATE n SET state = 4, class = NULL, due = NULL WHERE id = ?", c.id)
	}
	w.count(r, l, -1)
	if !r.n.State.Final() {
		r.finalAt = w.time()
	}
	r.n.Quarantine()
	w.count(r, l, +1)
	return w.update(r)
}

// ghost remembers an entry of the due index that is not what its row says: one of them is damaged.
func (w *writer) ghost(l *lane, c candidate, class store.Class) {
	w.s.log.Error("the due index does not agree with a notification: run paynotify fsck",
		"mch_id", l.id, "id", c.id)
	warning := "the database is damaged: stop the server and run paynotify fsck"
	w.s.fast.warning.Store(&warning)
	l.waiting[class] = max(0, l.waiting[class]-1)
	w.ghosts[c] = true
}
