package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

var _ store.Mover = (*Store)(nil)

var (
	importScript = newScript("import")
	goneScript   = newScript("gone")
)

const (
	walkPage   = 10_000 // names or notify_ids read at once
	importPage = 100    // notifications in one script: 250 KB, and some milliseconds that others wait
)

// movedID is a notification to be read out: 32 bytes, so that ten million can be put into their order.
type movedID struct {
	id    [store.NotifyIDChars]byte
	shard uint8
	state uint8  // of its partition, for a record that cannot be read
	mch   uint32 // in walked.names
}

// walked is everything that there is to read out. It is walked over once, when Export begins: nobody serves
// the store meanwhile.
type walked struct {
	names []string
	ids   []movedID
}

// aloneError says why this process must not go on moving the store.
func (s *Store) aloneError() error {
	if err := s.alone.Load(); err != nil {
		return *err
	}
	if s.shards() == 0 {
		return s.notReady()
	}
	return nil
}

// Release turns every live claim into an interrupted attempt; see store.Mover.
func (s *Store) Release(ctx context.Context) (n int, err error) {
	err = s.eachMerchant(ctx, func(shard int, mch string, _ bool) error {
		ids, err := s.rdb.ZRange(ctx, s.prefix(shard)+"c:"+mch, 0, -1).Result()
		if err != nil {
			return s.fault(err)
		}
		for _, id := range ids {
			raw, err := s.rdb.Get(ctx, s.prefix(shard)+"n:"+id).Result()
			if errors.Is(err, redis.Nil) {
				continue
			}
			if err != nil {
				return s.fault(err)
			}
			done, err := s.interrupt(ctx, shard, id, raw)
			if err != nil && !errors.Is(err, errDamaged) { // a damaged one goes without its content
				return err
			}
			if done {
				n++
			}
		}
		return nil
	})
	return n, err
}

// eachMerchant calls fn for every merchant, also for deleted ones.
func (s *Store) eachMerchant(ctx context.Context, fn func(shard int, mch string, deleted bool) error) error {
	if err := s.aloneError(); err != nil {
		return err
	}
	for shard := range s.shards() {
		for _, set := range []string{"names", "gone"} {
			for from := int64(0); ; from += walkPage {
				names, err := s.rdb.ZRange(ctx, s.prefix(shard)+set, from, from+walkPage-1).Result()
				if err != nil {
					return s.fault(err)
				}
				for _, mch := range names {
					if err := fn(shard, mch, set == "gone"); err != nil {
						return err
					}
				}
				if len(names) < walkPage {
					break
				}
			}
		}
	}
	return nil
}

// ExportMerchants pages through all merchants; see store.Mover. The cursor is the last mch_id.
func (s *Store) ExportMerchants(
	ctx context.Context, cursor string, most int,
) (out []store.MovedMerchant, next string, err error) {
	if err := s.aloneError(); err != nil {
		return nil, "", err
	}
	from := "-"
	if cursor != "" {
		from = "(" + cursor
	}
	deleted := map[string]bool{}
	var names []string
	for shard := range s.shards() {
		for _, set := range []string{"names", "gone"} {
			page, err := s.rdb.ZRangeByLex(ctx, s.prefix(shard)+set, &redis.ZRangeBy{
				Min: from, Max: "+", Count: int64(most) + 1,
			}).Result()
			if err != nil {
				return nil, "", s.fault(err)
			}
			names = append(names, page...)
			for _, mch := range page {
				deleted[mch] = set == "gone"
			}
		}
	}
	slices.Sort(names)
	if len(names) > most {
		names = names[:most]
		next = names[most-1]
	}
	live := slices.DeleteFunc(slices.Clone(names), func(mch string) bool { return deleted[mch] })
	ms, err := s.readMerchants(ctx, live)
	if err != nil || len(ms) != len(live) {
		return nil, "", errors.Join(err, missing(len(live)-len(ms), "merchants"))
	}
	for _, mch := range names {
		m := store.MovedMerchant{Deleted: deleted[mch]}
		if m.MchID = mch; !m.Deleted {
			m.Merchant, ms = ms[0], ms[1:]
		}
		out = append(out, m)
	}
	return out, next, nil
}

func missing(n int, what string) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d %s stand in an index and are not there: Redis has lost a part of the store", n, what)
}

// Export pages through all notifications by notify_id; see store.Mover. The cursor is the last notify_id.
func (s *Store) Export(
	ctx context.Context, cursor string, most int,
) (out []store.Moved, next string, err error) {
	if err := s.aloneError(); err != nil {
		return nil, "", err
	}
	w := s.walked.Load()
	if w == nil || cursor == "" {
		if w, err = s.walk(ctx); err != nil {
			return nil, "", err
		}
		s.walked.Store(w)
	}
	at, found := slices.BinarySearchFunc(w.ids, cursor, func(m movedID, id string) int {
		return strings.Compare(string(m.id[:]), id)
	})
	if found {
		at++
	}
	page := w.ids[at:min(at+most, len(w.ids))]
	if at+most < len(w.ids) {
		next = string(page[most-1].id[:])
	} else {
		s.walked.Store(nil) // it is large
	}
	out, err = s.readMoved(ctx, w, page)
	return out, next, err
}

// walk finds all notifications and puts them in order.
func (s *Store) walk(ctx context.Context) (*walked, error) {
	w := &walked{}
	err := s.eachMerchant(ctx, func(shard int, mch string, _ bool) error {
		parts, err := s.rdb.HGet(ctx, s.prefix(shard)+"l:"+mch, "pt").Result()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		if err != nil {
			return s.fault(err)
		}
		m := movedID{shard: uint8(shard), mch: uint32(len(w.names))} //nolint:gosec // 36 shards; memory ends before
		w.names = append(w.names, mch)
		for part := range strings.SplitSeq(strings.TrimSuffix(parts, ","), ",") {
			if part == "" {
				continue
			}
			m.state = part[0]
			if err := s.walkPart(ctx, w, m, s.prefix(shard)+"t:"+mch+":"+part); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(w.ids, func(a, b movedID) int { return strings.Compare(string(a.id[:]), string(b.id[:])) })
	return w, err
}

func (s *Store) walkPart(ctx context.Context, w *walked, m movedID, key string) error {
	for from := int64(0); ; from += walkPage {
		ids, err := s.rdb.ZRange(ctx, key, from, from+walkPage-1).Result()
		if err != nil {
			return s.fault(err)
		}
		for _, id := range ids {
			if copy(m.id[:], id) != len(id) || len(id) != store.NotifyIDChars {
				return fmt.Errorf("%s has %q, which is no notify_id", key, id)
			}
			w.ids = append(w.ids, m)
		}
		if len(ids) < walkPage {
			return nil
		}
	}
}

// readMoved reads a page of records.
func (s *Store) readMoved(ctx context.Context, w *walked, page []movedID) ([]store.Moved, error) {
	if len(page) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	gets := make([]*redis.StringCmd, len(page))
	for i := range page {
		gets[i] = pipe.Get(ctx, s.prefix(int(page[i].shard))+"n:"+string(page[i].id[:]))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, s.fault(err)
	}
	out := make([]store.Moved, len(page))
	for i, get := range gets {
		raw, err := get.Result()
		if errors.Is(err, redis.Nil) {
			return nil, missing(1, "notifications")
		}
		if err != nil {
			return nil, s.fault(err)
		}
		if out[i], err = s.export(&page[i], w.names[page[i].mch], raw); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// export is a record as it is moved. Of a damaged one only what names it is kept: nobody may send the rest.
func (s *Store) export(id *movedID, mch, raw string) (m store.Moved, err error) {
	r, err := parseRecord(string(id.id[:]), raw)
	switch {
	case errors.Is(err, errDamaged):
		state := store.Quarantined
		if id.state == '1' || id.state == shrunkDigit {
			state = store.Spent
		}
		s.log.Error("a damaged notification is moved without its content", "notify_id", string(id.id[:]),
			"mch_id", mch, "state", state)
		return store.Rescue(string(id.id[:]), mch, state)
	case err != nil:
		return m, fmt.Errorf("%s: %w", id.id[:], err)
	case r.token != 0:
		return m, fmt.Errorf("%s is in flight: %w", id.id[:], &InUseError{By: "whoever claimed it"})
	}
	m.Notification, m.FinalAt = r.n, r.finalAt
	m.Attempts = make([]store.MovedAttempt, len(r.attempts))
	for i := range r.attempts {
		a := &r.attempts[i]
		m.Attempts[i] = store.MovedAttempt{Attempt: a.Attempt, State: a.state, NextAt: a.next}
	}
	return m, nil
}

// ImportMerchants stores merchants as they are; see store.Mover.
func (s *Store) ImportMerchants(ctx context.Context, ms []store.MovedMerchant) error {
	if err := s.aloneError(); err != nil {
		return err
	}
	for i := range ms {
		m := &ms[i]
		shard := shardOf(m.MchID, s.shards())
		if m.Deleted {
			_, err := s.run(ctx, call{shard: shard, script: goneScript, args: []any{m.MchID}, wait: true})
			if err != nil {
				return err
			}
			continue
		}
		v, err := s.rdb.HMGet(ctx, s.prefix(shard)+"l:"+m.MchID, "rv", "dl").Result()
		if err != nil {
			return s.fault(err)
		}
		done, err := s.writeMerchant(ctx, &m.Merchant, toInt(v[0]), toText(v[1]) == "1", true)
		if err != nil {
			return err
		}
		if !done {
			return fmt.Errorf("merchant %s: %w", m.MchID, &InUseError{By: "somebody who changed it just now"})
		}
	}
	return nil
}

// Import stores notifications as they are; see store.Mover. They keep their notify_ids, which may name
// another shard than that of their merchant: load looks on every shard then.
func (s *Store) Import(ctx context.Context, items []store.Moved) error {
	if err := s.aloneError(); err != nil {
		return err
	}
	byShard := make([][]any, s.shards())
	for i := range items {
		args, err := importArgs(&items[i])
		if err != nil {
			return err
		}
		shard := shardOf(items[i].MchID, s.shards())
		byShard[shard] = append(byShard[shard], args...)
		if len(byShard[shard]) >= importPage*len(args) {
			if err := s.importAt(ctx, shard, byShard[shard]); err != nil {
				return err
			}
			byShard[shard] = nil
		}
	}
	for shard, args := range byShard {
		if len(args) == 0 {
			continue
		}
		if err := s.importAt(ctx, shard, args); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) importAt(ctx context.Context, shard int, args []any) error {
	reply, err := s.run(ctx, call{shard: shard, script: importScript, args: args, wait: true, grows: true})
	switch {
	case err != nil:
		return err
	case len(reply) > 2 && toInt(reply[1]) < 0:
		return fmt.Errorf("of %q: %w", toText(reply[2]), store.ErrNoMerchant)
	}
	return nil
}

// importArgs are the arguments of lua/import.lua for one notification.
func importArgs(m *store.Moved) ([]any, error) {
	at, _, err := store.ParseID(m.NotifyID)
	if err != nil || !at.Equal(m.CreatedAt) || m.InFlight {
		return nil, fmt.Errorf("%q cannot be moved in: want a notify_id that says when it was accepted, and no "+
			"attempt under way", m.NotifyID)
	}
	r := &record{n: m.Notification, finalAt: m.FinalAt}
	base := at.UnixMicro()
	raw := append([]byte(frontOf(0, 0, 0, 0)), r.header(base)...)
	raw = append(raw, packBody(&r.n)...)
	for i := range m.Attempts {
		a := &m.Attempts[i]
		e := entry{Attempt: a.Attempt, state: a.State, next: a.NextAt}
		raw = append(raw, e.pack(base)...)
	}
	p := placeOf(r)
	key, order := "", any("")
	if r.n.IdempotencyKey != "" {
		key = keyField(r.n.IdempotencyKey)
	}
	if r.n.OutTradeNo != "" {
		order = otnScore(r.n.OutTradeNo)
	}
	return []any{
		r.n.MchID, r.n.NotifyID, raw, base, p.part, p.class, p.due, flag(p.blocked), p.send, key, order,
	}, nil
}

// Clear forgets everything but the markers of the shards; see store.Mover.
func (s *Store) Clear(ctx context.Context) error {
	if err := s.aloneError(); err != nil {
		return err
	}
	keep := map[string]bool{s.movingKey(): true, s.nodesKey(): true}
	for shard := range s.shards() {
		keep[s.metaKey(shard)] = true
	}
	defer func() { s.cache.forget(); s.keys.changed() }()
	if c, ok := s.rdb.(*redis.ClusterClient); ok {
		return s.fault(c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			return s.clearNode(ctx, node, keep)
		}))
	}
	return s.fault(s.clearNode(ctx, s.rdb, keep))
}

func (s *Store) clearNode(ctx context.Context, node redis.Cmdable, keep map[string]bool) error {
	pattern := globEscaper.Replace(s.opts.Prefix) + "{s*}:*"
	cursor := uint64(0)
	for {
		keys, next, err := node.Scan(ctx, cursor, pattern, 1000).Result()
		if err != nil {
			return err
		}
		pipe := node.Pipeline() // one key a command: on a Cluster they are in different slots
		for _, key := range keys {
			if !keep[key] {
				pipe.Unlink(ctx, key)
			}
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// Metas returns all texts that SetMeta kept; see store.Mover.
func (s *Store) Metas(ctx context.Context) (map[string]string, error) {
	if err := s.aloneError(); err != nil {
		return nil, err
	}
	fields, err := s.rdb.HGetAll(ctx, s.metaKey(0)).Result()
	if err != nil {
		return nil, s.fault(err)
	}
	all := make(map[string]string)
	for name, value := range fields {
		if name, ok := strings.CutPrefix(name, metaApp); ok && value != "" {
			all[name] = value
		}
	}
	return all, nil
}
