package dispatcher

import (
	"context"
	"time"

	"paynotify/store"
)

// placeWait is how long an Accept waits, in all, for places when all are taken. A producer that is faster
// than its merchants is slowed down a little by that; without it, it would fill the store with a backlog, in
// which every notification costs another write.
const placeWait = 100 * time.Millisecond

// Accept stores notifications durably and begins sending at once those that a free worker and their lane
// allow; the others wait in the store and their lanes are woken. The answers come after the commit, in order;
// the sends never use ctx. The error is for all: nothing is known about any.
//
// Many notifications go in as few commits as there are places for: those that find one at once together, the
// next when a place is free again, all the rest when there will be none soon.
func (d *Dispatcher) Accept(ctx context.Context, ns []store.Notification) ([]store.Accepted, error) {
	answers := make([]store.Accepted, 0, len(ns))
	patience := time.Now().Add(placeWait)
	for len(ns) > 0 {
		items := d.places(ns, patience)
		accepted, err := d.acceptItems(ctx, items)
		if err != nil {
			return nil, err
		}
		answers, ns = append(answers, accepted...), ns[len(items):]
	}
	return answers, nil
}

// places reserves workers for the first few notifications, as many as find one now, and says which; when not
// even the first finds one, it takes them all as they are.
func (d *Dispatcher) places(ns []store.Notification, patience time.Time) []store.Incoming {
	items := make([]store.Incoming, 0, len(ns))
	soon := d.gate.open(ns[0].MchID) && d.slots.takeSoon(ns[0].MchID, time.Until(patience))
	for i := range ns {
		want := i == 0 && soon ||
			i > 0 && d.gate.open(ns[i].MchID) && d.slots.take(ns[i].MchID, 1) == 1
		if soon && !want {
			break
		}
		items = append(items, store.Incoming{Notification: ns[i], Want: want})
	}
	return items
}

// acceptItems stores items in one commit and starts those that were claimed with it.
func (d *Dispatcher) acceptItems(ctx context.Context, items []store.Incoming) ([]store.Accepted, error) {
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
