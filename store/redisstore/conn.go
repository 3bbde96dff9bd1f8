package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"paynotify/store"
)

// call is one script to run on one shard.
type call struct {
	shard  int
	script *script
	args   []any // ARGV[2:]; ARGV[1] is the shift of the clock
	// wait asks for Options.WaitReplicas replicas to have it too; fewer are store.ErrUnavailable.
	wait bool
	// grows marks a call that makes the store grow: it is refused with store.ErrFull while Redis is nearly at
	// its maxmemory, so that the rest goes on.
	grows bool
	// patience is how long to wait at most, whatever the context says; 0 = 5 s if the context has no end.
	patience time.Duration
	// late takes a reply that the caller did not get: it came after its context was done, or too few replicas
	// have it. nil = nobody cares. It is called on a goroutine of its own.
	late func(reply []any)
}

// What becomes of a pending call. Whoever moves it on from queued or sent decides what follows.
const (
	queued   int32 = iota // nobody has seen it
	sent                  // with Redis, or on the way
	answered              // its caller is told
	left                  // its caller is gone
)

// pending is a call under way. It is used again once its caller has the answer.
type pending struct {
	call

	state atomic.Int32
	argv  []any // of EVALSHA
	bytes int
	shift int64 // microseconds
	reply []any
	err   error
	done  chan struct{}
	timer *time.Timer
}

var (
	wordEvalSha any = "evalsha"
	wordEval    any = "eval"
	oneKey      any = 1
)

// run executes a script on a shard and returns its reply, whose first element, Redis's clock in microseconds,
// has been learnt already. It leaves as soon as the context is done: then, and whenever the error is
// store.ErrUnavailable, the script may have run or may yet. It never runs twice.
//
// Other errors are store.ErrFull and what a script should never answer.
func (s *Store) run(ctx context.Context, c call) ([]any, error) {
	p, err := s.begin(ctx, c)
	if err != nil {
		return nil, err
	}
	return s.end(ctx, p)
}

// runAll runs one script on every shard at once; replies and errors are by shard.
func (s *Store) runAll(ctx context.Context, sc *script, args func(shard int) []any) ([][]any, []error) {
	n := s.shards()
	if n == 0 {
		return nil, []error{s.notReady()}
	}
	replies, errs, calls := make([][]any, n), make([]error, n), make([]*pending, n)
	for i := range n {
		c := call{shard: i, script: sc}
		if args != nil {
			c.args = args(i)
		}
		calls[i], errs[i] = s.begin(ctx, c)
	}
	for i, p := range calls {
		if p != nil {
			replies[i], errs[i] = s.end(ctx, p)
		}
	}
	return replies, errs
}

// begin puts a call into the queue of its shard.
func (s *Store) begin(ctx context.Context, c call) (*pending, error) {
	l := s.layout.Load()
	if l == nil {
		return nil, s.notReady()
	}
	if ctx.Err() != nil {
		return nil, gaveUp(ctx)
	}
	if c.grows && s.full(c.shard) {
		return nil, errNearlyFull
	}
	p, _ := s.pendings.Get().(*pending)
	if p == nil {
		p = &pending{done: make(chan struct{}, 1)}
	}
	p.call = c
	p.shift = s.opts.Shift().Microseconds()
	p.argv = append(make([]any, 0, 5+len(c.args)),
		wordEvalSha, c.script.sha, oneKey, s.prefixes[c.shard], p.shift)
	p.argv = append(p.argv, c.args...)
	p.bytes = size(c.args)
	p.state.Store(queued)
	if err := l.batcher(&c, s.opts.WaitReplicas).put(p); err != nil {
		s.reuse(p)
		return nil, err
	}
	return p, nil
}

// end waits for the answer to a call.
func (s *Store) end(ctx context.Context, p *pending) ([]any, error) {
	patience := p.patience
	if patience == 0 {
		if _, ends := ctx.Deadline(); !ends {
			patience = patienceDefault
		}
	}
	var late <-chan time.Time
	if patience > 0 {
		late = p.after(patience)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if p.leave() {
			return nil, gaveUp(ctx)
		}
		<-p.done
	case <-late:
		if p.leave() {
			return nil, errNoReply
		}
		<-p.done
	}
	if late != nil {
		p.timer.Stop()
	}
	reply, err := p.reply, p.err
	s.reuse(p)
	return reply, err
}

// after starts the call's own timer, which is used again with it.
func (p *pending) after(d time.Duration) <-chan time.Time {
	if p.timer == nil {
		p.timer = time.NewTimer(d)
	} else {
		p.timer.Reset(d)
	}
	return p.timer.C
}

// leave takes the caller away, unless the answer is there.
func (p *pending) leave() bool {
	return p.state.CompareAndSwap(queued, left) || p.state.CompareAndSwap(sent, left)
}

// answer tells the caller, if it is still there; nothing of the call may be touched afterwards. A reply that
// nobody got goes to late.
func (p *pending) answer(s *Store, reply []any, err error) {
	late, lost := p.late, reply
	if err == nil {
		lost = nil
	}
	p.reply, p.err = reply, err
	if p.state.CompareAndSwap(sent, answered) {
		p.done <- struct{}{}
	} else {
		lost = reply
	}
	if lost != nil && late != nil {
		s.done.Go(func() { late(lost) })
	}
}

func (s *Store) reuse(p *pending) {
	p.call, p.argv, p.reply, p.err = call{}, nil, nil, nil
	s.pendings.Put(p)
}

// size is about how many bytes arguments take on the wire.
func size(args []any) int {
	n := 0
	for _, a := range args {
		n += 16
		switch a := a.(type) {
		case string:
			n += len(a)
		case []byte:
			n += len(a)
		}
	}
	return n
}

// layout is what is known once the store is initialised.
type layout struct {
	id       string // of the store: random, chosen when it was made
	batchers []*batcher
	waiters  []*batcher // for calls that wait for replicas; empty without
}

// batcher is the one whose pipelines a call travels in.
func (l *layout) batcher(c *call, replicas int) *batcher {
	if c.wait && replicas > 0 {
		return l.waiters[c.shard]
	}
	return l.batchers[c.shard]
}

// shards is how many shards the store has; 0 until it is initialised.
func (s *Store) shards() int {
	if l := s.layout.Load(); l != nil {
		return len(l.batchers)
	}
	return 0
}

// prefix is what every key of a shard begins with, such as "pn:{s7}:".
func (s *Store) prefix(shard int) string {
	text, _ := s.prefixes[shard].(string) // made so by prefixesOf
	return text
}

// Domain is the failure domain of a merchant: when the store fails for one, it fails for all of the same
// domain, and need not for others. It is 0 unless the store is a Cluster, and the shard there.
func (s *Store) Domain(mchID string) int {
	if n := s.shards(); s.target.form == cluster && n > 0 {
		return shardOf(mchID, n)
	}
	return 0
}

// notReady says why nothing can be asked yet.
func (s *Store) notReady() error {
	select {
	case <-s.quit:
		return errClosed
	default:
	}
	if err := s.why.Load(); err != nil {
		return *err
	}
	return errStarts
}

// prefixesOf makes the prefixes of all shards that there can be. They are kept as interface values, ready to
// be arguments.
func prefixesOf(prefix string) []any {
	all := make([]any, shardsMax)
	for i := range all {
		all[i] = fmt.Sprintf("%s{s%s}:", prefix, strconv.Itoa(i))
	}
	return all
}

var errNearlyFull = fmt.Errorf("%w: Redis is nearly at its maxmemory", store.ErrFull)
