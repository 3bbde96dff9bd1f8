package sqlitestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"

	"paynotify/store"
	"paynotify/store/packed"
)

// A merchant is kept as JSON, sealed with a checksum; what its lane needs of it also lies packed beside it,
// so that a start with many merchants reads little.

func packMerchant(m *store.Merchant) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("packing merchant %s: %w", m.MchID, err)
	}
	return packed.Seal(b), nil
}

func unpackMerchant(b []byte) (m store.Merchant, err error) {
	if b, err = opened(b); err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, errDamaged
	}
	if string(m.TLS) == "null" {
		m.TLS = nil
	}
	return m, nil
}

// pack packs what the lane needs of its merchant.
func packLane(m *store.Merchant) []byte {
	e := packed.Writer{}
	e.Byte(1)
	e.Uint(uint64(m.Revision))    //nolint:gosec // counts
	e.Uint(uint64(m.MaxInflight)) //nolint:gosec // counts
	e.Uint(math.Float64bits(m.RatePerSecond))
	e.Bool(m.Paused)
	e.Time(m.PausedUntil, 0)
	e.Bool(m.Blocked)
	return packed.Seal(e.B)
}

// unpack reads it; nil is a deleted merchant.
func (l *lane) unpack(b []byte) error {
	l.deleted = b == nil
	if l.deleted {
		return nil
	}
	b, err := opened(b)
	if err != nil {
		return err
	}
	d := packed.Reader{B: b[1:]}
	l.revision, l.max = int64(d.Uint()), d.Count() //nolint:gosec // checked by the sum
	l.rate = math.Float64frombits(d.Uint())
	l.paused = d.Bool()
	l.until = 0
	if until := d.Time(0); !until.IsZero() {
		l.until = (until.UnixNano() + 999) / 1000
	}
	l.blocked = d.Bool()
	if d.Bad {
		return errDamaged
	}
	return nil
}

// writeMerchant stores a merchant and brings its lane up to date.
func (w *writer) writeMerchant(m *store.Merchant) error {
	data, err := packMerchant(m)
	if err != nil {
		return refuse(err)
	}
	if err := w.begin(); err != nil {
		return err
	}
	packed := packLane(m)
	l := w.lanes[m.MchID]
	if l == nil {
		l = &lane{num: w.highest + 1, id: m.MchID, coming: never}
	}
	if l.rate <= 0 { // a fresh limit starts with a full bucket
		l.tokens, l.tokensAt = store.RateBurst(m.RatePerSecond), w.now
	}
	err = w.c.do("INSERT INTO merchants VALUES (?, ?, ?, ?) ON CONFLICT (num) DO UPDATE SET "+
		"lane = excluded.lane, data = excluded.data", l.num, l.id, packed, data)
	if err != nil {
		return err
	}
	w.lanes[l.id], w.byNum[l.num] = l, l
	w.highest = max(w.highest, l.num)
	if err := l.unpack(packed); err != nil {
		return err
	}
	w.touch(l)
	fresh, err := unpackMerchant(data) // a copy of its own, as readers will see it
	if err != nil {
		return err
	}
	w.after = append(w.after, func() { w.s.cache.put(fresh) })
	return nil
}

// readMerchant reads a merchant on any connection.
func readMerchant(ctx context.Context, c *conn, mchID string) (m store.Merchant, err error) {
	var data []byte
	_, err = c.query(ctx, "SELECT data FROM merchants WHERE mch_id = ?", mchID).
		one(func(r *rows) { data = r.blob(0) })
	switch {
	case err != nil:
		return m, err
	case data == nil:
		return m, store.ErrNoMerchant
	}
	if m, err = unpackMerchant(data); err != nil {
		return m, fmt.Errorf("merchant %s: %w: run paynotify fsck", mchID, err)
	}
	return m, nil
}

// CreateMerchant stores a new merchant; see store.Store.
func (s *Store) CreateMerchant(ctx context.Context, m store.Merchant) (store.Merchant, error) {
	err := s.do(ctx, func(w *writer) error {
		l := w.lanes[m.MchID]
		switch {
		case w.full:
			return refuse(store.ErrFull)
		case l != nil && !l.deleted:
			return refuse(store.ErrExists)
		}
		m.Revision = 1
		if l != nil {
			m.Revision = l.revision + 1 // of an earlier merchant of that name
		}
		m.CreatedAt = w.time()
		return w.writeMerchant(&m)
	})
	if err != nil {
		return store.Merchant{}, err
	}
	return m, nil
}

// UpdateMerchant changes a merchant in one step; see store.Store. The change runs on the caller's goroutine,
// again when somebody else was faster. A change of notify_url ends a hold for the old address.
func (s *Store) UpdateMerchant(
	ctx context.Context, mchID string, change func(*store.Merchant) error,
) (store.Merchant, error) {
	for {
		var m store.Merchant
		err := s.read(ctx, func(ctx context.Context, c *conn) (err error) {
			m, err = readMerchant(ctx, c, mchID)
			return err
		})
		if err != nil {
			return store.Merchant{}, err
		}
		s.breakers.show(&m)
		was := m
		if err := change(&m); err != nil {
			return store.Merchant{}, err
		}
		if was.Blocked && m.NotifyURL != was.NotifyURL {
			m.Blocked = false
		}
		m.MchID, m.Revision, m.CreatedAt = mchID, was.Revision+1, was.CreatedAt
		err = s.do(ctx, func(w *writer) error {
			l := w.lanes[mchID]
			switch {
			case l == nil || l.deleted:
				return refuse(store.ErrNoMerchant)
			case l.revision != was.Revision:
				return refuse(errOverrun)
			}
			if store.ClosesBreaker(&was, &m) {
				w.closeBreaker(l)
			}
			return w.writeMerchant(&m)
		})
		switch {
		case err == nil:
			s.breakers.show(&m)
			return m, nil
		case !errors.Is(err, errOverrun):
			return store.Merchant{}, err
		}
	}
}

var errOverrun = errors.New("the merchant changed meanwhile")

// holdMerchant closes a lane because its address was refused.
func (w *writer) holdMerchant(l *lane) error {
	m, err := readMerchant(context.Background(), w.c, l.id)
	if err != nil {
		return err
	}
	m.Blocked = true
	m.Revision++
	return w.writeMerchant(&m)
}

// DeleteMerchant forgets a merchant; see store.Store. Its name stays with its notifications.
func (s *Store) DeleteMerchant(ctx context.Context, mchID string) error {
	return s.do(ctx, func(w *writer) error {
		l := w.lanes[mchID]
		switch {
		case l == nil || l.deleted:
			return refuse(store.ErrNoMerchant)
		case l.pending > 0 || l.inflight > 0 || l.waiting != [store.Classes]int{}:
			return refuse(store.ErrHasPending)
		}
		if err := w.begin(); err != nil {
			return err
		}
		if err := w.c.do("UPDATE merchants SET lane = NULL, data = NULL WHERE num = ?", l.num); err != nil {
			return err
		}
		l.deleted = true
		w.closeBreaker(l)
		w.touch(l)
		w.after = append(w.after, func() { s.cache.drop(mchID) })
		return nil
	})
}

// Merchant returns a merchant from memory, or from disk once; see store.Store.
func (s *Store) Merchant(ctx context.Context, mchID string) (store.Merchant, error) {
	if m, ok := s.cache.get(mchID); ok {
		s.breakers.show(&m)
		return m, nil
	}
	before := s.cache.changes()
	var m store.Merchant
	err := s.read(ctx, func(ctx context.Context, c *conn) (err error) {
		m, err = readMerchant(ctx, c, mchID)
		return err
	})
	if err == nil {
		s.cache.offer(m, before)
		s.breakers.show(&m)
	}
	return m, err
}

// Merchants pages through all merchants; see store.Store. The cursor is the last mch_id.
func (s *Store) Merchants(
	ctx context.Context, cursor string, limit int,
) (out []store.Merchant, next string, err error) {
	limit = max(limit, 1)
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		rs := c.query(ctx, "SELECT mch_id, data FROM merchants WHERE mch_id > ? AND data IS NOT NULL "+
			"ORDER BY mch_id LIMIT ?", cursor, int64(limit)+1)
		for rs.next() {
			if len(out) == limit {
				next = out[limit-1].MchID
				break
			}
			m, err := unpackMerchant(rs.blob(1))
			if err != nil {
				return errors.Join(fmt.Errorf("merchant %s: %w: run paynotify fsck", rs.text(0), err), rs.close())
			}
			s.breakers.show(&m)
			out = append(out, m)
		}
		return rs.close()
	})
	return out, next, err
}

// merchantCache keeps merchants in memory. It is coherent because this process is the only one: the writer
// replaces what it has written, and what a reader found is only taken in if nothing was written meanwhile.
type merchantCache struct {
	mu   sync.RWMutex
	most int
	by   map[string]store.Merchant
	gen  uint64
}

func newMerchantCache(most int) *merchantCache {
	return &merchantCache{most: most, by: make(map[string]store.Merchant)}
}

func (mc *merchantCache) get(mchID string) (store.Merchant, bool) {
	mc.mu.RLock()
	defer mc.mu.RUnlock()
	m, ok := mc.by[mchID]
	return m, ok
}

func (mc *merchantCache) changes() uint64 {
	mc.mu.RLock()
	defer mc.mu.RUnlock()
	return mc.gen
}

func (mc *merchantCache) offer(m store.Merchant, gen uint64) {
	mc.mu.Lock()
	defer mc.mu.Unlock()
	if mc.gen == gen {
		mc.keep(m)
	}
}

func (mc *merchantCache) put(m store.Merchant) {
	mc.mu.Lock()
	defer mc.mu.Unlock()
	mc.gen++
	mc.keep(m)
}

func (mc *merchantCache) drop(mchID string) {
	mc.mu.Lock()
	defer mc.mu.Unlock()
	mc.gen++
	delete(mc.by, mchID)
}

func (mc *merchantCache) clear() {
	mc.mu.Lock()
	defer mc.mu.Unlock()
	mc.gen++
	clear(mc.by)
}

// keep takes a merchant in; a full cache loses an eighth, whichever.
func (mc *merchantCache) keep(m store.Merchant) {
	if _, known := mc.by[m.MchID]; !known && len(mc.by) >= mc.most {
		gone := 0
		for id := range mc.by {
			delete(mc.by, id)
			if gone++; gone > mc.most/8 {
				break
			}
		}
	}
	mc.by[m.MchID] = m
}
