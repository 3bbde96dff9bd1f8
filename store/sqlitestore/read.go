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

// readers is a small pool of connections that only read. A reader sees what is committed, as of when its
// query begins, and never waits for the writer.
type readers struct {
	free chan *conn
	all  []*conn
}

func openReaders(path string, n int) (*readers, error) {
	p := &readers{free: make(chan *conn, n)}
	for range n {
		c, err := openConn(dsn(path), "query_only=1", "busy_timeout=10000", "cache_size=-4096",
			"temp_store=MEMORY", "wal_autocheckpoint=0")
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.all = append(p.all, c)
		p.free <- c
	}
	return p, nil
}

// close waits for the readers at work.
func (p *readers) close() error {
	var errs []error
	for range p.all {
		errs = append(errs, (<-p.free).close())
	}
	return errors.Join(errs...)
}

// read runs a function on a reader, in one snapshot, for at most readTimeout.
func (s *Store) read(ctx context.Context, fn func(context.Context, *conn) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if isClosed(s.quit) || isClosed(s.failed) {
		return s.fatalError()
	}
	var c *conn
	select {
	case c = <-s.readers.free:
	case <-ctx.Done():
		return fmt.Errorf("%w: every reader is busy: %w", store.ErrUnavailable, ctx.Err())
	}
	defer func() { s.readers.free <- c }()
	if err := c.do("BEGIN"); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	err = fn(ctx, c)
	if end := c.do("COMMIT"); end != nil { // an interrupted statement may have ended it
		err = errors.Join(err, end)
		_ = c.do("ROLLBACK")
	}
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
	if isSQLite(err) {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// Get returns a notification with its attempts; see store.Store.
func (s *Store) Get(ctx context.Context, id string) (n store.Notification, as []store.Attempt, err error) {
	at, _, err := store.ParseID(id)
	if err != nil {
		return n, nil, store.ErrNotFound
	}
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		key, err := s.locate(ctx, c, id, at.UnixMicro())
		if err != nil {
			return err
		}
		r, err := s.readRow(ctx, c, key)
		if err != nil {
			return err
		}
		if r == nil || r.n.NotifyID != id {
			return store.ErrNotFound
		}
		n, as = r.n, make([]store.Attempt, 0, r.n.AttemptCount)
		err = s.eachAttempt(ctx, c, r.id, r.lastSeq, func(_ int64, a *record) bool {
			as = append(as, a.Attempt)
			return true
		})
		for i, j := 0, len(as)-1; i < j; i, j = i+1, j-1 {
			as[i], as[j] = as[j], as[i]
		}
		return err
	})
	if err != nil {
		return store.Notification{}, nil, err
	}
	return n, as, nil
}

// ByKey looks up an idempotency key; see store.Store.
func (s *Store) ByKey(ctx context.Context, mchID, key string) (n store.Notification, err error) {
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		var id int64
		found, err := c.query(ctx, "SELECT n.id FROM merchants JOIN n ON n.mch = merchants.num "+
			"WHERE merchants.mch_id = ? AND n.idem = ?", mchID, key).one(func(rs *rows) { id = rs.int(0) })
		if err != nil {
			return err
		}
		if !found {
			return store.ErrNotFound
		}
		r, err := s.readRow(ctx, c, id)
		if err != nil {
			return err
		}
		if r == nil {
			return store.ErrNotFound // pruned between the two reads
		}
		n = r.n
		return nil
	})
	return n, err
}

// readRow reads a whole notification on a reader. A damaged one is shown as far as it can be read: what a
// person looks at is not sent, and the claim that would send it checks for itself.
func (s *Store) readRow(ctx context.Context, c *conn, id int64) (r *row, err error) {
	found, err := c.query(ctx, selectRow, id).one(func(rs *rows) {
		r = &row{}
		_ = r.scan(rs, s.mchIDOn(ctx, c), s.words)
	})
	if err != nil || !found {
		return nil, err
	}
	_, err = c.query(ctx, selectBody, id).one(func(rs *rows) { _ = unpackBody(rs.blob(0), &r.n) })
	r.n.InFlight = s.claims.inFlight(id)
	return r, err
}

// mchIDOn translates merchants' numbers on a reader, asking once for each.
func (s *Store) mchIDOn(ctx context.Context, c *conn) func(int64) string {
	known := make(map[int64]string)
	return func(num int64) string {
		id, ok := known[num]
		if !ok {
			_, _ = c.query(ctx, "SELECT mch_id FROM merchants WHERE num = ?", num).
				one(func(r *rows) { id = r.text(0) })
			known[num] = id
		}
		return id
	}
}

// eachAttempt walks a notification's attempts, the last one first, until fn has enough. A damaged attempt
// ends the walk: what came before it cannot be found.
func (s *Store) eachAttempt(
	ctx context.Context, c *conn, nid, last int64, fn func(seq int64, a *record) bool,
) error {
	for seq := last; seq != 0; {
		var a record
		var bad error
		found, err := c.query(ctx, "SELECT data FROM attempts WHERE seq = ? AND nid = ?", seq, nid).
			one(func(r *rows) { a, bad = unpackRecord(r.blob(0), nid, s.words) })
		if err != nil {
			return err
		}
		if whole := found && bad == nil && a.prev < seq; !whole || !fn(seq, &a) {
			return nil
		}
		seq = a.prev
	}
	return nil
}

// Attempts follows attempts in the order of settlement; see store.Store.
func (s *Store) Attempts(
	ctx context.Context, after string, most int,
) (out []store.Settled, next string, err error) {
	var from int64
	if after != "" {
		if from, err = parseCursor("a", after); err != nil {
			return nil, "", err
		}
	}
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		if after == "" {
			_, err := c.query(ctx, "SELECT max(seq) FROM attempts").one(func(r *rows) { from = r.int(0) })
			return err
		}
		type found struct {
			seq, nid int64
			data     []byte
		}
		var fs []found
		rs := c.query(ctx, "SELECT seq, nid, data FROM attempts WHERE seq > ? ORDER BY seq LIMIT ?",
			from, int64(most))
		for rs.next() {
			fs = append(fs, found{rs.int(0), rs.int(1), rs.blob(2)})
		}
		if err := rs.close(); err != nil {
			return err
		}
		for _, f := range fs {
			from = f.seq
			a, bad := unpackRecord(f.data, f.nid, s.words)
			r, err := s.readRow(ctx, c, f.nid)
			if err != nil {
				return err
			}
			if bad == nil && r != nil {
				out = append(out, settled(&a, &r.n))
			}
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return out, cursor("a", from), nil
}

func settled(a *record, n *store.Notification) store.Settled {
	return store.Settled{
		Attempt: a.Attempt, NotifyID: n.NotifyID, MchID: n.MchID, OutTradeNo: n.OutTradeNo,
		NotifyType: n.NotifyType, State: a.state, NextAt: a.next, Sends: n.Sends(),
	}
}

// cursor and parseCursor make positions opaque: a letter for their kind, a number, and a check, so that
// whatever else is taken for a cursor is told from one.
func cursor(kind string, n int64) string {
	text := kind + strconv.FormatInt(n, 36)
	return text + strconv.FormatInt(int64(packed.Sum([]byte(text))%36_000+cursorCheckMin), 36)
}

const (
	cursorCheckMin   = 46_656 // the least number of…
	cursorCheckChars = 4      // …so many digits
)

func parseCursor(kind, text string) (int64, error) {
	digits, ok := strings.CutPrefix(text, kind)
	if !ok || len(digits) <= cursorCheckChars {
		return 0, store.ErrBadCursor
	}
	n, err := strconv.ParseInt(digits[:len(digits)-cursorCheckChars], 36, 64)
	if err != nil || n < 0 || cursor(kind, n) != text {
		return 0, store.ErrBadCursor
	}
	return n, nil
}
