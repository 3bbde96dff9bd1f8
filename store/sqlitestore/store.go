package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"paynotify/store"
)

// Limits and defaults.
const (
	maxInflightDefault = 16      // of a lane, when neither merchant nor options say
	batchMax           = 512     // operations in one transaction: bounds how long the first one waits
	acceptedMax        = 128     // notifications from which on a transaction accepts no more, likewise
	reserveBytes       = 8 << 20 // given up when the disk is full: the log is folded in, and thousands settled
	readersMax         = 3       // connections for reading
	readTimeout        = 5 * time.Second
	merchantsCached    = 4096 // whole merchants kept in memory, about 4 KB each
	walPagesSoft       = 1000 // pages in the write-ahead log that start a checkpoint
	walPagesHard       = 4000 // 16 MB: from then on the writer waits for the checkpoint to end
)

// Options say how to open a store. The zero value of everything but Path is useful.
type Options struct {
	Path               string           // of the database file; its neighbours are .lock, .reserve, -wal, -shm
	MaxInflightDefault int              // of a lane whose merchant sets none; 0 = 16
	ReserveBytes       int64            // size of the file that is given up on a full disk; 0 = 8 MiB
	Now                func() time.Time // the clock; nil = time.Now
	Log                *slog.Logger     // nil = silent
	// Fatal is called once, from a goroutine of the store, when a commit failed in a way that leaves unknown
	// what is on disk. From then on nothing is acknowledged. The process should end with status 74.
	Fatal func(error)
	// ForMigration opens the store to move it (see store.Mover), also one that is marked as moved.
	ForMigration bool
	// Point is called at named points on the way; crash tests die there. nil = never.
	Point func(name string)
}

// Store is the embedded store.Store. Safe for concurrent use.
type Store struct {
	opts     Options
	log      *slog.Logger
	lock     *lockFile
	w        *writer
	readers  *readers
	words    *words
	claims   *claims
	cache    *merchantCache
	fast     *statusBoard
	breakers breakers
	keys     keyBoard

	ops     chan op       // settlements, claims and the rest
	accepts chan op       // what is to be accepted; it may wait for those
	quit    chan struct{} // closed by Close
	failed  chan struct{} // closed by a fatal error
	gone    chan struct{} // closed when the writer has ended
	done    sync.WaitGroup
	once    sync.Once
	closed  error
	check   chan struct{} // asks the checkpointer to look
	gate    chan func()   // what the writer runs between two transactions
	pruned  atomic.Int64  // Prune goes on from here

	sampling sampling
	blocks   blocks // see sample.go

	movedUpTo atomic.Int64 // no row above it has a notify_id of another store; see moved.go
}

// statusBoard is what readers may know of the writer without asking it.
type statusBoard struct {
	sending atomic.Pointer[store.Sending]
	fatal   atomic.Pointer[error]
	full    atomic.Bool
	warning atomic.Pointer[string]
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Backuper = (*Store)(nil)
)

// Open opens or creates the database file and takes the right to serve it. Every claim that the last process
// left is recorded as an interrupted attempt before Open returns. It fails with an InUseError, a
// NewerSchemaError, a store.MovedError, a store.MigratingError, or whatever the file system says.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.MaxInflightDefault <= 0 {
		o.MaxInflightDefault = maxInflightDefault
	}
	if o.ReserveBytes <= 0 {
		o.ReserveBytes = reserveBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Fatal == nil {
		o.Fatal = func(error) {}
	}
	if o.Point == nil {
		o.Point = func(string) {}
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, err
	}
	o.Path = path
	l, err := lock(path)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	s := &Store{
		opts: o, log: o.Log, lock: l,
		words: &words{}, claims: newClaims(), cache: newMerchantCache(merchantsCached), fast: &statusBoard{},
		ops: make(chan op, batchMax), accepts: make(chan op, batchMax),
		quit: make(chan struct{}), failed: make(chan struct{}),
		gone: make(chan struct{}), check: make(chan struct{}, 1), gate: make(chan func()),
		sampling: sampling{listed: listedMin, walked: walkedMax, block: blockSize},
	}
	if err := s.start(ctx); err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", store.ErrFull, err)
		}
		return nil, errors.Join(fmt.Errorf("opening store %s: %w", path, err), l.unlock())
	}
	return s, nil
}

// start opens the connections, loads what is kept in memory and starts the goroutines.
func (s *Store) start(ctx context.Context) (err error) {
	c, err := openWriter(s.opts.Path, s.opts.Point)
	if err != nil {
		return err
	}
	s.w = newWriter(s, c)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if err := errors.Join(s.checkMarks(c), s.loadMoved(c), s.keys.load(s, c)); err != nil {
		return err
	}
	if err := s.w.load(); err != nil {
		return err
	}
	s.w.holdReserve()
	if err := s.w.recover(); err != nil {
		return err
	}
	s.readers, err = openReaders(s.opts.Path, readersMax)
	if err != nil {
		return err
	}
	checker, err := openConn(dsn(s.opts.Path), "busy_timeout=0", "wal_autocheckpoint=0")
	if err != nil {
		return errors.Join(err, s.readers.close())
	}
	s.done.Add(2)
	go s.w.loop()
	go s.checkpointer(checker)
	return ctx.Err()
}

// openWriter opens the writing connection, durable, with the schema up to date.
func openWriter(path string, point func(string)) (_ *conn, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // for its mode: payments are nobody's business
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	c, err := openConn(dsn(path), "busy_timeout=10000")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if _, err := checkVersion(c, path); err != nil { // before anything is written
		return nil, err
	}
	pragmas := []string{
		"journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0", "cache_size=-16384",
		"temp_store=MEMORY", "journal_size_limit=67108864",
	}
	for _, p := range pragmas {
		if err := c.run("PRAGMA " + p); err != nil {
			return nil, err
		}
	}
	if err := durable(c); err != nil {
		return nil, err
	}
	if err := migrate(c, path, point); err != nil {
		return nil, err
	}
	return c, syncDir(filepath.Dir(path))
}

// durable reads back what decides whether a commit survives: defaults vary between builds of SQLite, and
// WAL is silently refused on file systems that cannot share memory.
func durable(c *conn) error {
	var mode string
	_, err := c.query(context.Background(), "PRAGMA journal_mode").one(func(r *rows) { mode = r.text(0) })
	if err != nil {
		return err
	}
	level, err := c.pragmaInt("synchronous")
	if err != nil {
		return err
	}
	if mode != "wal" || level != 2 {
		return fmt.Errorf("journal_mode is %q and synchronous %d, want wal and 2: put the database on a local disk",
			mode, level)
	}
	return nil
}

// syncDir makes a new file's name as durable as its content.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close waits for the operations under way, folds the write-ahead log into the file and gives up the right
// to serve it. Whatever is asked for after it fails with ErrUnavailable.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.quit)
		s.done.Wait()
		errs := []error{s.readers.close(), s.w.close()}
		s.closed = errors.Join(append(errs, s.lock.unlock())...)
	})
	return s.closed
}

// Health says whether the store can commit. A commit is always synced: FsyncAlways is true.
func (s *Store) Health(context.Context) store.Health {
	h := store.Health{Durable: true, FsyncAlways: true}
	if w := s.fast.warning.Load(); w != nil {
		h.Warnings = append(h.Warnings, *w)
	}
	switch {
	case s.fast.fatal.Load() != nil:
		h.Err = fmt.Errorf("%w: %w", store.ErrUnavailable, *s.fast.fatal.Load())
	case s.fast.full.Load():
		h.Err = store.ErrFull
	case isClosed(s.quit):
		h.Err = errClosed
	}
	return h
}

var errClosed = fmt.Errorf("%w: closed", store.ErrUnavailable)

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
