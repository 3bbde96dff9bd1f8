package asynqqueue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// callTimeout bounds what asynq asks of Redis. asynq itself sets no limit, and a server's loop waits
// meanwhile.
const callTimeout = 3 * time.Second

// bounded is a Redis client whose scripts take no longer than callTimeout and do not depend on the caller's
// context: since v0.25 asynq repeats a failed Done with a context that it has already canceled, so that none
// of the repeats could ever succeed.
type bounded struct{ redis.UniversalClient }

func (b bounded) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
}

// EvalSha has a script run that Redis knows.
func (b bounded) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	ctx, cancel := b.limit(ctx)
	defer cancel()
	return b.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

// Eval has a script run that Redis does not know yet.
func (b bounded) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	ctx, cancel := b.limit(ctx)
	defer cancel()
	return b.UniversalClient.Eval(ctx, script, keys, args...)
}

// ZAddXX extends the leases of tasks.
func (b bounded) ZAddXX(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	ctx, cancel := b.limit(ctx)
	defer cancel()
	return b.UniversalClient.ZAddXX(ctx, key, members...)
}
