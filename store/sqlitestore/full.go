package sqlitestore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// A full disk. The store keeps a reserve file. When a write finds no space, the reserve is given up and
// accepts and claims are refused: what is in flight can still be settled. From then on the store tries to
// build the reserve again; when it can, there is space again and everything goes on.

const (
	probeEvery  = time.Second
	probeMargin = 1 << 20 // must be free beyond the reserve, or the next write would find the disk full again
)

func code(err error) (int, bool) {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code(), true
	}
	return 0, false
}

func isSQLite(err error) bool {
	_, ok := code(err)
	return ok
}

// isFull tells errors that a full disk causes. Growing the shared memory of the log is one of them.
func isFull(err error) bool {
	c, ok := code(err)
	return ok && (c&0xff == sqlite3.SQLITE_FULL || c == sqlite3.SQLITE_IOERR_SHMSIZE) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isFatal tells errors after which nobody knows what is on disk: a failed sync, whose pages the kernel may
// have dropped and will not write again, and any failure of a COMMIT that is not a full disk.
func isFatal(err error) bool {
	c, ok := code(err)
	if !ok || isFull(err) {
		return false
	}
	switch c {
	case sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC:
		return true
	}
	var commit commitError
	return errors.As(err, &commit) && c&0xff == sqlite3.SQLITE_IOERR
}

// autoRolledBack tells whether a failed ROLLBACK only says that SQLite has rolled back by itself.
func autoRolledBack(err error) bool {
	c, ok := code(err)
	return ok && c == sqlite3.SQLITE_ERROR
}

func (w *writer) reservePath() string { return w.s.opts.Path + ".reserve" }

// holdReserve makes sure at start that the reserve is there.
func (w *writer) holdReserve() {
	if err := w.rebuildReserve(); err != nil {
		w.fillUp()
	}
}

// fillUp goes on without space: the reserve is given up.
func (w *writer) fillUp() {
	if !w.full {
		w.s.log.Error("the disk is full: accepting and sending stop until there is space",
			"path", w.s.opts.Path, "reserve_bytes", w.s.opts.ReserveBytes)
	}
	if !w.full {
		w.probeAt = time.Now().Add(probeEvery)
	}
	w.full = true
	w.s.fast.full.Store(true)
	if err := os.Remove(w.reservePath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.s.log.Error("the reserve cannot be given up", "error", err)
	}
	// The log is folded in and cut off: its space is worth more settlements than the reserve.
	if err := w.c.run("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil && !isFull(err) {
		w.s.log.Warn("checkpoint on a full disk", "error", err)
		if isFatal(err) {
			w.fail(err)
		}
	}
}

// probe looks whether there is space again.
func (w *writer) probe() {
	if err := w.rebuildReserve(); err != nil {
		w.probeAt = time.Now().Add(probeEvery)
		return
	}
	w.full = false
	w.s.fast.full.Store(false)
	w.s.log.Info("there is space again: accepting and sending go on", "path", w.s.opts.Path)
	w.tick()
	for _, l := range w.lanes {
		w.touch(l)
	}
}

// rebuildReserve allocates the reserve and, for a moment, the margin beyond it: a file system that can give
// them has space. Nothing is left of an attempt that fails.
func (w *writer) rebuildReserve() (err error) {
	size := w.s.opts.ReserveBytes
	if st, err := os.Stat(w.reservePath()); err == nil && st.Size() == size && !w.full {
		return nil
	}
	f, err := os.OpenFile(w.reservePath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(w.reservePath())
		}
	}()
	margin := min(int64(probeMargin), size)
	if err := allocate(f, size+margin); err != nil {
		return fmt.Errorf("building the reserve: %w", err)
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// allocate gives a file blocks of its own. Where the file system cannot be asked for them they are written.
func allocate(f *os.File, size int64) error {
	err := preallocate(f, size)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = 0xa5 // zeros might become a hole
	}
	for at := int64(0); at < size; at += int64(len(block)) {
		if _, err := f.WriteAt(block[:min(int64(len(block)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}
