package asynqqueue_test

import (
	"context"
	"net"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"paynotify/queue"
	"paynotify/queue/asynqqueue"
	"paynotify/queue/queuetest"
	"paynotify/test/redis"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(silence{})
	// go-redis tries a dead server once a second until its pool is closed, and notices that after the sleep.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(
		"github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// silence is for go-redis, which would write every connection that fails to stderr.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// TestConformance runs the suite with one queue: it presumes one order over all lanes, which several queues
// have only roughly. TestSeveral is about those.
func TestConformance(t *testing.T) {
	for name, client := range map[string]func(*testing.T) goredis.UniversalClient{
		"redis-server": realRedis,
		"miniredis": func(t *testing.T) goredis.UniversalClient {
			c, _ := inMemory(t)
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "miniredis" && raced() {
				t.Skip("miniredis runs asynq's scripts too slowly under -race")
			}
			queuetest.Run(t, func(t *testing.T) queue.Queue {
				return open(t, asynqqueue.Options{Client: client(t), Queues: 1})
			})
		})
	}
}

// raced reports whether this is a build with -race.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// open makes a queue that nobody else uses.
func open(t testing.TB, o asynqqueue.Options) *asynqqueue.Queue {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = t.Name()
	}
	q := asynqqueue.New(o)
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return q
}

// serve runs q until the test ends, or until the returned function is called.
func serve(
	t testing.TB, q *asynqqueue.Queue, workers int, run func(ctx context.Context, lane string),
) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := q.Run(ctx, workers, run); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

func wake(t testing.TB, q *asynqqueue.Queue, lane string) {
	t.Helper()
	if err := q.Wake(context.Background(), lane); err != nil {
		t.Fatalf("Wake(%s): %v", lane, err)
	}
}

// patience bounds every wait for something that a sound queue does at once.
const patience = 30 * time.Second

func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// await looks again and again until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// realRedis is a client of the redis-server that all tests of the package share.
func realRedis(t *testing.T) goredis.UniversalClient {
	t.Helper()
	return client(t, redis.Shared(t).Addr)
}

func client(t testing.TB, addr string) goredis.UniversalClient {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{
		Addr: addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true,
		DialerRetries: 1, PipelinePoolSize: -1,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// inMemory is a client of a Redis in this process, over pipes: it works in a bubble of testing/synctest too.
func inMemory(t *testing.T) (goredis.UniversalClient, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true)
	c := goredis.NewClient(&goredis.Options{
		Addr:     "127.0.0.1:6379", // an address: a name would be looked up
		Protocol: 2, DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true,
		DialerRetries: 1, PipelinePoolSize: -1,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return server.Dial() },
	})
	t.Cleanup(server.Close)
	t.Cleanup(func() { _ = c.Close() })
	return c, server
}
