package dispatcher_test

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"paynotify/queue"
	"paynotify/queue/asynqqueue"
	"paynotify/store"
	"paynotify/store/redisstore"
)

// onRedis puts a world on the pair of many processes: store and queue in a Redis that lives in the bubble,
// behind pipes. An address of digits keeps anybody from looking up a name.
func onRedis(w *world) {
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true)
	w.closers = append(w.closers, server.Close)
	dial := func(context.Context, string, string) (net.Conn, error) {
		c, err := server.Dial()
		if err != nil {
			return nil, err
		}
		return newBuffered(c), nil
	}
	w.pair = pair{func(w *world) (store.Store, queue.Queue) {
		s, err := redisstore.Open(context.Background(), redisstore.Options{
			URL: "redis://127.0.0.1:6379", Shards: 2, Dial: dial, AllowVolatile: true,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		select {
		case <-s.Ready():
		case <-time.After(time.Minute):
			w.t.Fatal(s.Health(context.Background()).Err)
		}
		client := goredis.NewClient(&goredis.Options{
			Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, MaxRetries: -1,
			ContextTimeoutEnabled: true, DialerRetries: 1, PipelinePoolSize: -1, Dialer: dial,
		})
		q := asynqqueue.New(asynqqueue.Options{Client: client, Queues: 1, Poll: time.Hour})
		w.closers = append(w.closers, func() { _ = client.Close() }, func() { _ = q.Close() })
		return s, q
	}}
}

// buffered is a pipe with a buffer: whoever writes a pipeline does not read its first reply before the last
// command is out, and a plain pipe would have both ends wait for each other.
type buffered struct {
	net.Conn

	mu    sync.Mutex
	more  *sync.Cond
	bytes []byte
	shut  bool
}

func newBuffered(c net.Conn) *buffered {
	b := &buffered{Conn: c}
	b.more = sync.NewCond(&b.mu)
	go b.drain()
	return b
}

// Write never waits.
func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return 0, net.ErrClosed
	}
	b.bytes = append(b.bytes, p...)
	b.more.Signal()
	return len(p), nil
}

func (b *buffered) drain() {
	for {
		b.mu.Lock()
		for len(b.bytes) == 0 && !b.shut {
			b.more.Wait()
		}
		p, shut := b.bytes, b.shut
		b.bytes = nil
		b.mu.Unlock()
		if shut {
			return
		}
		if _, err := b.Conn.Write(p); err != nil {
			return
		}
	}
}

// Close ends both directions.
func (b *buffered) Close() error {
	b.mu.Lock()
	b.shut = true
	b.more.Signal()
	b.mu.Unlock()
	return b.Conn.Close()
}
