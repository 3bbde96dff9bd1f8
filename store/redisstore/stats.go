package redisstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"paynotify/store"
)

var statsScript = newScript("walk", "stats")

// statsValues are the values of a reply of lua/stats.lua, behind now and the place.
const statsValues = 14

// stateDigits are the states by the first character of the name of a partition.
var stateDigits = append(slices.Clip(states), store.Spent) // those that were shrunk

// Stats counts from the sizes of indexes, lane by lane; see store.Store. No notification is looked at. While
// the store is in use, what the shards answered may be some milliseconds apart.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	out := store.Stats{States: make(map[store.State]int), PendingBySend: make(map[int]int)}
	shards := s.shards()
	if shards == 0 {
		return out, s.notReady()
	}
	for _, state := range store.States {
		out.States[state] = 0
	}
	var mu sync.Mutex
	err := eachShard(allShards(shards), func(shard int) error {
		for place := ""; ; {
			reply, err := s.run(ctx, call{shard: shard, script: statsScript, args: []any{place}})
			if err != nil {
				return err
			}
			if len(reply) < 2+statsValues {
				return fmt.Errorf("stats answered %d values", len(reply))
			}
			mu.Lock()
			addStats(&out, reply[2:])
			mu.Unlock()
			if place = toText(reply[1]); place == "" {
				return nil
			}
		}
	})
	if err != nil {
		return store.Stats{}, err
	}
	first := out.States[store.Pending]
	for send, n := range out.PendingBySend {
		first -= n
		if n <= 0 {
			delete(out.PendingBySend, send)
		}
	}
	if first > 0 {
		out.PendingBySend[1] = first
	}
	return out, nil
}

// addStats adds what one script counted.
func addStats(out *store.Stats, values []any) {
	for digit, state := range stateDigits {
		out.States[state] += int(toInt(values[digit]))
	}
	values = values[len(stateDigits):]
	for i, sum := range []*int{&out.Held, &out.Due} {
		*sum += int(toInt(values[i]))
	}
	if us := toInt(values[2]); us != 0 {
		if at := time.UnixMicro(us).UTC(); out.OldestDue.IsZero() || at.Before(out.OldestDue) {
			out.OldestDue = at
		}
	}
	m := &out.Merchants
	for i, sum := range []*int{&out.InFlight, &m.Active, &m.Failing, &m.Paused, &m.BreakerOpen} {
		*sum += int(toInt(values[3+i]))
	}
	if len(values) > 8 {
		for sends := toList(values[8]); len(sends) >= 2; sends = sends[2:] {
			out.PendingBySend[int(toInt(sends[0]))] += int(toInt(sends[1]))
		}
	}
}
