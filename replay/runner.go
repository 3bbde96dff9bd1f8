package replay

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"paynotify/store"
)

const (
	lookEvery = time.Second // between looks for replays that nobody works on
	// inflightDefault is the configuration's default of max_inflight_per_merchant.
	inflightDefault = 16
	// complainEvery is how many looks in a row fail for one line of the log.
	complainEvery = 60
)

// Store is what replaying needs of a store.Store.
//
//nolint:interfacebloat // it is a part of the one big contract
type Store interface {
	List(ctx context.Context, q store.Query) ([]store.Notification, string, error)
	Get(ctx context.Context, notifyID string) (store.Notification, []store.Attempt, error)
	Resend(ctx context.Context, notifyID string, t store.Trigger, force bool) (store.Notification, error)
	Merchant(ctx context.Context, mchID string) (store.Merchant, error)
	Sending(ctx context.Context) (store.Sending, error)
	Marks
	Now() time.Time
}

// Options is what a Runner needs. Store is required.
type Options struct {
	Store Store
	Nudge func() // is told when something has become due; nil = whoever sends finds it in the store
	// InflightDefault is the cap of merchants that have none of their own; 0 = 16.
	InflightDefault int
	Node            string // names this process among those that share the store
	Sole            bool   // no other process serves the store: no lease is waited for
	Log             *slog.Logger
}

// Runner carries out the replays of a store, together with the Runners of other processes. Use New.
type Runner struct {
	Options

	kicked  chan struct{} // capacity 1: there may be a new one
	mu      sync.Mutex
	working map[string]bool // replays that this process works on
}

// New prepares a Runner; Run starts it.
func New(o Options) *Runner {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Nudge == nil {
		o.Nudge = func() {}
	}
	if o.InflightDefault == 0 {
		o.InflightDefault = inflightDefault
	}
	return &Runner{Options: o, kicked: make(chan struct{}, 1), working: map[string]bool{}}
}

// Kick says that a replay was begun: it need not wait for the next look.
func (r *Runner) Kick() {
	select {
	case r.kicked <- struct{}{}:
	default:
	}
}

// Run carries out replays until ctx ends. What is not done then goes on in another process, or after the next
// start.
func (r *Runner) Run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for failures := 0; ; {
		x, _, err := readIndex(ctx, r.Store)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures = 0
		default:
			if failures++; failures%complainEvery == 1 {
				r.Log.Error("replays wait, nothing is lost", "err", err, "tries", failures)
			}
		}
		for _, id := range x.Active {
			if r.begin(id) {
				workers.Go(func() {
					defer r.end(id)
					(&worker{Runner: r, id: id}).run(ctx)
				})
			}
		}
		select {
		case <-again.C:
		case <-r.kicked:
		case <-ctx.Done():
			return
		}
	}
}

// begin reports whether nobody in this process works on a replay, and that somebody does from now on.
func (r *Runner) begin(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.working[id] {
		return false
	}
	r.working[id] = true
	return true
}

func (r *Runner) end(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.working, id)
}
