package dispatcher

import (
	"context"
	"time"

	"paynotify/store"
)

// Accept stores notifications durably and begins sending at once those that a free worker and their lane
// allow; the others wait in the store and their lanes are woken. The answers come after the commit, the sends
// never use ctx. The error is for all: nothing is known about any.
func (d *Dispatcher) Accept(ctx context.Context, ns []store.Notification) ([]store.Accepted, error) {
	items := make([]store.Incoming, len(ns))
	open := d.gate.open()
	for i := range ns {
		items[i] = store.Incoming{Notification: ns[i], Want: open && d.place(ns[i].MchID, len(ns) == 1)}
	}
	asked := time.Now()
	answers, err := d.Store.Accept(ctx, items, d.lease())
	if err != nil {
		for i := range items {
			if items[i].Want {
				d.giveBack(items[i].MchID, 1)
			}
		}
		return nil, err
	}
	waiting := false
	for i := range answers {
		switch {
		case answers[i].Claim != nil:
			d.start(held{Claim: *answers[i].Claim, asked: asked, clock: d.Store})
		case items[i].Want:
			d.giveBack(items[i].MchID, 1)
			fallthrough
		default:
			waiting = waiting || answers[i].Status == store.New
		}
	}
	if waiting {
		d.Nudge()
	}
	return answers, nil
}

// placeWait is how long a fresh notification waits for a place when all are taken. A producer that is faster
// than its merchants is slowed down a little by that; without it, it would fill the store with a backlog, in
// which every notification costs another write.
const placeWait = 100 * time.Millisecond

// place reserves a worker for a fresh notification.
func (d *Dispatcher) place(lane string, mayWait bool) bool {
	if mayWait {
		return d.slots.takeSoon(lane, placeWait)
	}
	return d.slots.take(lane, 1) == 1
}
