package sqlitestore

import (
	"context"
	"time"

	"paynotify/store"
)

// auditColumns are those of an entry, in the order of the table.
const auditColumns = "seq, at, actor, source, action, object, before, after, request, result, sum"

// scanAudit reads a row of auditColumns, whatever stands in it: the chain tells what was tampered with.
func scanAudit(r *rows) (e store.AuditEntry) {
	e = store.AuditEntry{
		Seq: r.int(0), At: time.UnixMicro(r.int(1)).UTC(), Actor: r.text(2), Source: r.text(3), Action: r.text(4),
		Object: r.text(5), Before: store.StoredJSON(r.text(6)), After: store.StoredJSON(r.text(7)),
		RequestID: r.text(8), Result: r.text(9),
	}
	copy(e.Sum[:], r.blob(10))
	return e
}

// loadAudited reads the entry that the next one follows.
func (w *writer) loadAudited() error {
	w.audited = store.AuditEntry{}
	_, err := w.c.query(context.Background(), "SELECT "+auditColumns+" FROM audit ORDER BY seq DESC LIMIT 1").
		one(func(r *rows) { w.audited = scanAudit(r) })
	return err
}

func (w *writer) writeAudit(e *store.AuditEntry) error {
	if err := w.begin(); err != nil {
		return err
	}
	err := w.c.do("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", e.Seq, e.At.UnixMicro(), e.Actor,
		e.Source, e.Action, e.Object, string(e.Before), string(e.After), e.RequestID, e.Result,
		e.Sum[:])
	if err == nil {
		w.audited = *e
	}
	return err
}

// Audit appends an entry to the audit log; see store.Store. It shares its commit with everything else.
func (s *Store) Audit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	var out store.AuditEntry
	e, err := e.Ready()
	if err != nil {
		return e, err
	}
	err = s.do(ctx, func(w *writer) error {
		if w.full {
			return refuse(store.ErrFull)
		}
		out = e.Follow(&w.audited, w.time())
		return w.writeAudit(&out)
	})
	if err != nil {
		return store.AuditEntry{}, err
	}
	return out, nil
}

// AuditLog reads the audit log; see store.Store.
func (s *Store) AuditLog(ctx context.Context, after int64, limit int) (out []store.AuditEntry, err error) {
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		if after < 0 {
			_, err := c.query(ctx, "SELECT max(seq) FROM audit").one(func(r *rows) { after = max(0, after+r.int(0)) })
			if err != nil {
				return err
			}
		}
		rs := c.query(ctx, "SELECT "+auditColumns+" FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", after,
			int64(max(limit, 0)))
		for rs.next() {
			out = append(out, scanAudit(rs))
		}
		return rs.close()
	})
	return out, err
}

// ImportAudit appends entries as they are; see store.Mover.
func (s *Store) ImportAudit(ctx context.Context, es []store.AuditEntry) error {
	return s.do(ctx, func(w *writer) error {
		if w.full {
			return refuse(store.ErrFull)
		}
		for i := range es {
			if es[i].Seq <= w.audited.Seq {
				continue
			}
			if err := w.writeAudit(&es[i]); err != nil {
				return err
			}
		}
		return nil
	})
}
