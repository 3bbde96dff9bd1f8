package asynqqueue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// sender is the Redis client that asynq enqueues with: what asynq sends one by one goes through a batch.
type sender struct {
	redis.UniversalClient
	batch *batch
}

// EvalSha has a script run that Redis knows.
func (s sender) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return s.batch.do(ctx, func(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd {
		return pipe.EvalSha(ctx, sha, keys, args...)
	})
}

// Eval has a script run that Redis does not know yet.
func (s sender) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return s.batch.do(ctx, func(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd {
		return pipe.Eval(ctx, script, keys, args...)
	})
}

// SAdd does nothing. With it asynq enters a queue into its list of queues, once in a process: after a flush
// the list is gone for good, and on a Cluster it may lie on a dead master while the queue does not. Run
// enters them itself, again and again.
func (s sender) SAdd(context.Context, string, ...any) *redis.IntCmd {
	return redis.NewIntResult(0, nil)
}
