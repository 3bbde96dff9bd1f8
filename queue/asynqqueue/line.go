package asynqqueue

import (
	"context"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// wakeTimeout bounds the enqueueing of a wake: whoever waits longer does better to run the lane itself.
const wakeTimeout = time.Second

const (
	// taskType is what the asynq CLI shows as the type of a wake.
	taskType = "lane"
	// taskTimeout is asynq's limit for a task, and none of ours: after it asynq forgets a run that goes on.
	taskTimeout = 24 * time.Hour
)

// line is one of the queues of asynq, as this process uses it.
type line struct {
	name    string
	log     *slog.Logger
	batch   *batch
	client  *asynq.Client
	breaker breaker
	nudged  chan struct{} // capacity 1: this process has enqueued something
}

func newLine(name string, client redis.UniversalClient, log *slog.Logger) *line {
	l := &line{name: name, log: log, batch: &batch{client: client}, nudged: make(chan struct{}, 1)}
	l.client = asynq.NewClientFromRedisClient(sender{client, l.batch})
	l.breaker.outage = outage{log: log, queue: name, what: "queue takes no wakes"}
	return l
}

// key is one of asynq's keys of this queue. The name is the hash tag: a queue is one slot of a Cluster.
func (l *line) key(part string) string { return "asynq:{" + l.name + "}:" + part }

// enqueue gives Redis a task, unless it refused the last one a moment ago.
func (l *line) enqueue(ctx context.Context, payload []byte) error {
	if err := l.breaker.admit(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	_, err := l.client.EnqueueContext(bounded, asynq.NewTask(taskType, payload),
		asynq.Queue(l.name), asynq.MaxRetry(0), asynq.Timeout(taskTimeout))
	if err != nil && ctx.Err() != nil {
		l.breaker.withdraw() // the caller gave up, which says nothing about Redis
		return ctx.Err()
	}
	l.breaker.judge(err)
	if err == nil {
		l.nudge()
	}
	return err
}

// nudge has the server of this process look now: what it enqueues need not wait for the next poll.
func (l *line) nudge() {
	select {
	case l.nudged <- struct{}{}:
	default:
	}
}
