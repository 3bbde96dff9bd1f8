package redisstore

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Limits of the queue in front of Redis.
const (
	batchCalls  = 256       // in one pipeline: bounds how long the first one waits for its answer
	batchBytes  = 128 << 10 // of a pipeline, likewise; on a slow line less, down to batchLeast
	batchLeast  = 16 << 10
	queueCalls  = 8192 // waiting; more are refused at once
	queueBytes  = 32 << 20
	roundsMax   = 8 // times that what was not executed is sent
	pauseFirst  = 25 * time.Millisecond
	pauseLonger = 200 * time.Millisecond
	slowReply   = 4 * time.Second // a pipeline that took longer is too big for its line
	fastReply   = 500 * time.Millisecond
)

// batcher sends calls to one Redis in pipelines. Nothing waits for a batch to fill: a sender takes everything
// that is there, and while it waits for the answers the next batch forms by itself.
type batcher struct {
	s        *Store
	shard    int
	replicas int // that must have what a pipeline wrote; 0 = none
	wake     chan struct{}

	mu    sync.Mutex
	queue []*pending
	head  int // of queue; what is before it is taken
	bytes int
	shut  bool

	room atomic.Int64 // bytes of a pipeline, as the line has them
	down atomic.Bool  // the last pipeline got no answer; for the log
}

// newBatcher starts a batcher with a number of senders, each of which has one pipeline under way at a time.
func newBatcher(s *Store, shard, replicas, senders int) *batcher {
	b := &batcher{s: s, shard: shard, replicas: replicas, wake: make(chan struct{}, 1)}
	b.room.Store(batchBytes)
	for range senders {
		s.senders.Go(b.send)
	}
	return b
}

// put queues a call.
func (b *batcher) put(p *pending) error {
	b.mu.Lock()
	if b.shut {
		b.mu.Unlock()
		return errClosed
	}
	if len(b.queue)-b.head >= queueCalls || b.bytes+p.bytes > queueBytes {
		b.purge()
		if n := len(b.queue) - b.head; n >= queueCalls || n > 0 && b.bytes+p.bytes > queueBytes {
			b.mu.Unlock()
			return errCrowded
		}
	}
	b.queue = append(b.queue, p)
	b.bytes += p.bytes
	b.mu.Unlock()
	b.poke()
	return nil
}

// adapt makes pipelines smaller when they take so long that the next may not make it in replyTimeout, and
// bigger again when there is no need.
func (b *batcher) adapt(took time.Duration) {
	room := b.room.Load()
	switch {
	case took > slowReply && room > batchLeast:
		b.room.CompareAndSwap(room, room/2)
	case took < fastReply && room < batchBytes:
		b.room.CompareAndSwap(room, room*2)
	}
}

// poke wakes a sender.
func (b *batcher) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// purge forgets what callers have left in the queue.
func (b *batcher) purge() {
	kept := b.queue[:0]
	b.bytes = 0
	for _, p := range b.queue[b.head:] {
		if p.state.Load() == queued {
			kept = append(kept, p)
			b.bytes += p.bytes
		}
	}
	clear(b.queue[len(kept):])
	b.queue, b.head = kept, 0
}

// take fills a batch from the queue. What callers have left is dropped unsent.
func (b *batcher) take(batch []*pending) []*pending {
	b.mu.Lock()
	defer b.mu.Unlock()
	bytes, room := 0, int(b.room.Load())
	for b.head < len(b.queue) && len(batch) < batchCalls {
		p := b.queue[b.head]
		if len(batch) > 0 && bytes+p.bytes > room {
			break
		}
		b.queue[b.head] = nil
		b.head++
		b.bytes -= p.bytes
		if p.state.CompareAndSwap(queued, sent) {
			batch = append(batch, p)
			bytes += p.bytes
		}
	}
	if b.head == len(b.queue) {
		b.queue, b.head = b.queue[:0], 0
	} else {
		b.poke() // for another sender
	}
	return batch
}

// send is the loop of a sender.
func (b *batcher) send() {
	batch := make([]*pending, 0, batchCalls)
	for {
		select {
		case <-b.wake:
		case <-b.s.quit:
			b.refuse()
			return
		}
		// Whoever the last pipeline has answered may have its next call ready: let it come along.
		runtime.Gosched()
		for batch = b.take(batch[:0]); len(batch) > 0; batch = b.take(batch[:0]) {
			b.exchange(batch)
			runtime.Gosched()
		}
	}
}

// refuse answers what is still queued when the store is closed.
func (b *batcher) refuse() {
	b.mu.Lock()
	waiting := b.queue[b.head:]
	b.queue, b.head, b.bytes, b.shut = nil, 0, 0, true
	b.mu.Unlock()
	for _, p := range waiting {
		if p.state.CompareAndSwap(queued, sent) {
			p.answer(b.s, nil, errClosed)
		}
	}
}

// exchange sends a batch and answers every call in it. What Redis did not execute, because it did not know
// the script or because the shard lies elsewhere now, is sent again.
func (b *batcher) exchange(batch []*pending) {
	r := round{b: b, calls: batch}
	for n := 1; len(r.calls) > 0; n++ {
		r.last = n == roundsMax
		r.do()
		if r.away && len(r.calls) > 0 {
			b.pause(n)
		}
	}
}

// pause waits for a Cluster to sort itself out.
func (b *batcher) pause(n int) {
	t := time.NewTimer(min(pauseFirst<<(n-1), pauseLonger))
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.s.quit:
	}
}

// round is one pipeline of an exchange.
type round struct {
	b     *batcher
	calls []*pending
	last  bool          // do not send again
	away  bool          // the shard is not where we asked
	node  *redis.Client // where the last reply sent us; nil = where the shard should be
	// brought are scripts that go along as texts.
	brought []*script
}

// do sends the calls in one pipeline, answers them, and leaves those that are to be sent again.
func (r *round) do() {
	client, err := r.client()
	if err != nil {
		r.fail(err)
		return
	}
	cmds := make([]redis.Cmder, 0, len(r.calls)+1)
	for _, p := range r.calls {
		cmds = append(cmds, redis.NewCmd(r.b.s.ctx, p.argv...))
	}
	if r.b.replicas > 0 {
		cmds = append(cmds, redis.NewCmd(r.b.s.ctx,
			"wait", r.b.replicas, waitReplicas.Milliseconds()))
	}
	pipe := client.Pipeline()
	_ = pipe.BatchProcess(r.b.s.ctx, cmds...) // never fails: it only queues
	from := time.Now()
	err = flush(r.b.s.ctx, pipe)
	to := time.Now()
	r.b.adapt(to.Sub(from))
	if r.b.note(err, cmds[0].Err()); err != nil {
		r.fail(err)
		return
	}
	r.settle(cmds, from, to)
}

// client is the Redis to ask.
func (r *round) client() (*redis.Client, error) {
	if r.node != nil {
		return r.node, nil
	}
	return r.b.s.node(r.b.shard)
}

// fail answers all calls with one error.
func (r *round) fail(err error) {
	err = r.b.s.fault(err)
	for _, p := range r.calls {
		p.answer(r.b.s, nil, err)
	}
	r.calls = r.calls[:0]
}

// settle answers the calls whose replies are there, and keeps those that were not executed.
func (r *round) settle(cmds []redis.Cmder, from, to time.Time) {
	s := r.b.s
	alone := r.alone(cmds)
	again := r.calls[:0]
	r.away, r.node, r.brought = false, nil, nil
	learnt := false
	for i, p := range r.calls {
		cmd, _ := cmds[i].(*redis.Cmd)
		reply, err := replyOf(cmd)
		if err == nil {
			if now, ok := reply[0].(int64); ok && !learnt {
				s.clock.learn(now-p.shift, from, to)
				learnt = true
			}
			if alone {
				err = errAlone
			}
			p.answer(s, reply, err)
			continue
		}
		if notRun(err) && !r.last {
			if p.state.Load() == left {
				continue // it has not run, and nobody waits for it
			}
			again = append(again, p)
			r.again(p, err)
			continue
		}
		p.answer(s, nil, s.fault(err))
	}
	r.calls = again
}

// alone says whether too few replicas have what the pipeline wrote.
func (r *round) alone(cmds []redis.Cmder) bool {
	if r.b.replicas == 0 {
		return false
	}
	wait, _ := cmds[len(cmds)-1].(*redis.Cmd)
	n, err := wait.Int()
	return err != nil || n < r.b.replicas
}

// again prepares a call that was not executed to be sent once more. The first of those that lack a script
// brings it along: it is there for the next ones.
func (r *round) again(p *pending, err error) {
	switch codeOf(err) {
	case "NOSCRIPT":
		if !slices.Contains(r.brought, p.script) {
			r.brought = append(r.brought, p.script)
			p.argv[0], p.argv[1] = wordEval, p.script.text
		}
	case "MOVED":
		r.away = true
		if r.node == nil {
			r.node = r.b.s.nodeAt(movedTo(err))
		}
	default:
		r.away = true
	}
}

// movedTo is the address in MOVED slot host:port.
func movedTo(err error) string {
	words := strings.Fields(err.Error())
	if len(words) < 3 {
		return ""
	}
	return words[2]
}

var errShape = errors.New("a script answered something else than a list that begins with Redis's clock")

// replyOf is what a script answered.
func replyOf(cmd *redis.Cmd) ([]any, error) {
	v, err := cmd.Result()
	if err != nil {
		return nil, err
	}
	reply, _ := v.([]any)
	if len(reply) == 0 {
		return nil, errShape
	}
	return reply, nil
}

// note says once in the log that Redis does not answer, and once that it does again.
func (b *batcher) note(err, first error) {
	err = cmp.Or(err, first)
	lost := err != nil && codeOf(err) == "" || errors.Is(err, errSetup)
	if lost == b.down.Load() || !b.down.CompareAndSwap(!lost, lost) {
		return
	}
	if lost {
		b.s.log.Warn("Redis does not answer", "shard", b.shard, "err", reasonOf(err))
		b.s.reload()
	} else {
		b.s.log.Info("Redis answers again", "shard", b.shard)
	}
}
