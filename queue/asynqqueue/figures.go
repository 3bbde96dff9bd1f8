package asynqqueue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Figures are what asynq knows about the queues, over all queues and all processes that share them.
type Figures struct {
	// Tasks by where they are. Lanes are pending or active; asynq archives those of processes that died, until
	// a sweep. The other places are for what nobody here uses: anything in them was put there by hand.
	Pending, Active, Scheduled, Retry, Archived, Completed int

	Latency     time.Duration // how long the oldest pending task has waited
	Processed   int           // tasks since the queues were made, those that failed too
	Failed      int           // of them
	MemoryBytes int64         // of Redis, estimated by asynq from a sample of the tasks
	Paused      int           // queues that somebody paused with asynq's tools; no lane of theirs is handed out
}

// Figures asks asynq, within the time of ctx. It fails when one of the queues cannot be asked: a sum that
// misses one would look as if its counters had begun again.
func (q *Queue) Figures(ctx context.Context) (Figures, error) {
	inspector := asynq.NewInspectorFromRedisClient(asked{q.Client, ctx})
	infos, errs := make([]*asynq.QueueInfo, len(q.lines)), make([]error, len(q.lines))
	var asking sync.WaitGroup
	for i, l := range q.lines {
		asking.Go(func() { infos[i], errs[i] = inspector.GetQueueInfo(l.name) })
	}
	asking.Wait()
	if err := errors.Join(errs...); err != nil {
		return Figures{}, fmt.Errorf("asynqqueue: cannot tell how the queues are: %w", err)
	}
	var f Figures
	for _, info := range infos {
		f.add(info)
	}
	return f, nil
}

func (f *Figures) add(info *asynq.QueueInfo) {
	f.Pending += info.Pending
	f.Active += info.Active
	f.Scheduled += info.Scheduled
	f.Retry += info.Retry
	f.Archived += info.Archived
	f.Completed += info.Completed
	f.Latency = max(f.Latency, info.Latency)
	f.Processed += info.ProcessedTotal
	f.Failed += info.FailedTotal
	f.MemoryBytes += info.MemoryUsage
	if info.Paused {
		f.Paused++
	}
}

// asked is a Redis client for asynq's inspector, which knows no contexts: here everything it asks has the
// time of one.
type asked struct {
	redis.UniversalClient

	ctx context.Context //nolint:containedctx // of one look
}

// SIsMember says that the queue is there. Its name may not be in asynq's list yet, or not any more, and on
// a Cluster that list may lie on a master that is gone; of a queue without keys everything is zero.
func (asked) SIsMember(context.Context, string, any) *redis.BoolCmd {
	return redis.NewBoolResult(true, nil)
}

// EvalSha has a script run that Redis knows.
func (a asked) EvalSha(_ context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return a.UniversalClient.EvalSha(a.ctx, sha, keys, args...)
}

// Eval has a script run that Redis does not know yet.
func (a asked) Eval(_ context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return a.UniversalClient.Eval(a.ctx, script, keys, args...)
}
