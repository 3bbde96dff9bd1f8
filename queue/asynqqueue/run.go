package asynqqueue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

const (
	// never is for what asynq would do by a clock and we do not need.
	never = 24 * time.Hour
	// stopGrace is how long Run waits for the end of asynq, which wants to tell Redis that it is done; Redis may
	// not be there. It always waits for the runs of lanes.
	stopGrace = 4 * time.Second
)

// runners are one Run: the servers take lanes, the runners' places are shared by all of them.
type runners struct {
	*Queue
	ctx    context.Context //nolint:containedctx // of Run; asynq's own has asynq's limits
	run    func(ctx context.Context, lane string)
	places chan struct{} // as many as workers; one is taken during a turn

	mu     sync.Mutex
	over   bool           // no lane begins a turn any more
	inside sync.WaitGroup // lanes that wait for a turn or have one
}

// Run takes lanes from the queues and calls run for them, until ctx is done and every run has returned. Lanes
// that were taken and have not begun then go back, for other processes.
func (q *Queue) Run(ctx context.Context, workers int, run func(ctx context.Context, lane string)) error {
	if !q.running.CompareAndSwap(false, true) {
		return errors.New("asynqqueue: Run has been called already and has not returned")
	}
	defer q.running.Store(false)
	r := &runners{Queue: q, ctx: ctx, run: run, places: make(chan struct{}, workers)}
	log := &asynqLog{log: q.Log}
	var parts sync.WaitGroup
	for _, l := range q.lines {
		parts.Go(func() { r.serve(l, log) })
	}
	parts.Go(func() { q.keep(ctx) })
	stopped := make(chan struct{})
	go func() {
		parts.Wait()
		close(stopped)
	}()
	<-ctx.Done()
	r.wait(stopped)
	return nil
}

// wait returns when every run has returned, and, if that does not take too long, asynq has ended as well.
func (r *runners) wait(stopped <-chan struct{}) {
	limit := time.NewTimer(stopGrace)
	defer limit.Stop()
	select {
	case <-stopped:
	case <-limit.C:
		r.Log.Warn("not waiting any longer for asynq to end, nothing is lost by that", "waited", stopGrace)
	}
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.inside.Wait()
}

// serve is the asynq server of one queue, from start to end.
func (r *runners) serve(l *line, log *asynqLog) {
	t := newTaker(r.Client, l, r.Poll, r.ctx.Done())
	server := asynq.NewServerFromRedisClient(t, asynq.Config{
		Concurrency:              cap(r.places),
		Queues:                   map[string]int{l.name: 1},
		TaskCheckInterval:        1, // the taker waits
		ShutdownTimeout:          never,
		DelayedTaskCheckInterval: never,
		JanitorInterval:          never,
		Logger:                   log.of(t.outage),
		LogLevel:                 asynq.WarnLevel,
	})
	var writing sync.WaitGroup
	writing.Go(t.writeNotes)
	defer writing.Wait()
	defer close(t.notes)
	if err := server.Start(asynq.HandlerFunc(r.handle)); err != nil { // only when it has been started before
		r.Log.Error("asynq does not start", "queue", l.name, "err", err)
		return
	}
	<-r.ctx.Done()
	server.Shutdown()
}

// handle gives the lane of a task its turn. For asynq the task is done, the rest is ours: it fails only when
// a lane that comes too late cannot be given to others.
func (r *runners) handle(_ context.Context, task *asynq.Task) error {
	w, err := parseWake(task.Payload())
	if err != nil {
		r.Log.Warn("a task in our queue is none of ours, it is dropped", "type", task.Type(), "err", err)
		return nil
	}
	if !r.enter() { // this process stops: whoever does not takes the lane
		return r.enqueue(context.Background(), w.Lane)
	}
	defer r.inside.Done()
	own := w.N
	if w.From != r.id {
		own = 0
	}
	if !r.lanes.arrive(w.Lane, own) {
		r.counts.folded.Add(1)
		return nil
	}
	r.serveLane(w.Lane)
	return nil
}

// enter reports whether a lane may still get its turn; inside.Done must follow then.
func (r *runners) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.inside.Add(1)
	return true
}

// serveLane gives a lane its turn when its turn comes. A lane that was woken meanwhile goes to the tail of
// its queue; when the queue does not take it, it waits here for another turn, behind those that wait already.
func (r *runners) serveLane(lane string) {
	for {
		again := true
		select {
		case <-r.ctx.Done():
			r.lanes.leave(lane)
		case r.places <- struct{}{}:
			again = r.turn(lane)
		}
		if !again {
			return
		}
		if err := r.enqueue(context.WithoutCancel(r.ctx), lane); err == nil || r.ctx.Err() != nil {
			return // without a queue the store names the lane again
		}
		if !r.lanes.arrive(lane, 0) {
			return // it came back by another task
		}
	}
}

// turn runs a lane on a place that was taken, and reports whether it was woken meanwhile.
func (r *runners) turn(lane string) (again bool) {
	defer func() {
		again = r.lanes.leave(lane)
		<-r.places
	}()
	if r.ctx.Err() != nil {
		return
	}
	r.lanes.start(lane, r.seq.Load())
	r.counts.runs.Add(1)
	r.run(r.ctx, lane)
	return
}
