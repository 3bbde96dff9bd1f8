package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

const (
	openWait    = time.Second            // how long Open waits for Redis
	attemptMax  = 30 * time.Second       // of one attempt to initialise: ten commands over a slow line
	attemptSoon = 50 * time.Millisecond  // between attempts at first
	attemptLate = 500 * time.Millisecond // and later
	closeWait   = time.Second            // how long Close lets pipelines under way end by themselves
	sendersMax  = 2                      // pipelines under way to one Redis; BenchmarkRun says why
	waitersMax  = 4                      // the same of those that wait for replicas, a round trip longer
)

// Store is the store.Store of many processes: everything lies in Redis. Safe for concurrent use.
type Store struct {
	opts     Options
	log      *slog.Logger
	target   *target
	rdb      redis.UniversalClient // for plain reads
	prefixes []any                 // of the shards, as arguments
	clock    *clock
	pendings sync.Pool // *pending; of this store alone, so that a test's virtual time stays its own

	layout atomic.Pointer[layout] // nil until initialised
	ready  chan struct{}
	why    atomic.Pointer[error] // why it is not initialised yet

	emptied atomic.Bool // a script found its shard without marker
	health  prober

	cache     merchantCache
	keys      keyCache
	audit     auditor
	live      liveClaims
	lateWakes lateWakes
	wakeless  atomic.Bool   // some shards do not say what is due; for the log
	lastMicro atomic.Int64  // the last notify_id's instant
	wakeTurn  atomic.Uint64 // which shard Wakes asks first
	pruned    walk          // where Prune stopped
	shrunk    walk          // where Shrink stopped

	presence // of this process among those that use the store; see nodes.go

	ctx     context.Context // of everything in the background
	cancel  context.CancelFunc
	quit    chan struct{}
	once    sync.Once
	senders sync.WaitGroup
	done    sync.WaitGroup
}

// Open opens the store in a Redis. What is wrong with the options is an error; a Redis that is down, loading
// or out of reach is none: Open waits for it one second at most, and the store goes on trying by itself.
// Until it succeeds everything is store.ErrUnavailable.
//
// What is wrong with the Redis itself is returned if it answers in time, and goes to Options.OnFatal later:
// *VolatileError, *OldRedisError, *NewerFormatError, *ForeignError, *store.MovedError, *store.MigratingError,
// *InUseError.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	t, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, log: o.Log, target: t, rdb: t.client(o.Dial), prefixes: prefixesOf(o.Prefix),
		clock: newClock(), ready: make(chan struct{}), quit: make(chan struct{}),
		presence: presence{self: newNodeName()}, audit: newAuditor(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	fatal := make(chan error, 1)
	s.done.Go(func() { s.start(fatal) })

	timer := time.NewTimer(openWait)
	defer timer.Stop()
	select {
	case <-s.ready:
	case err := <-fatal:
		_ = s.Close() // the reason why it is closed is the one to tell
		return nil, err
	case <-timer.C:
		s.handOver(fatal)
	case <-ctx.Done():
		s.handOver(fatal)
	}
	return s, nil
}

// handOver lets OnFatal have what Open has no time to wait for.
func (s *Store) handOver(fatal <-chan error) {
	s.log.Warn("Redis is not ready: everything starts when it is", "redis", Redacted(s.opts.URL),
		"reason", s.notReady())
	s.done.Go(func() {
		select {
		case err := <-fatal:
			s.log.Error("this Redis cannot be the store", "err", err)
			go s.opts.OnFatal(err) // it may well close the store, which waits for this goroutine
		case <-s.ready:
		case <-s.quit:
		}
	})
}

// Ready is closed once the store is initialised.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// start initialises the store, as often as it takes.
func (s *Store) start(fatal chan<- error) {
	wait := attemptSoon
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.quit:
			return
		}
		err := s.attempt()
		switch {
		case err == nil:
			return
		case isFatal(err):
			s.why.Store(&err)
			fatal <- err
			return
		}
		err = s.fault(err)
		if !errors.Is(err, store.ErrUnavailable) {
			err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		s.why.Store(&err)
		timer.Reset(wait)
		wait = min(2*wait, attemptLate)
	}
}

// attempt tries once to initialise the store.
func (s *Store) attempt() error {
	ctx, cancel := context.WithTimeout(s.ctx, attemptMax)
	defer cancel()
	state, err := s.inspect(ctx)
	if err != nil {
		return err
	}
	if err := state.fatal(s.opts.AllowVolatile); err != nil {
		return err
	}
	m, err := s.initialise(ctx)
	if err != nil {
		return err
	}
	if err := s.present(ctx); err != nil {
		return err
	}
	s.senders.Go(func() { s.stayPresent(s.opts.OnFatal) })
	l := &layout{id: m.id}
	for i := range m.shards {
		if s.target.form != cluster && i > 0 { // one Redis: one queue
			l.batchers = append(l.batchers, l.batchers[0])
			continue
		}
		l.batchers = append(l.batchers, newBatcher(s, i, 0, sendersMax))
	}
	for i := range m.shards {
		switch {
		case s.opts.WaitReplicas <= 0:
		case s.target.form != cluster && i > 0:
			l.waiters = append(l.waiters, l.waiters[0])
		default:
			l.waiters = append(l.waiters, newBatcher(s, i, s.opts.WaitReplicas, waitersMax))
		}
	}
	for _, w := range state.warnings() {
		s.log.Warn(w)
	}
	s.layout.Store(l)
	close(s.ready)
	return nil
}

// Close ends the store: what waits is refused, what is under way is given a second to end.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.quit)
		s.health.close()
		ended := make(chan struct{})
		go func() {
			s.senders.Wait()
			close(ended)
		}()
		timer := time.NewTimer(closeWait)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
		}
		s.cancel()
		err = s.rdb.Close() // ends what still waits for a reply
		<-ended
		s.done.Wait()
	})
	return err
}

// node is the Redis that holds a shard.
func (s *Store) node(shard int) (*redis.Client, error) {
	switch c := s.rdb.(type) {
	case *redis.ClusterClient:
		ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
		defer cancel()
		return c.MasterForKey(ctx, s.prefix(shard))
	case *redis.Client:
		return c, nil
	default:
		return nil, errors.New("no client")
	}
}

// nodeAt is the master of a Cluster that has this address, after a look at how the Cluster is now; nil when
// there is none.
func (s *Store) nodeAt(addr string) (found *redis.Client) {
	c, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	defer cancel()
	var mu sync.Mutex
	_ = c.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error { // then there is none
		if node.Options().Addr == addr {
			mu.Lock()
			defer mu.Unlock()
			found = node
		}
		return nil
	})
	return found
}

// reload has a Cluster's client look where the shards are now.
func (s *Store) reload() {
	if c, ok := s.rdb.(*redis.ClusterClient); ok {
		c.ReloadState(s.ctx)
	}
}
