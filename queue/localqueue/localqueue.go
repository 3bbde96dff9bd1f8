// Package localqueue hands out lanes inside one process, for the embedded store.
//
// It is a round-robin list: a woken lane goes to the tail, a runner takes from the head, a lane woken while
// it is being run goes to the tail again when that run ends. Memory is one small entry per lane that is
// waiting or being run, whatever those lanes have due.
//
// Start reading at Queue.Run.
package localqueue

import (
	"context"
	"sync"

	"paynotify/queue"
)

var _ queue.Queue = (*Queue)(nil)

// Queue is an in-process queue.Queue. The zero value is not ready; use New.
type Queue struct {
	mu      sync.Mutex
	arrived *sync.Cond // signalled when waiting grows, and when a Run is told to stop
	waiting []string   // head first
	lanes   map[string]progress
}

// progress says where a lane is. A lane that is nowhere has no entry.
type progress int

const (
	waits progress = iota // in waiting, once
	runs                  // a runner has it
	dirty                 // a runner has it and it was woken meanwhile
)

// New returns an empty queue.
func New() *Queue {
	q := &Queue{lanes: make(map[string]progress)}
	q.arrived = sync.NewCond(&q.mu)
	return q
}

// Wake puts the lane at the tail, unless it waits already. It never fails.
func (q *Queue) Wake(_ context.Context, lane string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch at, known := q.lanes[lane]; {
	case !known:
		q.push(lane)
	case at == runs:
		q.lanes[lane] = dirty
	}
	return nil
}

// Run serves lanes with the given number of runners until ctx is done. Lanes that wait then are forgotten
// with the queue; the store names them again.
func (q *Queue) Run(ctx context.Context, workers int, run func(ctx context.Context, lane string)) error {
	stop := context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.arrived.Broadcast()
	})
	defer stop()
	var runners sync.WaitGroup
	for range workers {
		runners.Go(func() {
			for {
				lane, ok := q.take(ctx)
				if !ok {
					return
				}
				run(ctx, lane)
				q.done(lane)
			}
		})
	}
	runners.Wait()
	return nil
}

// take waits for a lane; false means that ctx is done.
func (q *Queue) take(ctx context.Context) (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && ctx.Err() == nil {
		q.arrived.Wait()
	}
	if ctx.Err() != nil {
		return "", false
	}
	lane := q.waiting[0]
	q.waiting[0] = ""
	q.waiting = q.waiting[1:]
	q.lanes[lane] = runs
	return lane, true
}

func (q *Queue) done(lane string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lanes[lane] == dirty {
		q.push(lane)
		return
	}
	delete(q.lanes, lane)
}

func (q *Queue) push(lane string) {
	q.lanes[lane] = waits
	q.waiting = append(q.waiting, lane)
	q.arrived.Signal()
}
