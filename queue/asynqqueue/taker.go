package asynqqueue

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// A queue that cannot be read is tried again after takePauseMin, then after twice as long each time.
	takePauseMin = 50 * time.Millisecond
	takePauseMax = time.Second

	// statusKeys is what the keys begin with under which a server tells people about itself.
	statusKeys = "asynq:servers:{"
	// notesMax is more than a server writes about itself at a time; what finds no place is not written.
	notesMax = 8
)

// taker is the Redis client of one asynq server. It puts right what asynq does with its connection:
//
//   - asynq sleeps blindly between two looks at an empty queue. Here it waits before a look, until this
//     process has enqueued something or the next poll is due.
//   - asynq asks again at once after an error. A Redis that refuses quickly (OOM, READONLY) would have it
//     spin.
//   - asynq writes what it tells people about a server (asynq:servers, which on a Cluster lies on any
//     master) in the loop that every task passes through. Here that goes its own way, so that a dead master
//     stops only its own queues.
//
// One server uses it, so there is one look at a time.
type taker struct {
	bounded
	line   *line
	poll   time.Duration
	stop   <-chan struct{} // closed: no task is taken any more
	outage *outage
	notes  chan func() // status to write
	closed *redis.Client

	due   bool          // look now; otherwise wait first
	pause time.Duration // after the next error
}

func newTaker(client redis.UniversalClient, l *line, poll time.Duration, stop <-chan struct{}) *taker {
	return &taker{
		bounded: bounded{client}, line: l, poll: poll, stop: stop, pause: takePauseMin, due: true,
		outage: &outage{log: l.log, queue: l.name, what: "queue gives no wakes"},
		notes:  make(chan func(), notesMax),
		closed: closedClient(),
	}
}

// EvalSha has a script run that Redis knows.
func (t *taker) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	switch {
	case t.takes(keys):
		return t.take(func() *redis.Cmd { return t.bounded.EvalSha(ctx, sha, keys, args...) })
	case strings.HasPrefix(keys[0], statusKeys):
		return redis.NewCmdResult(nil, redis.ErrNoScript) // so that Eval brings the text
	}
	return t.bounded.EvalSha(ctx, sha, keys, args...)
}

// Eval has a script run that Redis does not know yet.
func (t *taker) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	switch {
	case t.takes(keys):
		return t.take(func() *redis.Cmd { return t.bounded.Eval(ctx, script, keys, args...) })
	case strings.HasPrefix(keys[0], statusKeys):
		t.note(func() { redis.NewScript(script).Run(ctx, t.bounded, keys, args...) })
		return redis.NewCmdResult("OK", nil)
	}
	return t.bounded.Eval(ctx, script, keys, args...)
}

// ZAdd enters a server into the list of servers.
func (t *taker) ZAdd(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	t.note(func() {
		ctx, cancel := t.limit(ctx)
		defer cancel()
		t.UniversalClient.ZAdd(ctx, key, members...)
	})
	return redis.NewIntResult(1, nil)
}

// ZRem takes a server off the list of servers.
func (t *taker) ZRem(ctx context.Context, key string, members ...any) *redis.IntCmd {
	t.note(func() {
		ctx, cancel := t.limit(ctx)
		defer cancel()
		t.UniversalClient.ZRem(ctx, key, members...)
	})
	return redis.NewIntResult(1, nil)
}

// Subscribe does not subscribe. asynq listens on a channel for tasks that somebody cancels, which nobody
// does; it would cost every server a connection, and asynq panics when that is closed. It tries again now and
// then, which costs nothing.
func (t *taker) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return t.closed.Subscribe(ctx, channels...)
}

// closedClient is a client that fails at once.
func closedClient() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", Protocol: 2}) // a name would be looked up
	_ = c.Close()                                                          // nothing was opened
	return c
}

// takes tells the script that takes a task from the others: only its first key is the list of waiting tasks.
func (t *taker) takes(keys []string) bool { return keys[0] == t.line.key("pending") }

// take looks for a task. While there is none it waits for the next occasion and then says that there is none:
// asynq comes back at once, with the lease of a task counted from then.
func (t *taker) take(look func() *redis.Cmd) *redis.Cmd {
	if !t.due {
		t.sleep(t.poll, t.line.nudged)
		t.due = true
		return redis.NewCmdResult(nil, redis.Nil)
	}
	if t.stopped() {
		return redis.NewCmdResult(nil, redis.Nil)
	}
	cmd := look()
	switch err := cmd.Err(); {
	case err == nil:
		t.worked()
	case errors.Is(err, redis.Nil):
		t.worked()
		t.due = false
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		// Eval follows
	default:
		t.outage.note(err)
		t.sleep(t.pause, nil)
		t.pause = min(2*t.pause, takePauseMax)
	}
	return cmd
}

func (t *taker) worked() {
	t.outage.note(nil)
	t.pause = takePauseMin
}

func (t *taker) stopped() bool {
	select {
	case <-t.stop:
		return true
	default:
		return false
	}
}

// sleep ends after d, early when something arrives there, or at the stop.
func (t *taker) sleep(d time.Duration, early <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-t.stop:
	}
}

// note has something written that nobody waits for.
func (t *taker) note(write func()) {
	select {
	case t.notes <- write:
	default:
	}
}

// writeNotes works until notes is closed.
func (t *taker) writeNotes() {
	for write := range t.notes {
		write()
	}
}
