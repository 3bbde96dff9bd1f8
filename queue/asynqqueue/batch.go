package asynqqueue

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// batchMax is how many wakes travel together: enough to make the way to Redis cheap, few enough that the
// first need not wait for the last.
const batchMax = 128

// batch sends what many callers want at once in one pipeline. Whoever comes while one is under way goes with
// the next, so a lone caller waits for nobody, and 256 of them are a few round trips.
type batch struct {
	client redis.UniversalClient

	mu      sync.Mutex
	waiting []*call
	sending bool
	closed  bool
	senders sync.WaitGroup
}

// call is one command and where its result goes.
type call struct {
	ctx  context.Context //nolint:containedctx // of the caller who waits
	add  func(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd
	cmd  *redis.Cmd    // nil when nobody waited any more
	done chan struct{} // closed when cmd has its result
}

// do has the command sent that add adds, and returns it with its result, or one with the error of ctx. In
// that case Redis may or may not have executed it.
func (b *batch) do(
	ctx context.Context, add func(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd,
) *redis.Cmd {
	c := &call{ctx: ctx, add: add, done: make(chan struct{})}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return redis.NewCmdResult(nil, ErrClosed)
	}
	b.waiting = append(b.waiting, c)
	if !b.sending {
		b.sending = true
		b.senders.Go(b.send)
	}
	b.mu.Unlock()
	select {
	case <-c.done:
		if c.cmd != nil {
			return c.cmd
		}
	case <-ctx.Done():
	}
	return redis.NewCmdResult(nil, ctx.Err())
}

// send works until nobody waits. It knows no caller's context: one that gives up must not take others along.
func (b *batch) send() {
	for calls := b.next(); calls != nil; calls = b.next() {
		b.exec(calls)
	}
}

// next takes the callers of one pipeline; nil when there is nobody, and then the sender's work is over.
func (b *batch) next() []*call {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), batchMax)
	if n == 0 {
		b.sending, b.waiting = false, nil
		return nil
	}
	calls := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	return calls
}

func (b *batch) exec(calls []*call) {
	ctx, cancel := context.WithTimeout(context.Background(), wakeTimeout)
	defer cancel()
	pipe := b.client.Pipeline()
	for _, c := range calls {
		if c.ctx.Err() == nil { // nobody waits for the others any more
			c.cmd = c.add(ctx, pipe)
		}
	}
	_, _ = pipe.Exec(ctx) // every command has its own error
	for _, c := range calls {
		close(c.done)
	}
}

// close waits for what is under way; nothing is sent any more.
func (b *batch) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.senders.Wait()
}
