package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

const (
	// lostMax claims whose lease ran out are handed out by one shard at a time.
	lostMax = 32
	// wakesRounds bounds how often one Wakes asks a shard that had more than its share.
	wakesRounds = 64
)

// Wakes names lanes with work; see store.Store. Every shard gives its share; one that does not answer keeps
// no other from being heard, and only when none answers it is an error.
func (s *Store) Wakes(ctx context.Context, most int) (store.Wakes, error) {
	shards := s.shards()
	if shards == 0 {
		return store.Wakes{}, s.notReady()
	}
	out := store.Wakes{}
	turn := int(s.wakeTurn.Add(1) % uint64(shards)) //nolint:gosec // below 36
	asked := make([]int, 0, shards)                 // shards to ask, the first one another each time
	for i := range shards {
		asked = append(asked, (turn+i)%shards)
	}
	var failed []error
	left := make(map[int]bool) // shards with lanes that were one too many
	for round := 0; len(asked) > 0 && round < wakesRounds; round++ {
		answers := s.askShards(ctx, asked, most-len(out.Lanes))
		asked = make([]int, 0, len(answers))
		for i := range answers {
			a := &answers[i]
			if a.err != nil {
				failed = append(failed, a.err)
				continue
			}
			a.addTo(&out)
			left[a.shard] = a.left
		}
		for i := range answers {
			if a := &answers[i]; a.again || a.left && len(out.Lanes) < most {
				asked = append(asked, a.shard)
			}
		}
	}
	if len(failed) >= shards {
		return store.Wakes{}, errors.Join(failed...)
	}
	if some := len(failed) > 0; some != s.wakeless.Swap(some) && some {
		s.log.Warn("some shards do not say what is due", "shards", len(failed), "err", failed[0])
	}
	out.Now = s.Now()
	for _, more := range left {
		if more {
			out.Next = out.Now
		}
	}
	return out, nil
}

// wakesWait is how long a Wakes waits for a shard. What a slow one says then is heard by the next Wakes.
const wakesWait = 250 * time.Millisecond

var errSlowShard = fmt.Errorf("%w: a shard does not answer at once", store.ErrUnavailable)

// lateWakes are the questions that a Wakes did not wait for, by shard.
type lateWakes struct {
	mu sync.Mutex
	m  map[int]chan wakesAnswer
}

func (l *lateWakes) take(shard int) chan wakesAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := l.m[shard]
	delete(l.m, shard)
	return ch
}

func (l *lateWakes) leave(shard int, ch chan wakesAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = make(map[int]chan wakesAnswer)
	}
	l.m[shard] = ch
}

// askShard asks one shard, or goes on waiting for what it was asked before.
func (s *Store) askShard(ctx context.Context, shard, most int) wakesAnswer {
	ch := s.lateWakes.take(shard)
	if ch == nil {
		ch = make(chan wakesAnswer, 1)
		s.done.Go(func() { ch <- s.wakesOf(context.WithoutCancel(ctx), shard, most) })
	}
	timer := time.NewTimer(wakesWait)
	defer timer.Stop()
	select {
	case a := <-ch:
		return a
	case <-timer.C:
	case <-ctx.Done():
	}
	s.lateWakes.leave(shard, ch)
	return wakesAnswer{shard: shard, err: errSlowShard}
}

// wakesAnswer is what one shard says.
type wakesAnswer struct {
	shard     int
	now, next int64
	lanes     []string
	recovered int
	asleep    int
	left      bool // it has lanes that were one too many
	again     bool // claims were lost: their lanes have work now, and there may be more of them
	err       error
}

func (a *wakesAnswer) addTo(w *store.Wakes) {
	w.Lanes = append(w.Lanes, a.lanes...)
	w.Recovered += a.recovered
	w.Lost += a.asleep
	next := instant(a.next)
	if a.left || a.again || next.IsZero() {
		return
	}
	if w.Next.IsZero() || next.Before(w.Next) {
		w.Next = next
	}
}

// askShards asks shards at the same time for at most most lanes together.
func (s *Store) askShards(ctx context.Context, shards []int, most int) []wakesAnswer {
	answers := make([]wakesAnswer, len(shards))
	var all sync.WaitGroup
	for i, shard := range shards {
		share := (most + len(shards) - 1 - i) / len(shards) // the first ones take what does not divide
		all.Go(func() { answers[i] = s.askShard(ctx, shard, max(share, 0)) })
	}
	all.Wait()
	return answers
}

func (s *Store) wakesOf(ctx context.Context, shard, most int) (a wakesAnswer) {
	a.shard = shard
	reply, err := s.run(ctx, call{
		shard: shard, script: wakesScript, args: []any{most, s.opts.MaxInflightDefault, lostMax},
	})
	if err == nil && len(reply) != 5 {
		err = fmt.Errorf("wakes answered %d values", len(reply))
	}
	if err != nil {
		a.err = err
		return a
	}
	a.now, a.next, a.asleep = toInt(reply[0]), toInt(reply[1]), int(toInt(reply[4]))
	names, lost := toList(reply[2]), toList(reply[3])
	for _, name := range names {
		a.lanes = append(a.lanes, toText(name))
	}
	for i := 0; i+1 < len(lost); i += 2 {
		done, err := s.interrupt(ctx, shard, toText(lost[i]), toText(lost[i+1]))
		if err != nil {
			s.log.Warn("a lost claim could not be recorded", "notify_id", toText(lost[i]), "err", err)
		}
		if done {
			a.recovered++
		}
	}
	a.again = a.recovered > 0 || len(lost) == 2*lostMax
	a.left = !a.again && a.next != 0 && a.next <= a.now
	return a
}

func toList(v any) []any {
	list, _ := v.([]any)
	return list
}

// Sending returns the switch, as the first shard has it.
func (s *Store) Sending(ctx context.Context) (sending store.Sending, err error) {
	if s.shards() == 0 {
		return sending, s.notReady()
	}
	text, err := s.rdb.Get(ctx, s.prefix(0)+"sending").Result()
	switch {
	case errors.Is(err, redis.Nil):
		return sending, nil
	case err != nil:
		return sending, s.fault(err)
	}
	if err := json.Unmarshal([]byte(text), &sending); err != nil {
		return sending, fmt.Errorf("reading the sending switch: %w", err)
	}
	return sending, nil
}

// SetSending turns the switch, on every shard. A zero Since is filled in when the switch really turns. When
// it fails, some shards may have turned already: turn it again.
func (s *Store) SetSending(ctx context.Context, sending store.Sending) error {
	before, err := s.Sending(ctx)
	if err != nil {
		return err
	}
	if sending.Since.IsZero() {
		sending.Since = s.Now().Truncate(time.Microsecond)
		if before.Paused == sending.Paused && !before.Since.IsZero() {
			sending.Since = before.Since
		}
	}
	text, err := json.Marshal(sending)
	if err != nil {
		return err
	}
	_, errs := s.runAll(ctx, sendingScript, func(int) []any { return []any{flag(sending.Paused), text} })
	return errors.Join(errs...)
}

// fetch reads a record of a shard, nil when it is not there. A damaged one comes with its error.
func (s *Store) fetch(ctx context.Context, shard int, id string) (*record, error) {
	raw, err := s.rdb.Get(ctx, s.prefix(shard)+"n:"+id).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil //nolint:nilnil // as it says
	case err != nil:
		return nil, s.fault(err)
	}
	return parseRecord(id, raw)
}
