package sqlitestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"

	"paynotify/store"
)

const (
	backupPages = 512                  // copied in one step: 2 MB
	backupPause = 2 * time.Millisecond // between steps: a backup is nobody's emergency
)

// Backup writes a consistent copy of the database to w while the store works; see store.Backuper. The copy
// is first made beside the database, which needs as much free space, and is marked: a store opened on it has
// sending paused, because nobody knows what was sent after the copy was made. API keys are in it as they
// were: one that was revoked later is live again in a store that is opened on the copy.
func (s *Store) Backup(ctx context.Context, w io.Writer) (err error) {
	if isClosed(s.quit) || isClosed(s.failed) {
		return s.fatalError()
	}
	dir, err := os.MkdirTemp(filepath.Dir(s.opts.Path), ".backup-*")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "copy.db")
	if err := s.copyTo(ctx, path); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := markRestored(path, s.opts.Now().UTC()); err != nil {
		return fmt.Errorf("backup: marking the copy: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	_, err = io.Copy(w, &contextReader{ctx, f})
	return errors.Join(err, f.Close())
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives as long as one call
	r   io.Reader
}

// Read reads unless the context has ended.
func (r *contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// copyTo copies the database as it is now, in steps. A read transaction holds the snapshot: without it every
// commit of the writer would make the copy start over.
func (s *Store) copyTo(ctx context.Context, path string) (err error) {
	c, err := openConn(dsn(s.opts.Path), "query_only=1", "busy_timeout=10000", "cache_size=-2048")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.run("BEGIN"); err != nil {
		return err
	}
	if _, err := c.query(ctx, "SELECT one FROM live").one(func(*rows) {}); err != nil {
		return err
	}
	source, ok := c.raw.(interface {
		NewBackup(uri string) (*sqlite.Backup, error)
	})
	if !ok {
		return errors.New("the SQLite driver lost its backup interface")
	}
	b, err := source.NewBackup(dsn(path))
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if more, err = b.Step(backupPages); err == nil && more {
			err = pause(ctx, s.quit, backupPause)
		}
	}
	return errors.Join(err, b.Finish(), c.run("COMMIT"))
}

func pause(ctx context.Context, quit <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-quit:
		return errClosed
	}
}

// markRestored turns the switch off in a copy, and makes it one file without a log.
func markRestored(path string, now time.Time) (err error) {
	c, err := openConn(dsn(path), "journal_mode=DELETE", "synchronous=FULL")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	var pending int64
	_, err = c.query(context.Background(), "SELECT count(*) FROM n WHERE state = 0").
		one(func(r *rows) { pending = r.int(0) })
	if err != nil {
		return err
	}
	text, err := json.Marshal(store.Sending{Paused: true, Since: now, Reason: fmt.Sprintf(
		"restored from a backup: %d notifications uncertain, they may have been sent after %s",
		pending, now.Format(time.RFC3339))})
	if err != nil {
		return err
	}
	return writeMeta(c, metaSending, string(text))
}
