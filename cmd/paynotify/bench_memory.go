package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

// How the notifications look whose memory is measured: 600 bytes of params, and an idempotency key of a usual
// length.
const (
	memoryParamBytes = 600
	memoryKeys       = "order-20261121-"
	memoryMerchants  = 100
)

// memory accepts many while sending is stopped and says what each takes in Redis, then has each refused once.
func (b *bench) memory() error {
	e, err := b.engine("memory")
	if err != nil {
		return err
	}
	mchs, err := b.merchants(e, "m", memoryMerchants, "/refuse", nil)
	if err != nil {
		return err
	}
	if err := e.sending(false); err != nil {
		return err
	}
	load := memoryLoad(e, mchs)
	if err := load.run(1000, benchBatchConns, 0); err != nil { // scripts, connections, first pages
		return err
	}
	before, err := b.redis.memory(b.ctx)
	if err != nil {
		return err
	}
	if err := load.run(b.due, benchBatchConns, 0); err != nil {
		return err
	}
	const s, note = "memory", "with order number and idempotency key; wanted ≤ 1536"
	if err := b.sayMemory(s, "pending", before, b.due, note); err != nil {
		return err
	}
	had := b.receiver.received.Load()
	if err := e.sending(true); err != nil {
		return err
	}
	if got := b.receiver.await(had, b.due+1000, 2*time.Minute); got < b.due {
		return fmt.Errorf("%d of %d sent", got, b.due)
	}
	if err := e.sending(false); err != nil {
		return err
	}
	return b.sayMemory(s, "refused once", before, b.due, "pending, with the record of an attempt")
}

func memoryLoad(e *benchEngine, mchs []string) *benchLoad {
	const member = len(`,"passback_params":""`)
	return &benchLoad{
		addr: e.addr, path: "/v1/notifications/batch", batch: 100, mchs: mchs, keys: memoryKeys,
		pad: strings.Repeat("p", memoryParamBytes-len(benchParams)-member),
	}
}

// shrunk has many delivered and says what each takes before and after it was shrunk.
func (b *bench) shrunk() error {
	e, err := b.engine("shrunk")
	if err != nil {
		return err
	}
	mchs, err := b.merchants(e, "m", memoryMerchants, "/ok", nil)
	if err != nil {
		return err
	}
	before, err := b.redis.memory(b.ctx)
	if err != nil {
		return err
	}
	had := b.receiver.received.Load()
	if err := memoryLoad(e, mchs).run(b.due, benchBatchConns, 0); err != nil {
		return err
	}
	if got := b.receiver.await(had, b.due, 2*time.Minute); got < b.due {
		return fmt.Errorf("%d of %d delivered", got, b.due)
	}
	if err := e.stop(); err != nil {
		return err
	}
	const s = "shrunk"
	if err := b.sayMemory(s, "spent", before, b.due, "with the record of an attempt"); err != nil {
		return err
	}
	if err := b.shrinkAll(); err != nil {
		return err
	}
	return b.sayMemory(s, "shrunk", before, b.due, "")
}

// shrinkAll shrinks what is spent, as the engine does a day later.
func (b *bench) shrinkAll() error {
	opened, err := b.place.open(b.ctx, "shrunk")
	if err != nil {
		return err
	}
	s, ok := opened.(store.Shrinker)
	for n := 1; ok && n > 0 && err == nil; {
		n, err = s.Shrink(b.ctx, opened.Now().Add(time.Hour), benchScan)
	}
	return errors.Join(err, opened.Close())
}

// sayMemory prints what each of n notifications has added to Redis since before, and which keys it lies in.
func (b *bench) sayMemory(scenario, what string, before float64, n int64, note string) error {
	after, err := b.redis.memory(b.ctx)
	if err != nil {
		return err
	}
	kinds, err := b.redis.inspect(b.ctx)
	if err != nil {
		return err
	}
	total := (after - before) / float64(n)
	b.say(scenario, what, total, "B", note)
	rest := total
	for _, k := range kinds {
		each := k.bytes / float64(max(kinds[0].keys, 1))
		rest -= each
		if each >= 0.5 {
			b.say(scenario, what+": "+k.name, each, "B", k.note())
		}
	}
	b.say(scenario, what+": the rest", rest, "B", "Redis's table of keys, and what it holds in reserve")
	return nil
}

// memory is what Redis has allocated once it has come to rest, without the buffers of AOF and clients.
func (r *benchRedis) memory(ctx context.Context) (float64, error) {
	last := 0.0
	for {
		infos, err := r.info(ctx, "everything")
		if err != nil {
			return 0, err
		}
		now := sum(infos, "used_memory")
		for _, aside := range []string{"mem_aof_buffer", "mem_clients_normal", "mem_clients_slaves"} {
			now -= sum(infos, aside)
		}
		busy := sum(infos, "lazyfree_pending_objects") + sum(infos, "aof_rewrite_in_progress")
		if busy == 0 && last > 0 && now > last*0.9999 && now < last*1.0001 {
			return now, nil
		}
		last = now
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(memoryRest):
		}
	}
}

// memoryRest is how long Redis's memory must not change, to count as at rest: its own housekeeping runs ten
// times a second.
const memoryRest = 300 * time.Millisecond

// keyKind is what all keys of one kind take together.
type keyKind struct {
	name, is string
	bytes    float64
	keys     int64
	lengths  []int64 // of records, serialised
}

func (k *keyKind) note() string {
	if len(k.lengths) > 0 {
		return fmt.Sprintf("%s: median %d, longest %d bytes", k.is, median(k.lengths), slices.Max(k.lengths))
	}
	return fmt.Sprintf("%s, %d keys", k.is, k.keys)
}

// kindNames explain what is behind the shard's prefix of a key, up to the next colon. The last one has what
// does not grow with the notifications.
var kindNames = []struct{ keys, name, is string }{
	{"n", "record", "serialised"},
	{"k", "idempotency keys", "a hash for each merchant"},
	{"o", "order numbers", "512 sorted sets for each shard"},
	{"t", "lists", "a sorted set for each merchant, state and verdict"},
	{"d0 d1 d2", "due", "a sorted set for each merchant and class"},
	{"b", "held", "a sorted set for each merchant"},
	{"c", "claims", "a sorted set for each merchant"},
	{"log", "log", "a stream of the last 100000 or so attempts for each shard"},
	{"", "others", "merchants, lanes, counters, queues"},
}

// recordSample of so many records is looked at; every other key is.
const recordSample = 37

// inspect says what the keys take, by kind.
func (r *benchRedis) inspect(ctx context.Context) ([]keyKind, error) {
	kinds := make([]keyKind, len(kindNames))
	for i := range kinds {
		kinds[i].name, kinds[i].is = kindNames[i].name, kindNames[i].is
	}
	err := r.each(ctx, func(ctx context.Context, node *redis.Client) error {
		return scan(ctx, node, func(keys []string) error { return weigh(ctx, node, keys, kinds) })
	})
	if sample := &kinds[0]; err == nil && len(sample.lengths) > 0 {
		sample.bytes *= float64(sample.keys) / float64(len(sample.lengths))
	}
	return kinds, err
}

// weigh asks what keys take, records by sample.
func weigh(ctx context.Context, node *redis.Client, keys []string, kinds []keyKind) error {
	pipe := node.Pipeline()
	type asked struct {
		kind          *keyKind
		usage, length *redis.IntCmd
	}
	var all []asked
	for _, key := range keys {
		a := asked{kind: &kinds[kindOf(key)]}
		if a.kind.keys++; a.kind == &kinds[0] {
			if a.kind.keys%recordSample != 1 {
				continue
			}
			a.length = pipe.StrLen(ctx, key)
		}
		a.usage = pipe.MemoryUsage(ctx, key, 0) // 0: every element, no sample
		all = append(all, a)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	for _, a := range all {
		a.kind.bytes += float64(a.usage.Val())
		if a.length != nil {
			a.kind.lengths = append(a.kind.lengths, a.length.Val())
		}
	}
	return nil
}

// kindOf is the place of a key in kindNames.
func kindOf(key string) int {
	rest := ""
	if _, behind, found := strings.Cut(key, "}:"); found && strings.HasPrefix(key, benchKeys[0]) {
		rest, _, _ = strings.Cut(behind, ":")
	}
	others := len(kindNames) - 1
	for i, k := range kindNames[:others] {
		if slices.Contains(strings.Fields(k.keys), rest) {
			return i
		}
	}
	return others
}
