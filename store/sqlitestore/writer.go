package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"paynotify/store"
)

// op is one operation on the writer. run works inside a transaction and may run twice: when the transaction
// of its batch fails for another one's sake it runs again alone. It must find out that it cannot be done
// before it writes.
type op interface {
	run(w *writer) error
	base() *task
}

// task is the part that all operations share.
type task struct {
	err   error
	done  chan struct{}
	taken atomic.Int32 // 0 waiting, 1 taken by the writer, 2 given up by its caller
}

func (t *task) base() *task { return t }

// call is an operation that is a function.
type call struct {
	task
	fn func(w *writer) error
}

func (c *call) run(w *writer) error { return c.fn(w) }

// writer owns the writing connection and what is kept in memory about lanes. Only its goroutine touches it.
type writer struct {
	s      *Store
	c      *conn
	words  *words
	claims *claims

	now      int64 // microseconds; the store's clock, read once an operation, never behind the last id
	lastID   int64
	lastSeq  int64
	token    uint64
	sending  store.Sending
	counters counters
	audited  store.AuditEntry // the last one of the audit log
	lanes    map[string]*lane
	byNum    map[int64]*lane
	highest  int64 // number of a lane

	highestID string // highest notify_id…
	highestAt int64  // …when lastID was this; see moved.go

	ghosts map[candidate]bool // what a damaged due index names wrongly
	timers laneHeap
	ready  laneQueue

	dead    []liveClaim // claims of the last process, until recover has dealt with them
	loaded  bool        // load has run before
	inTx    bool
	dirty   bool // the live row must be written
	written int  // rows, about, since the checkpointer was last woken
	journal []journaled
	after   []func() // run when the transaction is committed
	buf     []byte
	st      statements

	batch   []op
	full    bool
	probeAt time.Time // when full: the next look whether there is space, by the machine's clock
}

// journaled is one change of the set of claims inside the open transaction.
type journaled struct {
	c     *claim
	added bool
}

func newWriter(s *Store, c *conn) *writer {
	return &writer{
		s: s, c: c, words: s.words, claims: s.claims, batch: make([]op, 0, batchMax),
		ghosts: make(map[candidate]bool),
	}
}

// submit hands an operation to the writer and waits for its answer, which comes after the commit. An
// operation whose context ends before the writer took it is not run.
func (s *Store) submit(ctx context.Context, o op) error {
	t := o.base()
	if t.done == nil {
		t.done = make(chan struct{}, 1)
	}
	select {
	case <-s.quit:
		return errClosed
	case <-s.failed:
		return s.fatalError()
	default:
	}
	queue := s.ops
	if _, ok := o.(*acceptOp); ok {
		queue = s.accepts
	}
	select {
	case queue <- o:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	case <-s.quit:
		return errClosed
	case <-s.failed:
		return s.fatalError()
	}
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
	case <-s.failed:
	case <-s.gone:
	}
	select {
	case <-t.done:
		return t.err
	default:
	}
	t.taken.CompareAndSwap(0, 2)
	if isClosed(s.failed) || isClosed(s.gone) {
		return s.fatalError()
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
}

// do runs a function on the writer.
func (s *Store) do(ctx context.Context, fn func(w *writer) error) error {
	return s.submit(ctx, &call{fn: fn})
}

func (s *Store) fatalError() error {
	if err := s.fast.fatal.Load(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, *err)
	}
	return errClosed
}

// loop takes operations until the store is closed or failed.
func (w *writer) loop() {
	defer w.s.done.Done()
	defer close(w.s.gone)
	for {
		var probe <-chan time.Time
		var timer *time.Timer
		if w.full {
			timer = time.NewTimer(time.Until(w.probeAt))
			probe = timer.C
		}
		select {
		case o := <-w.s.ops:
			w.fill(o)
			w.work()
		case o := <-w.s.accepts:
			w.fill(o)
			w.work()
		case fn := <-w.s.gate:
			fn()
		case <-probe:
		case <-w.s.quit:
			w.drain()
			return
		}
		if w.full && !time.Now().Before(w.probeAt) { // however busy the queue is
			w.probe()
		}
		if timer != nil {
			timer.Stop()
		}
		if isClosed(w.s.failed) {
			w.drain()
			return
		}
	}
}

// fill forms a batch from what waits: settlements and claims first, because attempts wait for them, then as
// much to accept as does not keep those waiting. Giving way once lets those that the last commit has just
// answered ask for their next thing; nobody waits for a timer.
func (w *writer) fill(first op) {
	w.batch = append(w.batch[:0], first)
	accepted := itemsOf(first)
	for gaveWay := false; len(w.batch) < batchMax; {
		o := w.waiting(accepted)
		switch {
		case o != nil:
			w.batch = append(w.batch, o)
			accepted += itemsOf(o)
			gaveWay = false
		case gaveWay:
			return
		default:
			gaveWay = true
			runtime.Gosched()
		}
	}
}

// waiting takes the next operation for a batch that accepts so many items already; nil when there is none.
func (w *writer) waiting(accepted int) op {
	select {
	case o := <-w.s.ops:
		return o
	default:
	}
	if accepted >= acceptedMax {
		return nil
	}
	select {
	case o := <-w.s.accepts:
		return o
	default:
		return nil
	}
}

// itemsOf is how many notifications an operation accepts.
func itemsOf(o op) int {
	if a, ok := o.(*acceptOp); ok {
		return len(a.items)
	}
	return 0
}

// drain answers whoever is still in the queue: what came before Close is done, unless the store has failed.
func (w *writer) drain() {
	for o := w.waiting(0); o != nil; o = w.waiting(0) {
		if isClosed(w.s.failed) {
			w.answer(o, w.s.fatalError())
			continue
		}
		w.fill(o)
		w.work()
	}
}

func (w *writer) answer(o op, err error) {
	t := o.base()
	t.err = err
	t.done <- struct{}{}
}

// work runs the batch in one transaction and answers. When the transaction fails, each operation gets one
// of its own, so that only the guilty one fails.
func (w *writer) work() {
	live := w.batch[:0]
	for _, o := range w.batch {
		if o.base().taken.CompareAndSwap(0, 1) {
			live = append(live, o)
		}
	}
	w.batch = live
	if w.transact(w.batch) == nil {
		return
	}
	for i := range w.batch {
		if isClosed(w.s.failed) {
			w.answer(w.batch[i], w.s.fatalError())
			continue
		}
		if err := w.transact(w.batch[i : i+1]); err != nil {
			w.answer(w.batch[i], w.unavailable(err))
		}
	}
}

// transact runs operations, commits and answers them. An error means that nothing happened and nobody was
// answered.
func (w *writer) transact(ops []op) error {
	for _, o := range ops {
		w.tick()
		err := o.run(w)
		if err != nil && !isRefusal(err) {
			return w.abort(err)
		}
		o.base().err = answerOf(err)
	}
	if err := w.commit(); err != nil {
		return w.abort(err)
	}
	for _, o := range ops {
		o.base().done <- struct{}{}
		w.written += max(1, itemsOf(o))
	}
	w.noteLog()
	return nil
}

// refusal is the answer of an operation that changed nothing.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// refuse marks an error as an answer: the transaction goes on.
func refuse(err error) error { return refusal{err} }

func answerOf(err error) error {
	if r, ok := err.(refusal); ok { //nolint:errorlint // only the outermost counts
		return r.error
	}
	return err
}

func isRefusal(err error) bool {
	_, ok := err.(refusal) //nolint:errorlint // only the outermost counts
	return ok
}

// tick reads the clock. Ids are unique microseconds and may run ahead of it in a burst; then the store's
// clock goes with them, so that nothing is claimed before it was accepted. A clock that was set back by more
// than that is believed.
func (w *writer) tick() {
	w.now = w.s.opts.Now().UnixMicro()
	if ahead := w.lastID - w.now; ahead > 0 && ahead < int64(time.Second/time.Microsecond) {
		w.now = w.lastID
	}
}

func (w *writer) time() time.Time { return time.UnixMicro(w.now).UTC() }

// begin opens the transaction when the first statement needs one.
func (w *writer) begin() error {
	if w.inTx {
		return nil
	}
	err := w.st.begin.do()
	w.inTx = err == nil
	return err
}

// commit ends the transaction, if there is one, and lets its effects out.
func (w *writer) commit() error {
	if w.dirty {
		if err := w.writeLive(); err != nil {
			return err
		}
	}
	if w.inTx {
		if err := w.words.flush(w.c); err != nil {
			return err
		}
		w.s.opts.Point("commit")
		if err := w.st.commit.do(); err != nil {
			return commitError{err}
		}
		w.inTx = false
	}
	w.dirty = false
	w.journal = w.journal[:0]
	for i, fn := range w.after {
		fn()
		w.after[i] = nil
	}
	w.after = w.after[:0]
	return nil
}

// commitError is an error of COMMIT itself: with some causes nobody knows what is on disk.
type commitError struct{ error }

func (e commitError) Unwrap() error { return e.error }

// abort takes back what the transaction did, on disk and in memory, and returns why.
func (w *writer) abort(why error) error {
	if isFatal(why) {
		w.fail(why)
		return why
	}
	if w.inTx {
		err := w.c.run("ROLLBACK")
		if err != nil && !autoRolledBack(err) {
			w.fail(errors.Join(why, err))
			return why
		}
		w.inTx = false
	}
	w.dirty, w.after = false, w.after[:0]
	for i := len(w.journal) - 1; i >= 0; i-- {
		if j := w.journal[i]; j.added {
			w.claims.remove(j.c)
		} else {
			w.claims.add(j.c)
		}
	}
	w.journal = w.journal[:0]
	if err := w.load(); err != nil {
		w.fail(errors.Join(why, err))
		return why
	}
	if isFull(why) {
		w.fillUp()
	}
	return why
}

// fail ends the service: nothing is acknowledged any more.
func (w *writer) fail(err error) {
	if w.s.fast.fatal.CompareAndSwap(nil, &err) {
		close(w.s.failed)
		w.s.log.Error("the store has failed: nothing more is acknowledged", "error", err)
		w.s.opts.Fatal(err)
	}
}

func (w *writer) unavailable(err error) error {
	if isFull(err) {
		return store.ErrFull
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// close folds the log into the file and closes the connection.
func (w *writer) close() error {
	var err error
	if !isClosed(w.s.failed) {
		err = w.saveTokens()
		if err == nil {
			err = w.c.run("PRAGMA wal_checkpoint(TRUNCATE)")
		}
		if isFull(err) {
			err = nil // the log stays and is read at the next start
		}
	}
	return errors.Join(err, w.c.close())
}
