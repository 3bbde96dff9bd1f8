package redisstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"paynotify/store"
)

const (
	// shrunkBytesMax is what a shrunk record takes at most, with an mch_id and an idempotency key of usual
	// length: one of a million a day for a month must not cost more memory than what is still to be sent.
	shrunkBytesMax = 250
	// shrinkAtOnce records are written at the same time.
	shrinkAtOnce = 16
)

// Shrink drops from spent notifications what only a send or a look at one needs; see store.Shrinker. What
// stays is where a notification came from (the merchant, the order number, the idempotency key with its
// digest, so that a repeat is still recognised), what became of it, and when; of notify_type and the schedule
// what there is room for.
func (s *Store) Shrink(ctx context.Context, spentBefore time.Time, most int) (int, error) {
	l := limits{spent: instantOf(spentBefore)}
	return s.sweep(ctx, &s.shrunk, l, most, func(shard int, _ []old, rs []*record) (n int, err error) {
		var all sync.WaitGroup
		var mu sync.Mutex
		places := make(chan struct{}, shrinkAtOnce)
		for _, r := range rs {
			if r == nil || !r.old(spentBefore, time.Time{}) || r.n.Shrunk {
				continue
			}
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				ok, failed := s.shrink(ctx, shard, r)
				mu.Lock()
				defer mu.Unlock()
				err = errors.Join(err, failed)
				if ok {
					n++
				}
			})
		}
		all.Wait()
		return n, err
	})
}

// shrink writes a record again as a shrunk one, unless somebody has changed it since it was read.
func (s *Store) shrink(ctx context.Context, shard int, r *record) (bool, error) {
	e := &edit{r: r, was: placeOf(r), shrink: true}
	r.dropSent()
	_, found, err := s.swap(ctx, shard, e)
	return err == nil && found == swapped, err
}

// dropSent drops what a shrunk record does without.
func (r *record) dropSent() {
	n := &r.n
	n.Shrunk, n.Params, n.NotifyURL, n.TraceParent = true, nil, "", ""
	n.Streak = store.Streak{}
	r.attempts, r.finalAt = nil, time.Time{} // that of a spent one is SpentAt
	for _, dear := range []*string{&n.NotifyType, &n.Schedule} {
		if r.shrunkBytes() <= shrunkBytesMax {
			return
		}
		*dear = ""
	}
}

func (r *record) shrunkBytes() int {
	return frontBytes + len(r.header(r.n.CreatedAt.UnixMicro())) + len(packBody(&r.n))
}
