package sqlitestore

import (
	"bytes"
	"context"
	"errors"
	"time"

	"paynotify/store"
	"paynotify/store/packed"
)

// acceptOp stores notifications. What does not depend on their ids is packed by the caller's goroutine.
type acceptOp struct {
	task
	items  []store.Incoming
	bodies [][]byte
	sums   []uint32
	lease  int64
	out    []store.Accepted
}

// Accept stores items durably, in order and in one commit; see store.Store. On a full disk it fails with
// ErrFull: nothing of the call is stored then.
func (s *Store) Accept(
	ctx context.Context, items []store.Incoming, lease time.Duration,
) ([]store.Accepted, error) {
	o := &acceptOp{
		items: items, lease: lease.Microseconds(), bodies: make([][]byte, len(items)),
		sums: make([]uint32, len(items)), out: make([]store.Accepted, len(items)),
	}
	for i := range items {
		o.bodies[i] = packBody(&items[i].Notification)
		o.sums[i] = packed.Sum(o.bodies[i])
	}
	if err := s.submit(ctx, o); err != nil {
		return nil, err
	}
	return o.out, nil
}

func (o *acceptOp) run(w *writer) error {
	if w.full {
		return refuse(store.ErrFull)
	}
	var touched *lane // most calls are for one lane
	for i := range o.items {
		l := w.lanes[o.items[i].MchID]
		o.out[i] = store.Accepted{}
		if l == nil || l.deleted {
			o.out[i].Status = store.NoMerchant
			continue
		}
		if o.items[i].IdempotencyKey != "" {
			seen, err := w.seen(l, &o.items[i].Notification, &o.out[i])
			if err != nil {
				return err
			}
			if seen {
				continue
			}
		}
		if err := o.add(w, l, i); err != nil {
			return err
		}
		if touched != nil && touched != l {
			w.touch(touched)
		}
		touched = l
	}
	if touched != nil {
		w.touch(touched)
	}
	return nil
}

// add stores one new item.
func (o *acceptOp) add(w *writer, l *lane, i int) error {
	item, out := &o.items[i], &o.out[i]
	r := &row{id: max(w.lastID+1, w.now), mch: l.num}
	at := time.UnixMicro(r.id).UTC()
	if ahead := r.id - w.now; ahead > 0 && ahead < int64(time.Second/time.Microsecond) {
		w.now = r.id
	}
	r.n = item.Notification
	r.n.Accept(store.NewID(at, 0), at)
	r.bodySum = bodySum(o.sums[i], &r.n)
	direct := item.Want && w.mayClaim(l)
	if item.Want && !direct && l.loose != [store.Classes]bool{} { // the backlog may only seem to be one
		if err := w.tighten(l); err != nil {
			return err
		}
		direct = w.mayClaim(l)
	}
	w.count(r, l, +1)
	*out = store.Accepted{Status: store.New, NotifyID: r.n.NotifyID, CreatedAt: at}
	if direct {
		given := w.claim(l, r, o.lease).Claim
		out.Claim = &given
	}
	w.lastID = r.id
	return w.insert(r, o.bodies[i])
}

// mayClaim says whether a fresh notification of the lane may be sent at once.
func (w *writer) mayClaim(l *lane) bool {
	return !w.sending.Paused && !l.closed(w.now) && l.earliest() > w.now && l.inflight < w.limit(l) &&
		l.breaker.May(l.inflight, w.limit(l), w.now) && l.free(w.now) >= 1
}

// seen answers an item whose idempotency key is known.
func (w *writer) seen(l *lane, n *store.Notification, out *store.Accepted) (bool, error) {
	if err := w.begin(); err != nil {
		return false, err
	}
	var id int64
	found, err := w.st.byIdem.query(context.Background(), l.num, n.IdempotencyKey).
		one(func(rs *rows) { id = rs.int(0) })
	if err != nil || !found {
		return false, err
	}
	r, err := w.loadVerified(id)
	if err != nil && !errors.Is(err, errDamaged) || r == nil {
		return false, err
	}
	out.Status, out.NotifyID, out.CreatedAt = store.Replayed, r.n.NotifyID, r.n.CreatedAt
	if !bytes.Equal(r.n.ContentDigest, n.ContentDigest) {
		out.Status = store.Conflict
	}
	return true, nil
}
