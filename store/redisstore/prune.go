package redisstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"paynotify/store"
)

// Retention goes through the partitions of final notifications, shard by shard and lane by lane, the oldest
// of a lane first, and reads what was accepted long enough ago: when it became final only the record says.
// The next call goes on where this one stopped, so that old notifications that stay are not looked at each
// time. Several processes may do it at once: a record that another one was faster with is left alone.

const (
	oldStep = 64     // records in one step: no script may keep Redis busy for long
	oldLook = 20_000 // records that one call looks at: some 0.2 s of Redis's time, in steps
)

var (
	oldScript   = newScript("walk", "old")
	pruneScript = newScript("walk", "prune")
)

// walk is where retention stopped. The zero walk begins with the first shard.
type walk struct {
	mu    sync.Mutex
	shard int
	place string // lane, as lua/walk.lua names it; empty = before the first
	upTo  string // notify_id in that lane; empty = done with it
}

// limits are the microseconds of acceptance that old notifications stay below; 0 = none are old. A
// notification is final no earlier than it is accepted.
type limits struct{ spent, shrunk, others int64 }

// old is what retention found.
type old struct {
	id, mchID, part string
}

// Prune deletes at most most notifications that became final before the given instants; see store.Store. Of a
// deleted merchant that has no notification any more only the revision is kept, some 100 bytes, from which a
// merchant created under the same mch_id goes on.
func (s *Store) Prune(ctx context.Context, spentBefore, othersBefore time.Time, most int) (int, error) {
	spent, others := instantOf(spentBefore), instantOf(othersBefore)
	l := limits{spent: spent, shrunk: spent, others: others}
	return s.sweep(ctx, &s.pruned, l, most, func(shard int, found []old, rs []*record) (int, error) {
		args := make([]any, 0, 6*len(found))
		for i, o := range found {
			front, key, order := "", "", any("")
			if r := rs[i]; r != nil {
				if !r.old(spentBefore, othersBefore) {
					continue
				}
				front = r.front
				if r.n.IdempotencyKey != "" {
					key = keyField(r.n.IdempotencyKey)
				}
				if r.n.OutTradeNo != "" {
					order = otnScore(r.n.OutTradeNo)
				}
			}
			args = append(args, o.id, front, o.mchID, o.part, key, order)
		}
		if len(args) == 0 {
			return 0, nil
		}
		reply, err := s.run(ctx, call{shard: shard, script: pruneScript, args: args})
		if err != nil {
			return 0, err
		}
		return int(toInt(reply[1])), nil
	})
}

// old tells whether retention takes the notification.
func (r *record) old(spentBefore, othersBefore time.Time) bool {
	n := &r.n
	switch {
	case !n.State.Final(), n.InFlight, n.Resend != "":
		return false
	case n.State == store.Spent:
		return n.SpentAt.Before(spentBefore)
	}
	at := r.finalAt
	if at.IsZero() { // not written down; the last attempt is what there is
		at = later(n.CreatedAt, n.LastAt)
	}
	return at.Before(othersBefore)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// instantOf is an instant in microseconds, 0 for the zero Time and everything before 1970.
func instantOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return min(max(0, t.UnixMicro()), instantMax)
}

// sweep walks on, to the last shard at most, and lets act deal with what is found, until it has dealt with
// most of them. The call after one that came to the end begins with the first shard again.
func (s *Store) sweep(
	ctx context.Context, w *walk, l limits, most int,
	act func(shard int, found []old, rs []*record) (int, error),
) (done int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shards := s.shards()
	if shards == 0 {
		return 0, s.notReady()
	}
	w.shard %= shards
	for looked := 0; done < most && looked < oldLook; {
		shard := w.shard
		found, end, err := s.findOld(ctx, w, l, min(oldStep, most-done))
		if err != nil {
			w.next() // a shard that cannot be asked now is no reason to leave out the others
			return done, err
		}
		looked += len(found)
		rs, err := s.readOld(ctx, shard, found)
		if err != nil {
			return done, err
		}
		n, err := act(shard, found, rs)
		done += n
		if err != nil {
			return done, err
		}
		if !end {
			continue
		}
		if w.next(); w.shard == shards {
			break
		}
	}
	return done, nil
}

// next goes on to the next shard.
func (w *walk) next() { w.shard, w.place, w.upTo = w.shard+1, "", "" }

// findOld looks for old notifications from where the walk stands, and moves it on. end says that this was all
// of the shard.
func (s *Store) findOld(ctx context.Context, w *walk, l limits, most int) (found []old, end bool, err error) {
	reply, err := s.run(ctx, call{shard: w.shard, script: oldScript, args: []any{
		w.place, w.upTo, l.spent, l.shrunk, l.others, most,
	}})
	if err != nil {
		return nil, false, err
	}
	if len(reply) < 3 {
		return nil, false, fmt.Errorf("old answered %d values", len(reply))
	}
	w.place, w.upTo = toText(reply[1]), toText(reply[2])
	for v := reply[3:]; len(v) >= 3; v = v[3:] {
		found = append(found, old{toText(v[0]), toText(v[1]), toText(v[2])})
	}
	return found, w.place == "", nil
}

func (s *Store) readOld(ctx context.Context, shard int, found []old) ([]*record, error) {
	spots := make([]spot, len(found))
	for i, o := range found {
		spots[i] = spot{shard, o.id}
	}
	return s.loadAll(ctx, spots)
}
