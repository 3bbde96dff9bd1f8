package sqlitestore

import (
	"context"
	"fmt"
	"strconv"

	"paynotify/store"
)

// Notifications that another store made. Their notify_ids name a shard, and two of different shards may have
// one microsecond, which is the row id here. Such a notification takes the next free row id, and its row says
// the whole notify_id. Look-ups go to the microsecond first, and then through the few rows behind it. What
// was accepted here, after everything that was moved in, is found as ever.
//
// Rows stay in the order of their notify_ids as long as they are moved in in that order, and then finding a
// place costs nothing either.

// movedBehind is how many microseconds a row may lie behind its notify_id. A batch of 1,000 that is accepted
// in one microsecond by each of several shards fits.
const movedBehind = 4096

// metaMovedUpTo is the highest row id of such a notification, in the table meta.
const metaMovedUpTo = "moved_up_to"

// selectMoved finds the row of a notify_id that may have been moved in: from us on, below us + movedBehind,
// one whose prog begins so, or the one at us whose prog begins as one of ours. It ends at the first match, so
// that what lies where it should costs no more than a look.
const selectMoved = "SELECT id FROM n WHERE id >= ? AND id < ? AND (substr(prog, 1, 27) = ? OR id = ? AND " +
	"substr(prog, 1, 16) = ?) ORDER BY id"

// find runs selectMoved.
func find(ctx context.Context, c *conn, notifyID string, us int64) (id int64, found bool, err error) {
	moved := append([]byte{progMoved}, notifyID...)
	native := append([]byte{progVersion}, notifyID[store.NotifyIDChars-randomChars:]...)
	if notifyIDOf(us, notifyID) != notifyID {
		native = nil
	}
	found, err = c.query(ctx, selectMoved, us, us+movedBehind, moved, us, native).
		one(func(r *rows) { id = r.int(0) })
	return id, found, err
}

// locate tells at which row id to look for a notify_id, whose microsecond is us.
func (s *Store) locate(ctx context.Context, c *conn, notifyID string, us int64) (int64, error) {
	if us > s.movedUpTo.Load() {
		return us, nil
	}
	if id, found, err := find(ctx, c, notifyID, us); found || err != nil {
		return id, err
	}
	return us, nil
}

// locate is the same for the writer. What is in flight needs no look at the disk.
func (w *writer) locate(notifyID string, us int64) (int64, error) {
	if us > w.s.movedUpTo.Load() {
		return us, nil
	}
	if c := w.claims.of(us); c != nil && c.NotifyID == notifyID {
		return us, nil
	}
	if err := w.begin(); err != nil {
		return 0, err
	}
	return w.s.locate(context.Background(), w.c, notifyID, us)
}

// place finds the row of a notification that is moved in, or a free one for it: behind all others when they
// come in order, otherwise the first one that is free.
func (w *writer) place(notifyID string, us int64) (id int64, there bool, err error) {
	if err := w.findHighest(); err != nil {
		return 0, false, err
	}
	if free := max(us, w.lastID+1); notifyID > w.highestID && free < us+movedBehind {
		return free, false, nil
	}
	id, there, err = find(context.Background(), w.c, notifyID, us)
	if there || err != nil {
		return id, there, err
	}
	free := us
	rs := w.c.query(context.Background(), "SELECT id FROM n WHERE id >= ? AND id < ? ORDER BY id", us,
		us+movedBehind)
	for rs.next() && rs.int(0) == free {
		free++
	}
	if err := rs.close(); err != nil {
		return 0, false, err
	}
	if free >= us+movedBehind {
		return 0, false, fmt.Errorf("no free row for %s among the %d behind it", notifyID, movedBehind)
	}
	return free, false, nil
}

// findHighest finds the highest notify_id, unless it is known: its row is among the last ones.
func (w *writer) findHighest() error {
	if w.highestAt == w.lastID {
		return nil
	}
	w.highestID, w.highestAt = "", w.lastID
	rs := w.c.query(context.Background(), "SELECT "+rowColumns+" FROM n WHERE id > ?", w.lastID-movedBehind)
	for rs.next() {
		var r row
		_ = r.scan(rs, w.mchID, w.words) // what is damaged has no notify_id, or still its own
		w.highestID = max(w.highestID, r.n.NotifyID)
	}
	return rs.close()
}

// notifyIDOf is the notify_id that a row of this id would have by itself, with the random part of another.
func notifyIDOf(id int64, like string) string {
	return notifyID(id, like[store.NotifyIDChars-randomChars:])
}

// loadMoved reads up to where moved notifications lie.
func (s *Store) loadMoved(c *conn) error {
	text, err := readMeta(context.Background(), c, metaMovedUpTo)
	if err != nil || text == "" {
		s.movedUpTo.Store(0)
		return err
	}
	upTo, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("reading %s: %w", metaMovedUpTo, err)
	}
	s.movedUpTo.Store(upTo)
	return nil
}

// createdBetween is a condition on CreatedAt for rows that may have been moved in, and its arguments: from
// inclusive, below exclusive, in microseconds.
const createdBetween = " AND CASE substr(prog, 1, 1) WHEN x'02' " + // progMoved
	"THEN substr(prog, 2, 10) >= ? AND substr(prog, 2, 10) < ? ELSE id >= ? AND id < ? END"

func createdArgs(from, below int64) []any {
	digits := func(us int64) []byte { return []byte(notifyID(min(max(us, 0), idTimeMax), "")[:10]) }
	return []any{digits(from), digits(below), from, below}
}

// idTimeMax is the last microsecond that a notify_id can say: 36^10 - 1.
const idTimeMax = 3_656_158_440_062_975
