package asynqqueue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/queue"
)

// Defaults of Options.
const (
	QueuesDefault = 4
	PrefixDefault = "paynotify-lanes"
	PollDefault   = 30 * time.Millisecond
)

// idChars of a random id tell processes apart; a mix-up would cost nothing but a lane's second turn.
const idChars = 8

// ErrClosed is what Wake returns after Close.
var ErrClosed = errors.New("asynqqueue: the queue is closed")

var _ queue.Queue = (*Queue)(nil)

// Options is what a Queue needs. Client is required. Prefix and Queues must be the same in all processes that
// share lanes.
type Options struct {
	// Client is the way to Redis: single, Sentinel or Cluster, best one that repeats nothing by itself
	// (MaxRetries -1) and heeds contexts (ContextTimeoutEnabled). The Queue does not close it.
	Client redis.UniversalClient
	// Prefix is what the names of the queues begin with, as the asynq CLI shows them; empty = PrefixDefault.
	Prefix string
	// Queues is how many there are; 0 = QueuesDefault.
	Queues int
	// Poll is how often an empty queue is asked for wakes of other processes; those of this process need no
	// asking. 0 = PollDefault.
	Poll time.Duration
	// Log takes one line for each outage and one for its end; nil = silent.
	Log *slog.Logger
}

// Queue is a queue.Queue over asynq. Safe for concurrent use.
type Queue struct {
	Options

	id      string        // of this Queue among all that share the Redis
	seq     atomic.Uint64 // numbers the wakes that this Queue enqueued
	lanes   *table
	lines   []*line
	running atomic.Bool
	closed  atomic.Bool
	counts  struct{ enqueued, failed, runs, folded, abandoned atomic.Uint64 }
}

// New makes a Queue. It says nothing to Redis before the first Wake or Run.
func New(o Options) *Queue {
	if o.Prefix == "" {
		o.Prefix = PrefixDefault
	}
	if o.Queues == 0 {
		o.Queues = QueuesDefault
	}
	if o.Poll == 0 {
		o.Poll = PollDefault
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{Options: o, id: rand.Text()[:idChars], lanes: newTable()}
	for i := range o.Queues {
		q.lines = append(q.lines, newLine(fmt.Sprintf("%s-%d", o.Prefix, i), o.Client, o.Log))
	}
	return q
}

// Wake puts the lane at the tail of its queue. It takes no longer than a second; when the queue's Redis does
// not answer, further wakes for the same queue fail at once for a while, and the caller does better to run
// the lane itself. Many calls at once share their way to Redis.
//
// A lane that this process is about to run, or runs, is only remembered: it joins the tail after its run.
func (q *Queue) Wake(ctx context.Context, lane string) error {
	if q.lanes.remember(lane) {
		q.counts.folded.Add(1)
		return nil
	}
	return q.enqueue(ctx, lane)
}

func (q *Queue) enqueue(ctx context.Context, lane string) error {
	if q.closed.Load() {
		return ErrClosed
	}
	l := q.line(lane)
	w := wake{Lane: lane, From: q.id, N: q.seq.Add(1)}
	if err := l.enqueue(ctx, w.payload()); err != nil {
		q.counts.failed.Add(1)
		return fmt.Errorf("asynqqueue: %s takes no wake: %w", l.name, err)
	}
	q.counts.enqueued.Add(1)
	return nil
}

// line is the queue that the lane belongs to, in every process the same.
func (q *Queue) line(lane string) *line {
	h := fnv.New32a()
	h.Write([]byte(lane))
	return q.lines[h.Sum32()%uint32(len(q.lines))] //nolint:gosec // a handful of queues
}

// Close ends Wake: it waits for the wakes under way, later ones fail. Run is ended by its context, not by
// Close.
func (q *Queue) Close() error {
	q.closed.Store(true)
	for _, l := range q.lines {
		l.batch.close()
	}
	return nil
}

// Stats are counts since New.
type Stats struct {
	Enqueued  uint64 // wakes that Redis took
	Failed    uint64 // wakes that Redis did not take
	Runs      uint64 // turns that lanes had in this process
	Folded    uint64 // wakes that needed no turn of their own, because a later turn serves them too
	Abandoned uint64 // tasks of processes that died before they were done, removed by this one
}

// Stats reads the counts.
func (q *Queue) Stats() Stats {
	return Stats{
		Enqueued: q.counts.enqueued.Load(), Failed: q.counts.failed.Load(), Runs: q.counts.runs.Load(),
		Folded: q.counts.folded.Load(), Abandoned: q.counts.abandoned.Load(),
	}
}

// Sizes tells how many wakes wait in Redis and how many are in the hands of runners, over all processes.
func (q *Queue) Sizes(ctx context.Context) (waiting, active int, err error) {
	pipe := q.Client.Pipeline()
	type sizes struct{ pending, active *redis.IntCmd }
	all := make([]sizes, len(q.lines))
	for i, l := range q.lines {
		all[i] = sizes{pipe.LLen(ctx, l.key("pending")), pipe.LLen(ctx, l.key("active"))}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, 0, fmt.Errorf("asynqqueue: cannot tell how long the queues are: %w", err)
	}
	for _, s := range all {
		waiting += int(s.pending.Val())
		active += int(s.active.Val())
	}
	return waiting, active, nil
}
