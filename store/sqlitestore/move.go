package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"paynotify/store"
	"paynotify/store/packed"
)

var _ store.Mover = (*Store)(nil)

// Release turns every live claim into an interrupted attempt; see store.Mover. Open has done so with those of
// the last process.
func (s *Store) Release(ctx context.Context) (int, error) {
	n := 0
	err := s.do(ctx, func(w *writer) error {
		lost := append([]*claim(nil), w.claims.list...)
		n = len(lost)
		return w.interrupt(lost, "the store is moved: the process that had the claim is gone")
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// ExportMerchants pages through all merchants; see store.Mover. The cursor is the last mch_id.
func (s *Store) ExportMerchants(
	ctx context.Context, cursor string, most int,
) (out []store.MovedMerchant, next string, err error) {
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		rs := c.query(ctx, "SELECT mch_id, data FROM merchants WHERE mch_id > ? ORDER BY mch_id LIMIT ?",
			cursor, int64(most)+1)
		for rs.next() {
			if len(out) == most {
				next = out[most-1].MchID
				break
			}
			m := store.MovedMerchant{Deleted: rs.null(1)}
			m.MchID = rs.text(0)
			if !m.Deleted {
				whole, err := unpackMerchant(rs.blob(1))
				if err != nil || whole.MchID != m.MchID {
					return errors.Join(fmt.Errorf("merchant %s: %w: see paynotify fsck", m.MchID, errDamaged), rs.close())
				}
				m.Merchant = whole
			}
			out = append(out, m)
		}
		return rs.close()
	})
	return out, next, err
}

// Export pages through all notifications; see store.Mover. The cursor is the last row.
func (s *Store) Export(
	ctx context.Context, after string, most int,
) (out []store.Moved, next string, err error) {
	var from int64
	if after != "" {
		if from, err = parseCursor("m", after); err != nil {
			return nil, "", err
		}
	}
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		found, err := s.readMoved(ctx, c, from, most+1)
		if err != nil {
			return err
		}
		if len(found) > most {
			found = found[:most]
			next = cursor("m", found[most-1].r.id)
		}
		for i := range found {
			m, err := s.export(ctx, c, &found[i])
			if err != nil {
				return err
			}
			out = append(out, m)
		}
		return nil
	})
	return out, next, err
}

// exported is a row as it was read, and what is wrong with it.
type exported struct {
	r   row
	bad error
}

func (s *Store) readMoved(ctx context.Context, c *conn, from int64, most int) (found []exported, err error) {
	rs := c.query(ctx, "SELECT n.id, mch, state, class, due, said, otn, idem, prog, body.data "+
		"FROM n LEFT JOIN body ON body.id = n.id WHERE n.id > ? ORDER BY n.id LIMIT ?", from, int64(most))
	for rs.next() {
		var e exported
		e.bad = e.r.scan(rs, s.mchIDOn(ctx, c), s.words)
		body := rs.blob(9)
		if e.bad == nil && bodySum(packed.Sum(body), &e.r.n) != e.r.bodySum {
			e.bad = errDamaged
		}
		if e.bad == nil {
			e.bad = unpackBody(body, &e.r.n)
		}
		found = append(found, e)
	}
	return found, rs.close()
}

// export adds the attempts. Of a damaged notification only what names it is kept: nobody may send the rest.
func (s *Store) export(ctx context.Context, c *conn, e *exported) (m store.Moved, err error) {
	r := &e.r
	if e.bad != nil {
		if m, err = rescue(r); err == nil {
			s.log.Error("a damaged notification is moved without its content", "notify_id", m.NotifyID,
				"mch_id", m.MchID, "state", m.State)
		}
		return m, err
	}
	m.Notification, m.FinalAt = r.n, r.finalAt
	m.Attempts = make([]store.MovedAttempt, 0, r.n.AttemptCount)
	err = s.eachAttempt(ctx, c, r.id, r.lastSeq, func(_ int64, a *record) bool {
		m.Attempts = append(m.Attempts, store.MovedAttempt{Attempt: a.Attempt, State: a.state, NextAt: a.next})
		return true
	})
	for i, j := 0, len(m.Attempts)-1; i < j; i, j = i+1, j-1 {
		m.Attempts[i], m.Attempts[j] = m.Attempts[j], m.Attempts[i]
	}
	for i := range m.Attempts {
		m.Attempts[i].N = i + 1
	}
	return m, err
}

// rescue keeps what names a damaged row, and the key under which it is not accepted twice.
func rescue(r *row) (m store.Moved, err error) {
	if r.n.MchID != "" {
		m, err = store.Rescue(r.n.NotifyID, r.n.MchID, r.n.State)
	}
	if err != nil || r.n.MchID == "" {
		return m, fmt.Errorf("the notification accepted at microsecond %d cannot be read: see paynotify fsck, or "+
			"restore a backup", r.id)
	}
	m.OutTradeNo, m.IdempotencyKey = strings.ToValidUTF8(r.n.OutTradeNo, "?"), r.n.IdempotencyKey
	return m, nil
}

// ImportMerchants stores merchants as they are; see store.Mover.
func (s *Store) ImportMerchants(ctx context.Context, ms []store.MovedMerchant) error {
	return s.do(ctx, func(w *writer) error {
		if w.full {
			return refuse(store.ErrFull)
		}
		for i := range ms {
			if err := w.importMerchant(&ms[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writer) importMerchant(m *store.MovedMerchant) error {
	if !m.Deleted {
		return w.writeMerchant(&m.Merchant)
	}
	if w.lanes[m.MchID] != nil {
		return nil
	}
	if err := w.begin(); err != nil {
		return err
	}
	l := &lane{num: w.highest + 1, id: m.MchID, coming: never, deleted: true}
	if err := w.c.do("INSERT INTO merchants VALUES (?, ?, NULL, NULL)", l.num, l.id); err != nil {
		return err
	}
	w.lanes[l.id], w.byNum[l.num], w.highest = l, l, l.num
	return nil
}

// Import stores notifications as they are; see store.Mover.
func (s *Store) Import(ctx context.Context, items []store.Moved) error {
	return s.do(ctx, func(w *writer) error {
		if w.full {
			return refuse(store.ErrFull)
		}
		for i := range items {
			m := &items[i]
			if w.lanes[m.MchID] == nil {
				return refuse(fmt.Errorf("%s of %q: %w", m.NotifyID, m.MchID, store.ErrNoMerchant))
			}
			if at, _, err := store.ParseID(m.NotifyID); err != nil || !at.Equal(m.CreatedAt) || m.InFlight {
				return refuse(fmt.Errorf("%q cannot be moved in: want a notify_id that says when it was accepted, and "+
					"no attempt under way", m.NotifyID))
			}
		}
		if err := w.begin(); err != nil {
			return err
		}
		upTo := s.movedUpTo.Load()
		for i := range items {
			id, err := w.importOne(&items[i])
			if err != nil {
				return err
			}
			upTo = max(upTo, id)
		}
		if upTo == s.movedUpTo.Load() {
			return nil
		}
		s.movedUpTo.Store(upTo) // too far does no harm
		return writeMeta(w.c, metaMovedUpTo, strconv.FormatInt(upTo, 10))
	})
}

// importOne stores one notification. It returns the row's id if a look-up has to search for it, else 0.
func (w *writer) importOne(m *store.Moved) (moved int64, err error) {
	us := m.CreatedAt.UnixMicro()
	id, there, err := w.place(m.NotifyID, us)
	if err != nil || there {
		return 0, err
	}
	l := w.lanes[m.MchID]
	r := &row{
		id: id, mch: l.num, n: m.Notification, finalAt: m.FinalAt, moved: notifyIDOf(id, m.NotifyID) != m.NotifyID,
	}
	body := packBody(&r.n)
	r.bodySum = bodySum(packed.Sum(body), &r.n)
	for i := range m.Attempts {
		a := &m.Attempts[i]
		rec := record{Attempt: a.Attempt, prev: r.lastSeq, state: a.State, next: a.NextAt}
		if err := w.append(r, &rec, i+1); err != nil {
			return 0, err
		}
	}
	w.count(r, l, +1)
	w.lastID = max(w.lastID, id)
	w.highestID, w.highestAt = max(w.highestID, m.NotifyID), w.lastID
	w.touch(l)
	if r.moved {
		moved = id
	}
	return moved, w.insert(r, body)
}

// Clear forgets everything but the texts of Meta; see store.Mover.
func (s *Store) Clear(ctx context.Context) error {
	return s.do(ctx, func(w *writer) error {
		if err := w.begin(); err != nil {
			return err
		}
		for _, text := range []string{
			"DELETE FROM attempts", "DELETE FROM body", "DELETE FROM n", "DELETE FROM merchants",
			"DELETE FROM said WHERE id > 1", "UPDATE live SET claims = x'', counters = x''",
			"DELETE FROM keys", "DELETE FROM audit",
			"DELETE FROM meta WHERE key IN ('" + metaSending + "', '" + metaTokens + "', '" + metaMovedUpTo + "') " +
				"OR key GLOB '" + markPrefix + "*'",
		} {
			if err := w.c.run(text); err != nil {
				return err
			}
		}
		for len(w.claims.list) > 0 {
			w.claims.remove(w.claims.list[0])
		}
		w.journal, w.ghosts = w.journal[:0], make(map[candidate]bool)
		w.lastID, w.lastSeq, w.highest, w.dirty = 0, 0, 0, false
		s.movedUpTo.Store(0)
		s.pruned.Store(0)
		s.blocks.clear()
		s.cache.clear()
		w.after = append(w.after, s.keys.clear)
		return w.load() // which ends the transaction
	})
}

// Metas returns all texts that SetMeta kept; see store.Mover.
func (s *Store) Metas(ctx context.Context) (map[string]string, error) { return s.metas(ctx, appPrefix) }

// metas reads the texts of the table meta whose names begin so.
func (s *Store) metas(ctx context.Context, prefix string) (map[string]string, error) {
	all := make(map[string]string)
	err := s.read(ctx, func(ctx context.Context, c *conn) error {
		rs := c.query(ctx, "SELECT key, value FROM meta")
		for rs.next() {
			if name, ok := strings.CutPrefix(rs.text(0), prefix); ok && rs.text(1) != "" {
				all[name] = rs.text(1)
			}
		}
		return rs.close()
	})
	return all, err
}

// checkMarks refuses a store that was moved, or is being moved, unless it is opened for that. Serving a store
// ends a migration away from it that did not get to its end: from now on the target would miss something.
func (s *Store) checkMarks(c *conn) error {
	if s.opts.ForMigration {
		return nil
	}
	meta := func(name string) (string, error) { return readMeta(context.Background(), c, appPrefix+name) }
	if err := store.CheckMarks(meta); err != nil {
		return err
	}
	run, err := meta(store.MetaMovingRun)
	if err != nil || run == "" {
		return err
	}
	return c.do("DELETE FROM meta WHERE key = ?", appPrefix+store.MetaMovingRun)
}
