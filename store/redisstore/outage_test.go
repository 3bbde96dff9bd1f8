package redisstore

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/store"
	"paynotify/test/redis"
)

// calmed waits until there are no more goroutines than there were.
func calmed(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before,
				buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// callers keep calling until they are stopped: they count what was answered well.
type callers struct {
	wg   sync.WaitGroup
	stop context.CancelFunc
	ok   atomic.Int64
	lost atomic.Int64
}

func startCallers(t *testing.T, s *Store, n int) *callers {
	ctx, cancel := context.WithCancel(t.Context())
	c := &callers{stop: cancel}
	for range n {
		c.wg.Go(func() {
			for ctx.Err() == nil {
				_, err := s.run(ctx, call{script: count, args: []any{1}, patience: time.Second})
				switch {
				case err == nil:
					c.ok.Add(1)
				case errors.Is(err, store.ErrUnavailable):
					c.lost.Add(1)
					time.Sleep(time.Millisecond)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	t.Cleanup(c.end)
	return c
}

func (c *callers) end() {
	c.stop()
	c.wg.Wait()
}

// goOn waits until callers get answers again.
func (c *callers) goOn(t *testing.T, when string) {
	t.Helper()
	was := c.ok.Load()
	eventually(t, "answers "+when, func() bool { return c.ok.Load() > was+100 })
}

// fail waits until callers get errors.
func (c *callers) fail(t *testing.T, when string) {
	t.Helper()
	was := c.lost.Load()
	eventually(t, "errors "+when, func() bool { return c.lost.Load() > was+100 })
}

// A Redis that dies, hangs, is cut off or restarts costs errors while it lasts, no goroutine, and nothing
// afterwards; what was answered well is there, once.
func TestOutages(t *testing.T) {
	server := redis.Start(t, "appendfsync always") // with everysec a kill may cost up to two seconds
	before := runtime.NumGoroutine()
	s := connect(t, Options{URL: server.URL(), Shards: 2})
	c := startCallers(t, s, 50)
	c.goOn(t, "at first")
	steady := runtime.NumGoroutine()
	limit := func(when string) {
		t.Helper()
		if n := runtime.NumGoroutine(); n > steady+10 {
			t.Errorf("%s: %d goroutines, %d in steady state", when, n, steady)
		}
	}
	for range 3 {
		server.Kill()
		c.fail(t, "without Redis")
		limit("without Redis")
		server.Restart()
		c.goOn(t, "after the restart")
	}
	server.Freeze()
	c.fail(t, "while Redis hangs")
	limit("while Redis hangs")
	server.Thaw()
	c.goOn(t, "when Redis goes on")
	c.end()
	v, err := s.run(within(t, 10*time.Second), call{script: count, args: []any{0}})
	if err != nil {
		t.Fatal(err)
	}
	if ran, ok, lost := v[1].(int64), c.ok.Load(), c.lost.Load(); ran < ok || ran > ok+lost {
		t.Errorf("ran %d times; %d answered well, %d unknown", ran, ok, lost)
	}
	s.Close()
	calmed(t, before)
}

// Callers leave in time whatever Redis does; what had not been sent is not sent, and what was answered too
// late goes to late.
func TestPatience(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	s := connect(t, Options{URL: server.URL(), Shards: 1})
	ctx := within(t, 30*time.Second)
	late := make(chan []any, 1)
	if _, err := s.run(ctx, call{script: count, args: []any{0}}); err != nil { // a connection, and the script
		t.Fatal(err)
	}
	server.Freeze()
	begun := time.Now()
	sent := call{
		script: count, args: []any{1}, patience: 300 * time.Millisecond,
		late: func(reply []any) { late <- reply },
	}
	if _, err := s.run(ctx, sent); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("sent: %v", err)
	}
	var wg sync.WaitGroup
	for range sendersMax - 1 { // the other senders too have something under way
		wg.Go(func() { s.run(ctx, call{script: echo, args: []any{""}, patience: 300 * time.Millisecond}) })
	}
	wg.Wait()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	dropped := call{script: count, args: []any{100}, late: func(reply []any) { late <- reply }}
	if _, err := s.run(short, dropped); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("queued: %v", err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("callers left after %v", took)
	}
	server.Thaw()
	select {
	case reply := <-late:
		if reply[1] != int64(1) {
			t.Errorf("late: %v", reply)
		}
	case <-ctx.Done():
		t.Fatal("the late reply did not arrive")
	}
	v, err := s.run(ctx, call{script: count, args: []any{0}})
	if err != nil || v[1] != int64(1) {
		t.Errorf("ran %v, %v; what was never sent has run too", v, err)
	}
}

// The queue is bounded: when it is full callers are refused at once, and those who left make room.
func TestQueueIsBounded(t *testing.T) {
	server := redis.Start(t)
	s := connect(t, Options{URL: server.URL(), Shards: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server.Freeze()
	var waiting []*pending
	for {
		p, err := s.begin(ctx, call{script: count, args: []any{1}})
		if errors.Is(err, errCrowded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if waiting = append(waiting, p); len(waiting) > queueCalls+sendersMax*batchCalls {
			t.Fatal("nobody is refused")
		}
	}
	for _, p := range waiting {
		if !p.leave() {
			t.Error("did not leave")
		}
	}
	if _, err := s.begin(ctx, call{script: count, args: []any{1}}); err != nil {
		t.Errorf("when all have left: %v", err)
	}
	server.Thaw()
	eventually(t, "what had not been sent is dropped", func() bool {
		v, err := s.run(within(t, time.Second), call{script: count, args: []any{0}})
		return err == nil && v[1].(int64) <= sendersMax*batchCalls+1
	})
}

// Close answers everybody, also when Redis does not answer, and leaves nothing behind.
func TestClose(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		server := redis.Start(t)
		before := runtime.NumGoroutine()
		s := connect(t, Options{URL: server.URL(), Shards: 1})
		c := startCallers(t, s, 20)
		c.goOn(t, "at first")
		if frozen {
			server.Freeze()
			c.fail(t, "while Redis hangs")
		}
		begun := time.Now()
		s.Close()
		t.Logf("Close took %v", time.Since(begun))
		if took := time.Since(begun); took > 4*time.Second {
			t.Errorf("Close took %v", took)
		}
		_, err := s.run(t.Context(), call{script: count, args: []any{1}})
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("after Close: %v", err)
		}
		if h := s.Health(t.Context()); h.Err == nil {
			t.Error("a closed store is healthy")
		}
		c.end()
		s.Close()
		if frozen {
			server.Thaw()
		}
		calmed(t, before)
	}
}

// What waits for replicas is unknown when too few have it, and whoever it was given to hears of it.
func TestWaitForReplicas(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	replica := redis.StartReplica(t, server)
	s := connect(t, Options{URL: server.URL(), Shards: 1, WaitReplicas: 1})
	ctx := within(t, 30*time.Second)
	late := make(chan []any, 1)
	c := call{script: count, args: []any{1}, wait: true, late: func(reply []any) { late <- reply }}
	if _, err := s.run(ctx, c); err != nil {
		t.Fatalf("with a replica: %v", err)
	}
	replica.Freeze()
	begun := time.Now()
	if _, err := s.run(ctx, c); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without a replica: %v", err)
	}
	if took := time.Since(begun); took > 1800*time.Millisecond {
		t.Errorf("it took %v to say so", took)
	}
	select {
	case reply := <-late:
		if reply[1] != int64(2) {
			t.Errorf("late: %v", reply)
		}
	case <-ctx.Done():
		t.Fatal("nobody heard of what the replica lacks")
	}
	if _, err := s.run(ctx, call{script: count, args: []any{1}}); err != nil {
		t.Errorf("what does not wait: %v", err)
	}
	replica.Thaw()
	eventually(t, "well when the replica is back", func() bool {
		_, err := s.run(ctx, c)
		return err == nil
	})
}

// A line of 20 KB/s is slow and nothing worse: whoever has patience gets an answer.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	proxy := redis.NewProxy(t, server.Addr)
	s := connect(t, Options{URL: proxy.URL(), Shards: 1})
	proxy.Latency(500 * time.Millisecond)
	proxy.Bandwidth(20)
	ctx := within(t, 30*time.Second)
	body := make([]byte, 600)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := s.run(ctx, call{script: put, args: []any{i, body}}); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	_, err := s.run(ctx, call{script: echo, args: []any{""}, patience: 100 * time.Millisecond})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("with less patience than the line: %v", err)
	}
}

// Pipelines get smaller on a line that would not carry the next big one in time, and grow again.
func TestPipelinesFitTheLine(t *testing.T) {
	b := &batcher{wake: make(chan struct{}, 1)}
	b.room.Store(batchBytes)
	for _, c := range []struct {
		took time.Duration
		want int64
	}{
		{time.Millisecond, batchBytes},
		{slowReply + 1, batchBytes / 2},
		{slowReply, batchBytes / 2},
		{replyTimeout, batchBytes / 4},
		{replyTimeout, batchBytes / 8},
		{replyTimeout, batchLeast},
		{fastReply, batchLeast},
		{fastReply - 1, 2 * batchLeast},
	} {
		if b.adapt(c.took); b.room.Load() != c.want {
			t.Errorf("after %v: %d bytes, want %d", c.took, b.room.Load(), c.want)
		}
	}
	for range 100 {
		p := &pending{bytes: 1000, done: make(chan struct{}, 1)}
		if err := b.put(p); err != nil {
			t.Fatal(err)
		}
	}
	big := &pending{bytes: 10 * batchBytes}
	if err := b.put(big); err != nil {
		t.Fatal(err)
	}
	sizes := []int{}
	for batch := b.take(nil); len(batch) > 0; batch = b.take(nil) {
		sizes = append(sizes, len(batch))
	}
	if d := cmp.Diff([]int{32, 32, 32, 4, 1}, sizes); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
