package sqlitestore

import (
	"context"
	"time"

	"paynotify/store"
)

// Retention walks over the narrow rows, oldest first, on a reader, and has the writer delete what it finds a
// few at a time: nobody waits long behind it. The next call goes on where this one stopped, so that old
// notifications that stay are not looked at each time.

const (
	pruneStep = 32        // notifications deleted in one operation of the writer
	pruneLook = 4096      // rows looked at in one read
	pruneMost = 1_000_000 // rows looked at in one call
)

// Prune deletes at most most notifications that became final before the given instants; see store.Store. The
// file does not shrink: its free pages are used again.
func (s *Store) Prune(
	ctx context.Context, spentBefore, othersBefore time.Time, most int,
) (deleted int, err error) {
	end := max(spentBefore.UnixMicro(), othersBefore.UnixMicro()) // final no earlier than accepted
	wrapped := s.pruned.Load() == 0
	for looked := 0; deleted < most && looked < pruneMost; looked += pruneLook {
		found, last, err := s.findFinal(ctx, spentBefore, othersBefore, end, most-deleted)
		if err != nil {
			return deleted, err
		}
		for len(found) > 0 {
			step := found[:min(pruneStep, len(found))]
			found = found[len(step):]
			n, err := s.forget(ctx, step, spentBefore, othersBefore)
			deleted += n
			if err != nil {
				return deleted, err
			}
		}
		s.pruned.Store(last)
		if last != 0 {
			continue
		}
		if wrapped {
			break
		}
		wrapped = true
	}
	return deleted, nil
}

// findFinal looks at the next rows and lists those to delete. last is where to go on, 0 at the end.
func (s *Store) findFinal(
	ctx context.Context, spentBefore, othersBefore time.Time, end int64, most int,
) (found []int64, last int64, err error) {
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		rs := c.query(ctx, "SELECT "+rowColumns+" FROM n WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
			s.pruned.Load(), end, int64(pruneLook))
		n := 0
		for len(found) < most && rs.next() {
			n++
			last = rs.int(0)
			if rs.int(2) == 0 {
				continue
			}
			var r row
			if r.scan(rs, func(int64) string { return "" }, s.words) == nil && r.old(spentBefore, othersBefore) {
				found = append(found, last)
			}
		}
		if n < pruneLook && len(found) < most {
			last = 0
		}
		return rs.close()
	})
	return found, last, err
}

// old tells whether retention takes the notification.
func (r *row) old(spentBefore, othersBefore time.Time) bool {
	at, _ := r.n.Due()
	switch {
	case !r.n.State.Final(), !at.IsZero(), r.n.Resend != "":
		return false
	case r.n.State == store.Spent:
		return r.n.SpentAt.Before(spentBefore)
	}
	return r.finalAt.Before(othersBefore)
}

// forget deletes notifications with their attempts, those that are still old when it comes to them.
func (s *Store) forget(
	ctx context.Context, ids []int64, spentBefore, othersBefore time.Time,
) (int, error) {
	n := 0
	err := s.do(ctx, func(w *writer) error {
		n = 0
		for _, id := range ids {
			if w.claims.of(id) != nil {
				continue
			}
			r, err := w.loadRow(id)
			if err != nil || r == nil || !r.old(spentBefore, othersBefore) {
				if err != nil && err != errDamaged { //nolint:errorlint // ours, unwrapped
					return err
				}
				continue
			}
			if err := w.forget(r); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (w *writer) forget(r *row) error {
	var seqs []int64
	err := w.s.eachAttempt(context.Background(), w.c, r.id, r.lastSeq, func(seq int64, _ *record) bool {
		seqs = append(seqs, seq)
		return true
	})
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := w.c.do("DELETE FROM attempts WHERE seq = ?", seq); err != nil {
			return err
		}
	}
	for _, text := range []string{"DELETE FROM body WHERE id = ?", "DELETE FROM n WHERE id = ?"} {
		if err := w.c.do(text, r.id); err != nil {
			return err
		}
	}
	w.count(r, w.byNum[r.mch], -1)
	return nil
}
