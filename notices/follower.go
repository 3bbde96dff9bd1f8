package notices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"paynotify/store"
)

const (
	followEvery = 250 * time.Millisecond // between looks at a feed that has nothing new
	followPage  = 500                    // attempts of one look, of one accept and of one move of the position
	leaseEvery  = time.Second            // between looks whether another process still follows
	sweepEvery  = time.Minute            // between looks at all merchants…
	sweepFew    = 5 * time.Second        // …that are no more than sweepPage
	sweepPage   = 500
	lookAfter   = 200 * time.Millisecond // from a failed attempt to a look at its merchant, which nodes cache
	lookEvery   = 5 * time.Second        // and between two such looks
	finishMax   = 2 * time.Second        // of the last look, when the process stops
	retryMax    = 5 * time.Second        // between tries while the store does not answer
	// complainEvery is how many tries in a row fail for one line of the log: a minute's worth.
	complainEvery = 12
	// behindAfter is how old the first attempt of a full page is when the follower has fallen behind: a feed
	// that keeps its last attempts only may then have been cut.
	behindAfter = 30 * time.Second
)

// Intake accepts what is to be told; dispatcher.Dispatcher is the one that does.
type Intake interface {
	// Accept stores notifications durably and answers one Accepted per item, in order; the error is for all of
	// them and says that nothing is known about any.
	Accept(ctx context.Context, ns []store.Notification) ([]store.Accepted, error)
}

// Store is what following needs of a store.Store.
//
//nolint:interfacebloat // it is a part of the one big contract
type Store interface {
	Attempts(ctx context.Context, after string, max int) ([]store.Settled, string, error)
	Get(ctx context.Context, notifyID string) (store.Notification, []store.Attempt, error)
	Merchant(ctx context.Context, mchID string) (store.Merchant, error)
	Merchants(ctx context.Context, cursor string, limit int) ([]store.Merchant, string, error)
	Marks
	Now() time.Time
}

// Options is what a Follower needs. Store and Intake are required.
type Options struct {
	Store  Store
	Intake Intake
	// Callback and Notices say whether there are the merchants that events and notices are for. With neither
	// no feed is read; see See.
	Callback, Notices bool
	Node              string // names this process among those that share the store
	Sole              bool   // no other process serves the store: no lease is waited for, and none renewed
	Log               *slog.Logger
}

// Follower tells the platform and operators what happens. Use New.
type Follower struct {
	Options

	mu      sync.Mutex // of watcher and found, which See shares with Run
	watcher *watcher
	found   []Notice

	holds  holds
	looks  looks
	at     position
	leads  bool
	batch  *batch          // what is being told
	swept  time.Time       // when the last sweep began
	few    bool            // it was one page
	cursor string          // of the sweep
	unseen map[string]bool // merchants with a hold that the sweep has not met
	ticked time.Time
}

// batch is what a page of the feed says, until it is accepted. It is made once: to see attempts twice would
// count them twice.
type batch struct {
	ns     []store.Notification
	cursor string // behind the page
	missed int
	full   bool // there may be more
}

// New prepares a Follower; Run starts it.
func New(o Options) *Follower {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Follower{
		Options: o, watcher: newWatcher(), looks: looks{}, holds: holds{known: map[string]*hold{}},
	}
}

// Follows reports whether the feed of attempts is read, so that See is not needed.
func (f *Follower) Follows() bool { return f.Callback || f.Notices }

// Run follows until ctx ends, and then once more, so that what this process settled last is told by it.
func (f *Follower) Run(ctx context.Context) {
	if !f.Follows() {
		f.watch(ctx)
		return
	}
	wait, failures := time.Duration(0), 0
	for f.sleep(ctx, wait) {
		var err error
		wait, err = f.turn(ctx)
		if err == nil {
			failures = 0
			continue
		}
		if failures++; failures%complainEvery == 1 && !errors.Is(err, errDeposed) && ctx.Err() == nil {
			f.Log.Error("events and notices wait, nothing is lost", "err", err, "tries", failures)
		}
		wait = min(retryMax, time.Duration(failures)*followEvery)
	}
	f.finish(ctx)
}

// sleep waits; it reports whether to go on.
func (f *Follower) sleep(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// turn is one look at the feed, and answers how long to wait until the next. After any error it begins
// where it was: what was accepted before is known by its key.
func (f *Follower) turn(ctx context.Context) (wait time.Duration, err error) {
	if !f.leads {
		if wait, err = f.lead(ctx); err != nil || !f.leads {
			return wait, err
		}
	}
	if f.batch == nil {
		if f.batch, err = f.read(ctx); err != nil {
			return 0, err
		}
	}
	if err = f.tell(ctx, f.batch.ns); err == nil {
		err = f.move(ctx)
	}
	if err == nil {
		full := f.batch.full
		f.batch = nil
		if full {
			return 0, f.tellHolds(ctx)
		}
		err = f.tellHolds(ctx)
	}
	if errors.Is(err, errDeposed) {
		f.depose()
	}
	return followEvery, err
}

// depose forgets what this process knew as the one that follows.
func (f *Follower) depose() {
	f.Log.Info("another process tells events and notices from now on")
	f.leads, f.batch = false, nil
}

// lead takes the lease when it is free.
func (f *Follower) lead(ctx context.Context) (wait time.Duration, err error) {
	if f.at, err = readPosition(ctx, f.Store); err != nil {
		return 0, err
	}
	now := f.Store.Now()
	if !f.Sole && !f.at.free(f.Node, now) {
		return leaseEvery, nil
	}
	next := f.at
	if f.at.Cursor == "" { // told from now on
		if _, next.Cursor, err = f.Store.Attempts(ctx, "", 1); err != nil {
			return 0, err
		}
	}
	next.Owner, next.Until = f.Node, f.leaseEnd(now)
	if err = f.at.write(ctx, f.Store, next); err != nil {
		if errors.Is(err, errDeposed) {
			return leaseEvery, nil // another was faster
		}
		return 0, err
	}
	f.holds.marks = f.Store
	if err = f.holds.load(ctx); err != nil {
		return 0, err
	}
	f.leads, f.swept, f.cursor, f.batch = true, time.Time{}, "", nil
	return 0, nil
}

// read reads a page of the feed and makes of it what is to be told.
func (f *Follower) read(ctx context.Context) (*batch, error) {
	page, cursor, err := f.Store.Attempts(ctx, f.at.Cursor, followPage)
	b := &batch{cursor: cursor, full: len(page) == followPage}
	now := f.Store.Now()
	var notices []Notice
	switch {
	case errors.Is(err, store.ErrBadCursor):
		if _, b.cursor, err = f.Store.Attempts(ctx, "", 1); err != nil {
			return nil, err
		}
		b.missed++
		notices = append(notices, missedNotice("the position in the feed of attempts is none of this store,"+
			" as after a migration; they are told from now on.", now))
	case err != nil:
		return nil, err
	case len(page) > 0 && now.Sub(page[0].StartedAt) > behindAfter:
		cut, err := f.cut(ctx)
		if err != nil {
			return nil, err
		}
		if cut {
			b.missed++
			notices = append(notices, missedNotice("following had fallen behind by more than the store keeps in its"+
				" feed of attempts; they go on with the oldest that is left.", now))
		}
	}
	var events []event
	for i := range page {
		events = append(events, f.see(ctx, &page[i], now)...)
	}
	f.mu.Lock()
	notices = append(notices, f.take(now)...)
	f.mu.Unlock()
	b.ns, err = f.notifications(append(events, f.notices(notices, now)...))
	return b, err
}

// take answers what was found since the last time. The caller holds f.mu.
func (f *Follower) take(now time.Time) []Notice {
	found := f.found
	f.found = nil
	if now.Sub(f.ticked) >= time.Second {
		f.ticked = now
		found = append(found, f.watcher.tick(now)...)
	}
	return found
}

// cut reports whether the feed may have lost attempts behind the position.
func (f *Follower) cut(ctx context.Context) (bool, error) {
	feed, can := f.Store.(store.Forgetful)
	if !can {
		return false, nil
	}
	return feed.Forgot(ctx, f.at.Cursor)
}

// see makes events of an attempt. What the engine sent for itself makes none: it would never end. It is
// watched all the same, for the log.
func (f *Follower) see(ctx context.Context, s *store.Settled, now time.Time) (events []event) {
	f.watchOne(s, now)
	if store.Reserved(s.MchID) || !f.Callback {
		return nil
	}
	if s.Trigger.Manual() && s.Verdict == store.Acked {
		// A person's send has no place in the schedule that would tell how many there were.
		if n, _, err := f.Store.Get(ctx, s.NotifyID); err == nil {
			s.Send = n.NotifyCount
		}
	}
	if e, told := endOf(s); told {
		events = append(events, e)
	}
	return events
}

// watchOne shows an attempt to the watcher, and notes that its merchant is to be looked at when it failed.
func (f *Follower) watchOne(s *store.Settled, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found = append(f.found, f.watcher.see(s, now)...)
	if s.Verdict != store.Acked {
		f.looks.want(s.MchID, now)
	}
}

// notices writes notices to the log, and makes events of those that are sent. What is wrong with the
// merchants that are ours is in the log alone: the one who would be told is the one who cannot be reached.
func (f *Follower) notices(found []Notice, now time.Time) (events []event) {
	var sent []Notice
	for i := range found {
		found[i].log(f.Log)
		if !store.Reserved(found[i].MchID) {
			sent = append(sent, found[i])
		}
	}
	if !f.Notices {
		return nil
	}
	f.mu.Lock()
	sent = f.watcher.budget.take(sent, now)
	f.mu.Unlock()
	for i := range sent {
		events = append(events, sent[i].event())
	}
	return events
}

func (f *Follower) notifications(events []event) (ns []store.Notification, err error) {
	for i := range events {
		n, err := events[i].notification()
		if err != nil {
			return nil, err
		}
		ns = append(ns, n)
	}
	return ns, nil
}

// tell accepts notifications. One that was accepted before is as good.
func (f *Follower) tell(ctx context.Context, ns []store.Notification) error {
	if len(ns) == 0 {
		return nil
	}
	answers, err := f.Intake.Accept(ctx, ns)
	if err != nil {
		return err
	}
	for i, a := range answers {
		if a.Status == store.NoMerchant {
			return fmt.Errorf("merchant %s is not there: %w", ns[i].MchID, store.ErrNoMerchant)
		}
	}
	return nil
}

// move moves the position behind the batch, and renews the lease when a good part of it is over.
func (f *Follower) move(ctx context.Context) error {
	now := f.Store.Now()
	renew := !f.Sole && f.at.Until.Sub(now) < leaseFor*2/3
	if f.batch.cursor == f.at.Cursor && f.batch.missed == 0 && !renew {
		return nil
	}
	next := f.at
	next.Cursor, next.Missed, next.Until = f.batch.cursor, f.at.Missed+f.batch.missed, f.leaseEnd(now)
	return f.at.write(ctx, f.Store, next)
}

// leaseEnd is when a lease that is taken now ends; zero = none is needed.
func (f *Follower) leaseEnd(now time.Time) time.Time {
	if f.Sole {
		return time.Time{}
	}
	return now.Add(leaseFor).UTC()
}

// finish tells what was settled until now, and gives the lease back.
func (f *Follower) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishMax)
	defer cancel()
	for more := f.leads; more && ctx.Err() == nil; {
		wait, err := f.turn(ctx)
		if err != nil {
			f.Log.Warn("events and notices are told after the next start", "err", err)
			break
		}
		more = wait == 0 && f.leads
	}
	if !f.leads {
		return
	}
	next := f.at
	next.Owner, next.Until = "", time.Time{}
	if err := f.at.write(ctx, f.Store, next); err != nil && !f.Sole {
		f.Log.Warn("another process tells events and notices when the lease has run out", "err", err)
	}
}
