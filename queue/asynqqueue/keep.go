package asynqqueue

import (
	"context"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	keepEvery  = 5 * time.Second
	sweepEvery = time.Minute

	// allQueues is the set that the asynq CLI reads the names of the queues from.
	allQueues = "asynq:queues"
	// staleLease is long after the end of the lease of a task, which asynq gives 30 s and renews while the task
	// runs.
	staleLease = 5 * time.Minute
	// staleMax tasks are removed at a time.
	staleMax = 1000
	// remembered is how long a wake may be under way and still fold; see table.forget.
	remembered = time.Minute
)

// keep does what nobody else does, until ctx is done: the names of the queues are in asynq's list, whatever
// somebody deleted; what dead processes left behind is removed; idle lanes are forgotten.
func (q *Queue) keep(ctx context.Context) {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	swept := time.Now()
	for {
		q.register(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if time.Since(swept) < sweepEvery {
			continue
		}
		swept = time.Now()
		q.lanes.forget(swept.Add(-remembered))
		for _, l := range q.lines {
			q.sweep(ctx, l)
		}
	}
}

// register names the queues to asynq's tools. When it fails there is nothing to say: the servers do.
func (q *Queue) register(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	names := make([]any, len(q.lines))
	for i, l := range q.lines {
		names[i] = l.name
	}
	q.Client.SAdd(ctx, allQueues, names...)
}

// sweep removes tasks of processes that died: the store has named their lanes again long ago. asynq moves
// most to its archive a minute after; those whose record was deleted under them it can neither run nor move.
func (q *Queue) sweep(ctx context.Context, l *line) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	archived, err := asynq.NewInspectorFromRedisClient(bounded{q.Client}).DeleteAllArchivedTasks(l.name)
	if err != nil {
		return // the next sweep comes
	}
	stale, err := q.Client.ZRangeByScore(ctx, l.key("lease"), &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(time.Now().Add(-staleLease).Unix(), 10), Count: staleMax,
	}).Result()
	if err != nil {
		stale = nil
	}
	if len(stale) > 0 {
		pipe := q.Client.Pipeline()
		for _, id := range stale {
			pipe.ZRem(ctx, l.key("lease"), id)
			pipe.LRem(ctx, l.key("active"), 0, id)
			pipe.Del(ctx, l.key("t:"+id))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			stale = nil
		}
	}
	if n := archived + len(stale); n > 0 {
		q.counts.abandoned.Add(uint64(n))
		q.Log.Info("removed tasks of processes that died; their lanes had their turns", "queue", l.name, "tasks", n)
	}
}
