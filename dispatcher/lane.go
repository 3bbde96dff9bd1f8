package dispatcher

import (
	"context"
	"sync"
	"time"

	"paynotify/store"
)

// claimMax notifications are claimed at a time: enough to amortise the write, few enough that a lane with a
// long backlog shares the process after every turn.
const claimMax = 32

// breakerLook is how long after a failure the store is asked when the lane may go on: shorter than any pause
// of a breaker, long enough for many failures to ask once.
const breakerLook = time.Second

// held is a claim in this process's hands.
type held struct {
	store.Claim
	asked time.Time // before the store was asked: the lease is counted from here
	clock clock
}

// clock is the part of a store that tells the time.
type clock interface{ Now() time.Time }

// now is the store's clock; it is never before the claim.
func (h *held) now() time.Time {
	if now := h.clock.Now(); now.After(h.ClaimedAt) {
		return now
	}
	return h.ClaimedAt
}

// age is the time since the claim by whichever clock ran further: the monotonic one stands still while a
// virtual machine is suspended.
func (h *held) age() time.Duration {
	now := time.Now()
	return max(now.Sub(h.asked), now.Round(0).Sub(h.asked.Round(0)))
}

// runLane gives a lane one turn: it claims what is due within the free places and starts an attempt for
// each. It never waits for an attempt. A lane with more goes to the end of the queue; one at its cap is named
// by the settlement of one of its attempts, one that found no free worker when there is one, any other by the
// waker.
func (d *Dispatcher) runLane(ctx context.Context, lane string) {
	if !d.gate.pass(lane) {
		return
	}
	places, ok := d.slots.takeOrStarve(lane, claimMax)
	switch {
	case !ok:
		d.handBack(lane)
		return
	case places == 0:
		d.metrics.throttled.workers.Inc()
		return
	}
	asked := time.Now()
	// A claim that this process asked for and did not wait for would be in nobody's hands.
	claims, err := d.Store.Claim(context.WithoutCancel(ctx), lane, places, d.lease())
	if err != nil {
		d.Log.Warn("lane cannot claim", "mch_id", lane, "err", err)
	}
	for i := range claims.Items {
		d.start(held{Claim: claims.Items[i], asked: asked, clock: d.Store})
	}
	for _, id := range claims.Quarantined {
		d.quarantined(ctx, lane, id)
	}
	if claims.Newer > 0 {
		d.metrics.newerRecords.Add(float64(claims.Newer))
		d.Log.Warn("notifications that a newer version wrote are left to it", "mch_id", lane, "due", claims.Newer)
	}
	if idle := places - len(claims.Items); idle > 0 {
		d.giveBack(lane, idle)
	}
	switch claims.Lane {
	case store.LaneMore:
		d.wake(lane)
	case store.LaneCapped:
		d.metrics.throttled.cap.Inc()
	case store.LaneRated:
		d.metrics.throttled.rate.Inc()
	case store.LaneTight:
		d.metrics.throttled.breaker.Inc()
	case store.LaneIdle, store.LaneHeld:
	}
	d.wakeBy(claims.Next)
}

// quarantined tells metrics and log about a damaged record that a claim came upon.
func (d *Dispatcher) quarantined(ctx context.Context, lane, id string) {
	d.Log.Error("damaged record: the notification is quarantined", "notify_id", id, "mch_id", lane)
	m, err := d.Store.Merchant(ctx, lane)
	if err != nil {
		d.Log.Warn("a quarantined notification is not counted", "mch_id", lane, "err", err)
		return
	}
	d.metrics.final(store.Quarantined, m.Profile)
}

// start makes an attempt on a goroutine of its own and has it written down. The place in slots is taken
// already; it is free again when the outcome is known.
func (d *Dispatcher) start(h held) {
	d.metrics.inflight.Inc()
	go func() {
		point("claimed")
		o := d.isolated(&h)
		d.metrics.inflight.Dec()
		d.again(d.slots.judge(h.MchID))
		if d.settle(&h, o) {
			point("committed")
			d.report(&h, o)
			d.wakeBy(o.NextAt)
			if o.Attempt.Failed() {
				// The lane's breaker may have work for a probe before that: the store knows when, and is asked.
				d.wakeBy(h.now().Add(breakerLook))
			}
		}
		d.slots.settled()
	}()
}

// giveBack frees places of the lane that were taken and not used.
func (d *Dispatcher) giveBack(lane string, n int) { d.again(d.slots.giveBack(lane, n)) }

// again gives a turn to a lane that this process has in hand: one that had found no free worker, or one at
// its cap of which an attempt has ended. The queue is for lanes that any process may take. Empty is none.
func (d *Dispatcher) again(lane string) {
	if lane == "" || !d.turns.begin(lane) {
		return
	}
	d.handing.Go(func() {
		d.turns.end(lane)
		d.runLane(d.interrupt, lane)
	})
}

// handBack gives a lane that will have no turn here, because this process stops, to the others: it is marked
// awake, and nobody would look at it until the mark runs out.
func (d *Dispatcher) handBack(lane string) {
	if err := d.Queue.Wake(context.WithoutCancel(d.interrupt), lane); err != nil {
		d.Log.Warn("no other process is told of a lane with work", "mch_id", lane, "err", err)
	}
}

// turns are the lanes that are about to have a turn outside the queue, each once.
type turns struct{ lanes sync.Map }

func (t *turns) begin(lane string) bool {
	_, pending := t.lanes.LoadOrStore(lane, true)
	return !pending
}

func (t *turns) end(lane string) { t.lanes.Delete(lane) }
