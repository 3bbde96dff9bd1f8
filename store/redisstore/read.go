package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"paynotify/store"
)

const (
	// readStep records are asked for in one script: some may be as large as store.BodyBytesMax.
	readStep = 64
	// readShards is how many shards one call reads at the same time. Redis works through them one after the
	// other, and sends wait behind them.
	readShards = 4
)

var (
	readScript = newScript("read")
	keyScript  = newScript("key")
)

// spot is where a record lies.
type spot struct {
	shard int
	id    string
}

// Get returns a notification with its attempts; see store.Store. A damaged one is shown as far as it can be
// read: what a person looks at is not sent, and the claim that would send it checks for itself.
func (s *Store) Get(ctx context.Context, id string) (store.Notification, []store.Attempt, error) {
	r, _, err := s.load(ctx, id)
	if r == nil {
		return store.Notification{}, nil, err
	}
	as := make([]store.Attempt, len(r.attempts))
	for i := range r.attempts {
		as[i] = r.attempts[i].Attempt
	}
	return r.n, as, nil
}

// ByKey looks up an idempotency key; see store.Store.
func (s *Store) ByKey(ctx context.Context, mchID, key string) (n store.Notification, err error) {
	shards := s.shards()
	if shards == 0 {
		return n, s.notReady()
	}
	reply, err := s.run(ctx, call{
		shard: shardOf(mchID, shards), script: keyScript, args: []any{mchID, keyField(key)},
	})
	switch {
	case err != nil:
		return n, err
	case len(reply) < 3:
		return n, store.ErrNotFound
	}
	r, err := parseRecord(toText(reply[1]), toText(reply[2]))
	if r == nil {
		return n, err
	}
	return r.n, nil
}

// load reads a record wherever it is, and says in which shard, or fails with store.ErrNotFound. The notify_id
// names the shard, unless it came from another store. A damaged record comes with errDamaged.
func (s *Store) load(ctx context.Context, id string) (r *record, shard int, err error) {
	shards := s.shards()
	if shards == 0 {
		return nil, 0, s.notReady()
	}
	_, home, err := store.ParseID(id)
	if err != nil {
		return nil, 0, store.ErrNotFound
	}
	if home < shards {
		reply, err := s.run(ctx, call{shard: home, script: readScript, args: []any{id}})
		if err != nil {
			return nil, home, err
		}
		if raw := toText(reply[1]); raw != "" {
			r, err = parseRecord(id, raw)
			return r, home, err
		}
	}
	replies, errs := s.runAll(ctx, readScript, func(int) []any { return []any{id} })
	for shard, reply := range replies {
		if errs[shard] != nil {
			continue
		}
		if raw := toText(reply[1]); raw != "" {
			r, err = parseRecord(id, raw)
			return r, shard, err
		}
	}
	if err := errors.Join(errs...); err != nil { // it may be there
		return nil, 0, err
	}
	return nil, 0, store.ErrNotFound
}

// loadAll reads records, nil for one that is not there any more or that only a newer version can read. A
// damaged one is as much of it as could be read, and nil when that is nothing.
func (s *Store) loadAll(ctx context.Context, spots []spot) ([]*record, error) {
	out := make([]*record, len(spots))
	places := map[int][]int{} // in spots, by shard
	for i, at := range spots {
		places[at.shard] = append(places[at.shard], i)
	}
	var shards []int
	for shard := range places {
		shards = append(shards, shard)
	}
	err := eachShard(shards, func(shard int) error {
		for rest := places[shard]; len(rest) > 0; {
			some := rest[:min(readStep, len(rest))]
			rest = rest[len(some):]
			args := make([]any, len(some))
			for k, i := range some {
				args[k] = spots[i].id
			}
			reply, err := s.run(ctx, call{shard: shard, script: readScript, args: args})
			if err != nil {
				return err
			}
			if len(reply) != 1+len(some) {
				return fmt.Errorf("read answered %d values for %d records", len(reply), len(some))
			}
			for k, i := range some {
				raw := toText(reply[1+k])
				if raw == "" {
					continue
				}
				out[i], _ = parseRecord(spots[i].id, raw)
			}
		}
		return nil
	})
	return out, err
}

// eachShard runs a function for shards, a few at the same time, and returns the first errors.
func eachShard(shards []int, fn func(shard int) error) error {
	if len(shards) == 1 {
		return fn(shards[0])
	}
	errs := make([]error, len(shards))
	places := make(chan struct{}, readShards)
	var all sync.WaitGroup
	for i, shard := range shards {
		places <- struct{}{}
		all.Go(func() {
			errs[i] = fn(shard)
			<-places
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// allShards are the numbers of n shards.
func allShards(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
