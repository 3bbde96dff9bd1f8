package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
	"paynotify/store/packed"
)

// merchantFresh is how long a merchant that was read is used without asking again: what another node changes
// is seen here at most so much later. A claim or an accept that says that the merchant has changed ends it at
// once, and what decides about sending (pause, cap, rate, hold) is read by the scripts, never from here.
const merchantFresh = 100 * time.Millisecond

// merchantTries bounds how often an update is computed again because somebody else was faster.
const merchantTries = 64

// merchantCache keeps merchants for merchantFresh.
type merchantCache struct {
	mu sync.RWMutex
	m  map[string]cachedMerchant
}

type cachedMerchant struct {
	store.Merchant

	until time.Time
}

// cachedMax merchants are kept, about 2 KB each; then all are forgotten, and read again as they are needed.
const cachedMax = 16384

func (c *merchantCache) get(mchID string) (store.Merchant, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	m, ok := c.m[mchID]
	return m.Merchant, ok && time.Now().Before(m.until)
}

func (c *merchantCache) put(m store.Merchant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= cachedMax {
		c.m = make(map[string]cachedMerchant)
	}
	c.m[m.MchID] = cachedMerchant{m, time.Now().Add(merchantFresh)}
}

func (c *merchantCache) drop(mchID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, mchID)
}

func (c *merchantCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.m)
}

// atLeast forgets a merchant that is older than this revision.
func (c *merchantCache) atLeast(mchID string, revision int64) {
	c.mu.RLock()
	m, ok := c.m[mchID]
	c.mu.RUnlock()
	if ok && m.Revision < revision {
		c.drop(mchID)
	}
}

// packMerchant packs a merchant as JSON, sealed with a checksum.
func packMerchant(m *store.Merchant) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("packing merchant %s: %w", m.MchID, err)
	}
	return packed.Seal(b), nil
}

func unpackMerchant(raw string) (m store.Merchant, err error) {
	b, whole := packed.Open([]byte(raw))
	if !whole || json.Unmarshal(b, &m) != nil {
		return m, errDamaged
	}
	if string(m.TLS) == "null" {
		m.TLS = nil
	}
	return m, nil
}

// Merchant returns a merchant or store.ErrNoMerchant, at most merchantFresh old.
func (s *Store) Merchant(ctx context.Context, mchID string) (store.Merchant, error) {
	if m, ok := s.cache.get(mchID); ok {
		return m, nil
	}
	return s.readMerchant(ctx, mchID)
}

// readMerchant reads a merchant as it is now.
func (s *Store) readMerchant(ctx context.Context, mchID string) (store.Merchant, error) {
	if s.shards() == 0 {
		return store.Merchant{}, s.notReady()
	}
	pipe := s.rdb.Pipeline()
	found := s.getMerchant(ctx, pipe, mchID)
	_ = flush(ctx, pipe) // the first reply says it too
	raw, err := found.data.Result()
	switch {
	case errors.Is(err, redis.Nil):
		s.cache.drop(mchID)
		if err := s.marked(ctx, shardOf(mchID, s.shards())); err != nil {
			return store.Merchant{}, err
		}
		return store.Merchant{}, store.ErrNoMerchant
	case err != nil:
		return store.Merchant{}, s.fault(err)
	}
	m, err := unpackMerchant(raw)
	if err != nil {
		return m, fmt.Errorf("merchant %s: %w", mchID, err)
	}
	m.BreakerOpen = found.open()
	s.cache.put(m)
	return m, nil
}

// merchantReply is a merchant on its way: what was stored, and the breaker of its lane.
type merchantReply struct{ data, breaker *redis.StringCmd }

func (s *Store) getMerchant(ctx context.Context, pipe redis.Pipeliner, mchID string) merchantReply {
	prefix := s.prefix(shardOf(mchID, s.shards()))
	return merchantReply{pipe.HGet(ctx, prefix+"m", mchID), pipe.HGet(ctx, prefix+"l:"+mchID, "br")}
}

// open reports whether the breaker is; lua/lane.lua writes it.
func (r merchantReply) open() bool { return strings.HasPrefix(r.breaker.Val(), "1,") }

// writeMerchant writes a merchant whose lane is still at the given revision; false when it is not.
func (s *Store) writeMerchant(
	ctx context.Context, m *store.Merchant, revision int64, deleted, closes bool,
) (bool, error) {
	data, err := packMerchant(m)
	if err != nil {
		return false, err
	}
	until := int64(0)
	if !m.PausedUntil.IsZero() {
		until = ceilMicro(m.PausedUntil)
	}
	reply, err := s.run(ctx, call{
		shard: shardOf(m.MchID, s.shards()), script: merchantScript, args: []any{
			m.MchID, revision, flag(deleted), data, m.Revision, m.MaxInflight, m.RatePerSecond, flag(m.Paused),
			until, flag(m.Blocked), flag(closes),
		},
	})
	s.cache.drop(m.MchID)
	return err == nil && toInt(reply[1]) == 1, err
}

// CreateMerchant stores a new merchant; see store.Store. The revision goes on from that of an earlier
// merchant of the name.
func (s *Store) CreateMerchant(ctx context.Context, m store.Merchant) (store.Merchant, error) {
	if s.shards() == 0 {
		return m, s.notReady()
	}
	lane := s.prefix(shardOf(m.MchID, s.shards())) + "l:" + m.MchID
	for range merchantTries {
		v, err := s.rdb.HMGet(ctx, lane, "rv", "dl").Result()
		if err != nil {
			return store.Merchant{}, s.fault(err)
		}
		before := toInt(v[0])
		deleted := toText(v[1]) == "1"
		if before != 0 && !deleted {
			return store.Merchant{}, store.ErrExists
		}
		m.Revision, m.CreatedAt = before+1, s.Now().Truncate(time.Microsecond)
		done, err := s.writeMerchant(ctx, &m, before, deleted, true)
		if done || err != nil {
			return m, err
		}
	}
	return store.Merchant{}, fmt.Errorf("%w: merchant %s changes all the time", store.ErrUnavailable, m.MchID)
}

// UpdateMerchant changes a merchant in one step; see store.Store. A change of notify_url ends a hold for the
// old address.
func (s *Store) UpdateMerchant(
	ctx context.Context, mchID string, change func(*store.Merchant) error,
) (store.Merchant, error) {
	for range merchantTries {
		m, err := s.readMerchant(ctx, mchID)
		if err != nil {
			return store.Merchant{}, err
		}
		was := m
		if err := change(&m); err != nil {
			s.cache.drop(mchID) // what was handed out may share maps with it
			return store.Merchant{}, err
		}
		if was.Blocked && m.NotifyURL != was.NotifyURL {
			m.Blocked = false
		}
		m.MchID, m.Revision, m.CreatedAt = mchID, was.Revision+1, was.CreatedAt
		closes := store.ClosesBreaker(&was, &m)
		done, err := s.writeMerchant(ctx, &m, was.Revision, false, closes)
		if done || err != nil {
			m.BreakerOpen = was.BreakerOpen && !closes
			return m, err
		}
	}
	return store.Merchant{}, fmt.Errorf("%w: merchant %s changes all the time", store.ErrUnavailable, mchID)
}

// DeleteMerchant deletes a merchant to whom nothing is owed; see store.Store.
func (s *Store) DeleteMerchant(ctx context.Context, mchID string) error {
	for range merchantTries {
		m, err := s.readMerchant(ctx, mchID)
		if err != nil {
			return err
		}
		reply, err := s.run(ctx, call{
			shard: shardOf(mchID, s.shards()), script: merchantScript, args: []any{mchID, m.Revision, ""},
		})
		s.cache.drop(mchID)
		switch {
		case err != nil:
			return err
		case toInt(reply[1]) == 1:
			return nil
		case toInt(reply[1]) == 2:
			return store.ErrHasPending
		}
	}
	return fmt.Errorf("%w: merchant %s changes all the time", store.ErrUnavailable, mchID)
}

// Merchants pages through all merchants by mch_id; see store.Store. The cursor is the last mch_id.
func (s *Store) Merchants(ctx context.Context, cursor string, limit int) ([]store.Merchant, string, error) {
	shards := s.shards()
	if shards == 0 {
		return nil, "", s.notReady()
	}
	limit = max(limit, 1)
	from := "-"
	if cursor != "" {
		from = "(" + cursor
	}
	var names []string
	pipe := s.rdb.Pipeline()
	for shard := range shards {
		page := &redis.ZRangeBy{Min: from, Max: "+", Count: int64(limit) + 1}
		pipe.ZRangeByLex(ctx, s.prefix(shard)+"names", page)
	}
	replies, err := pipe.Exec(ctx)
	if err != nil {
		return nil, "", s.fault(err)
	}
	for _, reply := range replies {
		if page, ok := reply.(*redis.StringSliceCmd); ok {
			names = append(names, page.Val()...)
		}
	}
	slices.Sort(names)
	next := ""
	if len(names) > limit {
		names = names[:limit]
		next = names[limit-1]
	}
	ms, err := s.readMerchants(ctx, names)
	return ms, next, err
}

func (s *Store) readMerchants(ctx context.Context, names []string) ([]store.Merchant, error) {
	ms := make([]store.Merchant, 0, len(names))
	if len(names) == 0 {
		return ms, nil
	}
	pipe := s.rdb.Pipeline()
	gets := make([]merchantReply, len(names))
	for i, name := range names {
		gets[i] = s.getMerchant(ctx, pipe, name)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, s.fault(err)
	}
	for i, get := range gets {
		raw, err := get.data.Result()
		if errors.Is(err, redis.Nil) {
			continue // deleted just now
		}
		if err != nil {
			return nil, s.fault(err)
		}
		m, err := unpackMerchant(raw)
		if err != nil {
			return nil, fmt.Errorf("merchant %s: %w", names[i], err)
		}
		m.BreakerOpen = get.open()
		ms = append(ms, m)
	}
	return ms, nil
}
