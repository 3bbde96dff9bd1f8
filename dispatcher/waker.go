package dispatcher

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// wakesMax lanes are named at a time, so that the first of 10,000 need not wait for the last.
	wakesMax = 256
	// wakersMax lanes are given to the queue at the same time.
	wakersMax = 32
	// storeRetry is how long the waker waits when the store does not answer.
	storeRetry = time.Second
)

// wakeLanes asks the store for lanes with work, wakes them and sleeps to the next due instant. It is the only
// clock of the engine, and it needs no other repair: whatever the queue forgot, the store names again.
func (d *Dispatcher) wakeLanes(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.nudged:
		case <-timer.C:
		}
		d.nextWake.Store(math.MaxInt64) // what becomes due while the store is asked may be news to it
		sleep := d.wakeDue(ctx)
		d.nextWake.Store(time.Now().Add(sleep).UnixNano())
		timer.Reset(sleep)
	}
}

// wakeDue wakes every lane that has work now and tells how long there will be no more.
func (d *Dispatcher) wakeDue(ctx context.Context) time.Duration {
	if d.gate.shutForAll() {
		return storeRetry
	}
	for {
		// Lanes that are named are marked awake: they must be heard, also when this process begins to stop.
		w, err := d.Store.Wakes(context.WithoutCancel(ctx), wakesMax)
		if err != nil {
			d.Log.Warn("store does not say what is due", "err", err)
			return storeRetry
		}
		d.metrics.recovered.Add(float64(w.Recovered))
		d.metrics.lostWakes.Add(float64(w.Lost))
		d.wakeAll(w.Lanes)
		switch {
		case ctx.Err() != nil:
			return storeRetry
		case len(w.Lanes) >= wakesMax:
			continue
		case w.Next.IsZero():
			return d.PollMax
		}
		return min(d.PollMax, max(0, w.Next.Sub(w.Now)))
	}
}

// wake puts a lane into the queue; when the queue cannot take it, the lane runs here and now.
func (d *Dispatcher) wake(lane string) {
	if err := d.Queue.Wake(context.WithoutCancel(d.interrupt), lane); err != nil {
		d.Log.Debug("queue does not take a lane, it runs here", "mch_id", lane, "err", err)
		d.again(lane)
	}
}

// wakeAll wakes many lanes, a few at a time: a queue may be a round trip away, and one that is slow for some
// lanes must not keep the others waiting.
func (d *Dispatcher) wakeAll(lanes []string) {
	var wakers sync.WaitGroup
	next := atomic.Int64{}
	for range min(wakersMax, len(lanes)) {
		wakers.Go(func() {
			for i := next.Add(1); int(i) <= len(lanes); i = next.Add(1) {
				d.wake(lanes[i-1])
			}
		})
	}
	wakers.Wait()
}

// wakeBy makes the waker look again no later than at the given instant.
func (d *Dispatcher) wakeBy(at time.Time) {
	if !at.IsZero() && at.UnixNano() < d.nextWake.Load() {
		d.Nudge()
	}
}
