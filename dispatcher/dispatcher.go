package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/dispatcher/egress"
	"paynotify/queue"
	"paynotify/signer/keyring"
	"paynotify/store"
)

// Defaults of Options.
const (
	WorkersDefault = 256
	TimeoutDefault = 15 * time.Second
	DrainDefault   = 20 * time.Second
	// LeaseMargin is how much longer than its attempt a claim lives: time to settle it.
	LeaseMargin = 15 * time.Second
)

const (
	// laneRunners take lanes from the queue. A run only claims and starts attempts, it never waits for a
	// merchant, so a few are enough.
	laneRunners = 4
	// interruptGrace is how long attempts that were told to stop have to settle that.
	interruptGrace = 3 * time.Second
)

// Poster makes one HTTP request; egress.Client is the one that does.
type Poster interface {
	Do(ctx context.Context, r *egress.Request) egress.Result
}

// Traced is told of an attempt once it is settled: the notification as it was before, and the attempt with
// its number, a send on a stale connection included. It must be quick, and keep and change neither.
type Traced = func(*store.Notification, *store.Attempt)

// Options is what a Dispatcher needs. Store, Queue, Ring, Rules and Client are required.
type Options struct {
	Store  store.Store
	Queue  queue.Queue
	Ring   *keyring.Ring // opens merchants' keys
	Rules  *egress.Rules // judges and parses notify_urls
	Client Poster

	Workers    int                   // attempts at once; 0 = WorkersDefault
	Timeout    time.Duration         // of a whole attempt, from the claim; 0 = TimeoutDefault
	Drain      time.Duration         // how long a stop waits for attempts in flight; 0 = DrainDefault
	PollMax    time.Duration         // longest sleep between looks at the store; 0 = one second
	Settled    func(*store.Settled)  // is told of every attempt that was settled, and must be quick; may be nil
	Traced     Traced                // is told of the same attempts and of their phases; may be nil
	Log        *slog.Logger          // nil = silent
	Registerer prometheus.Registerer // nil = metrics are kept but not shown
	// MerchantSeries is how many merchants are counted by their mch_id; 0 = none.
	MerchantSeries int
}

// Dispatcher drives every lane of a store. Safe for concurrent use.
type Dispatcher struct {
	Options

	slots    *slots
	cards    *cards
	metrics  *metrics
	nudged   chan struct{} // capacity 1: the waker should look now
	nextWake atomic.Int64  // unix ns of the instant the waker sleeps towards
	gate     *gate         // closed while results cannot be recorded
	turns    turns
	handing  sync.WaitGroup // turns of lanes outside the queue

	interrupt context.Context // done: attempts in flight stop now
	stopAll   context.CancelFunc
}

// New prepares a Dispatcher; Run starts it.
func New(o Options) *Dispatcher {
	if o.Workers == 0 {
		o.Workers = WorkersDefault
	}
	if o.Timeout == 0 {
		o.Timeout = TimeoutDefault
	}
	if o.Drain == 0 {
		o.Drain = DrainDefault
	}
	if o.PollMax == 0 {
		o.PollMax = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Dispatcher{Options: o, nudged: make(chan struct{}, 1)}
	d.gate = newGate(o.Store)
	d.metrics = newMetrics(o.Registerer, o.Store, o.MerchantSeries)
	d.Store, d.Client = measured{o.Store, d.metrics}, measuredPoster{o.Client, d.metrics}
	d.slots = newSlots(o.Workers)
	d.metrics.capacity.Set(float64(o.Workers))
	d.cards = &cards{store: d.Store, ring: o.Ring, rules: o.Rules}
	d.interrupt, d.stopAll = context.WithCancel(context.Background())
	return d
}

// Run hands out lanes until ctx is done, then drains: attempts in flight have Options.Drain to end, after
// that they are interrupted and settled as such. It returns the first error of the queue, if any.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer d.stopAll()
	var parts sync.WaitGroup
	var queueErr error
	parts.Go(func() { d.wakeLanes(ctx) })
	parts.Go(func() {
		if err := d.metrics.merchants.fill(ctx, d.Store); err != nil && ctx.Err() == nil {
			d.Log.Warn("merchants get their series with their first attempt only", "err", err)
		}
	})
	parts.Go(func() {
		if err := d.Queue.Run(ctx, laneRunners, d.runLane); err != nil && !errors.Is(err, context.Canceled) {
			queueErr = err
		}
	})
	<-ctx.Done()
	ended, starved := d.slots.close()
	for _, lane := range starved {
		d.handBack(lane)
	}
	parts.Wait()
	d.drain(ended)
	d.handing.Wait()
	return queueErr
}

// drain waits for the attempts in flight.
func (d *Dispatcher) drain(ended <-chan struct{}) {
	limit := time.NewTimer(d.Drain)
	defer limit.Stop()
	select {
	case <-ended:
		return
	case <-limit.C:
	}
	d.Log.Warn("interrupting attempts in flight", "inflight", d.slots.inFlight(), "drain", d.Drain)
	d.stopAll()
	limit.Reset(interruptGrace)
	select {
	case <-ended:
	case <-limit.C:
		d.Log.Error("attempts could not be settled; the next start records them as interrupted",
			"inflight", d.slots.inFlight())
	}
}

// lease is how long a claim lives: longer than any attempt can take.
func (d *Dispatcher) lease() time.Duration { return d.Timeout + LeaseMargin }

// Nudge makes the waker look at the store at once: something may have become due.
func (d *Dispatcher) Nudge() {
	select {
	case d.nudged <- struct{}{}:
	default:
	}
}
