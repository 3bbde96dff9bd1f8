package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

const (
	healthFresh = 500 * time.Millisecond  // how long one look at Redis serves everybody
	healthWait  = 1500 * time.Millisecond // for an answer; the API's 503 must come within two seconds
	healthProbe = 5 * time.Second         // of the look itself
)

// prober remembers the last look at Redis and sees to it that there is only one at a time.
type prober struct {
	mu      sync.Mutex
	last    store.Health
	at      time.Time     // of the last look; zero = never
	looking chan struct{} // closed when the look under way has ended; nil = none
	closed  bool          // look no more

	kicked atomic.Int64             // when full last asked for a look
	crowd  atomic.Pointer[[]string] // addresses of masters that are nearly full; nil = none
}

// Health says whether the store can commit now. It looks at Redis at most twice a second, however often it is
// called, and waits for it no longer than 1.5 s.
func (s *Store) Health(ctx context.Context) store.Health {
	if s.shards() == 0 {
		return store.Health{Err: s.notReady()}
	}
	timer := time.NewTimer(healthWait)
	defer timer.Stop()
	looking := s.look()
	if looking != nil {
		select {
		case <-looking:
		case <-timer.C:
			return s.unanswered(errNoReply)
		case <-ctx.Done():
			return s.unanswered(gaveUp(ctx))
		}
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return s.health.last
}

// unanswered is the health of a Redis that says nothing now: what it has said of its settings stands.
func (s *Store) unanswered(err error) store.Health {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	h := s.health.last
	h.Err = err
	return h
}

// look makes sure that somebody looks at Redis, and returns what is closed when that is done; nil when the
// last look is fresh enough.
func (s *Store) look() <-chan struct{} {
	p := &s.health
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.looking != nil {
		return p.looking
	}
	fresh := !p.at.IsZero() && time.Since(p.at) < healthFresh
	if fresh && (p.last.Err != nil || !s.emptied.Load()) {
		return nil
	}
	if p.closed {
		p.last.Err = errClosed
		return nil
	}
	ended := make(chan struct{})
	p.looking = ended
	s.done.Go(func() {
		h := s.probe()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.last, p.at, p.looking = h, time.Now(), nil
		close(ended)
	})
	return ended
}

// close ends looking: what is under way is counted in the store's done, and no more comes.
func (p *prober) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// probe asks Redis.
func (s *Store) probe() (h store.Health) {
	ctx, cancel := context.WithTimeout(s.ctx, healthProbe)
	defer cancel()
	c, err := s.inspect(ctx)
	s.noteFull(c)
	if len(c.nodes) == 0 {
		h = s.unanswered(s.fault(cmp.Or(err, errNoReply)))
		if !errors.Is(h.Err, store.ErrUnavailable) {
			h.Err = fmt.Errorf("%w: %s", store.ErrUnavailable, reasonOf(h.Err))
		}
		return h
	}
	aof, keeps := c.durable()
	h = store.Health{Durable: aof && keeps, FsyncAlways: c.fsyncAlways() && keeps, Warnings: c.warnings()}
	troubled := 0
	for _, n := range c.nodes {
		t := n.trouble()
		if t == nil {
			continue
		}
		troubled++
		if h.Err = t; len(c.nodes) > 1 {
			h.Warnings = append(h.Warnings, fmt.Sprintf("the Redis master %s: %v", n.addr, t))
		}
	}
	if troubled < len(c.nodes) {
		h.Err = nil // the other masters go on: some merchants wait, not all
	}
	if lost := s.markerless(ctx); lost != nil {
		h.Err = lost
	}
	return h
}

// markerless says which shards have lost their marker: somebody has emptied Redis, or a part of it.
func (s *Store) markerless(ctx context.Context) error {
	l := s.layout.Load()
	s.emptied.Store(false)
	pipe := s.rdb.Pipeline()
	ids := make([]*redis.StringCmd, len(l.batchers))
	for i := range ids {
		ids[i] = pipe.HGet(ctx, s.metaKey(i), metaID)
	}
	if err := flush(ctx, pipe); err != nil {
		return err
	}
	var lost []string
	for i, cmd := range ids {
		id, err := cmd.Result()
		if errors.Is(err, redis.Nil) || codeOf(err) == "WRONGTYPE" || err == nil && id != l.id {
			lost = append(lost, strconv.Itoa(i))
		}
	}
	if len(lost) == 0 {
		return nil
	}
	s.emptied.Store(true)
	if len(lost) == len(ids) {
		return errEmptied
	}
	return lostError(lost)
}

// noteFull remembers which masters are nearly full.
func (s *Store) noteFull(c condition) {
	var crowd []string
	for _, n := range c.nodes {
		if n.full() {
			crowd = append(crowd, n.addr)
		}
	}
	if crowd == nil {
		s.health.crowd.Store(nil)
		return
	}
	s.health.crowd.Store(&crowd)
}

// full says whether the Redis of a shard is so full that nothing more should be accepted. It never waits: it
// knows what the last look has seen, and asks for another when that is a second old.
func (s *Store) full(shard int) bool {
	now := s.clock.local()
	if at := s.health.kicked.Load(); now-at > int64(time.Second) && s.health.kicked.CompareAndSwap(at, now) {
		s.look()
	}
	crowd := s.health.crowd.Load()
	if crowd == nil {
		return false
	}
	node, err := s.node(shard)
	return err == nil && slices.Contains(*crowd, node.Options().Addr)
}
