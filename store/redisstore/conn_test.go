package redisstore

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/test/redis"
)

// lua makes a script of its own for a test.
func lua(text string) *script {
	text = "local t = redis.call('TIME')\nlocal now = t[1] * 1000000 + t[2] + ARGV[1]\n" + text
	sum := sha1.Sum([]byte(text))
	return &script{name: "test", text: text, sha: hex.EncodeToString(sum[:])}
}

var (
	// count adds to a counter of its shard: it tells how often it ran.
	count = lua(`return {now, redis.call('INCRBY', KEYS[1] .. 'ran', ARGV[2])}`)
	echo  = lua(`return {now, KEYS[1], ARGV[2]}`)
	// put writes 600 bytes, as an accept does.
	put = lua(`redis.call('SET', KEYS[1] .. 'x:' .. ARGV[2], ARGV[3]) return {now, 1}`)
)

// connect opens a store on a server of its own or a shared one, and ends it with the test.
func connect(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	select {
	case <-s.Ready():
	case <-time.After(30 * time.Second):
		t.Fatalf("not ready: %v", s.notReady())
	}
	return s
}

// within ends a test that waits for ever.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never so: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestRun(t *testing.T) {
	server := redis.Shared(t)
	s := connect(t, Options{URL: server.URL(), Prefix: "run:", Shards: 3})
	ctx := within(t, 10*time.Second)
	if s.shards() != 3 || s.prefix(2) != "run:{s2}:" {
		t.Errorf("%d shards, prefix %q", s.shards(), s.prefix(2))
	}
	v, err := s.run(ctx, call{shard: 1, script: echo, args: []any{"a"}})
	if err != nil || len(v) != 3 || v[1] != "run:{s1}:" || v[2] != "a" {
		t.Errorf("answered %v, %v", v, err)
	}
	replies, errs := s.runAll(ctx, echo, func(i int) []any { return []any{fmt.Sprint(i)} })
	for i := range 3 {
		if errs[i] != nil || replies[i][1] != s.prefix(i) || replies[i][2] != fmt.Sprint(i) {
			t.Errorf("shard %d answered %v, %v", i, replies[i], errs[i])
		}
	}
	_, err = s.run(ctx, call{script: lua(`return redis.call('HGET', 'x')`)})
	if err == nil || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("nonsense: %v; want an error of its own", err)
	}
	_, err = s.run(ctx, call{script: lua(`return redis.error_reply('PNEMPTY gone')`)})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("PNEMPTY: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err = s.run(gone, call{script: count, args: []any{1}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("with an ended context: %v", err)
	}
}

// Scripts vanish from Redis by SCRIPT FLUSH, by a restart and by a failover. Every call must still run once.
func TestScriptsForgotten(t *testing.T) {
	server := redis.Start(t)
	s := connect(t, Options{URL: server.URL(), Shards: 1})
	ctx := within(t, 30*time.Second)
	const callers, calls = 8, 200
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				if _, err := s.run(ctx, call{script: count, args: []any{1}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		server.MustDo("SCRIPT", "FLUSH")
		runtime.Gosched()
	}
	wg.Wait()
	server.Stop()
	server.Restart()
	v, err := s.run(ctx, call{script: count, args: []any{0}})
	if err != nil || v[1] != int64(callers*calls) {
		t.Errorf("after a restart %v, %v; want %d runs", v, err, callers*calls)
	}
}

// BenchmarkRun measures the batcher: calls a second and CPU, of this process and of Redis, for each.
//
//	go test ./store/redisstore -run '^$' -bench BenchmarkRun -benchtime 2s
func BenchmarkRun(b *testing.B) {
	server := redis.Start(b, "appendonly no")
	for _, latency := range []time.Duration{0, time.Millisecond} {
		url := server.URL()
		if latency > 0 {
			proxy := redis.NewProxy(b, server.Addr)
			proxy.Latency(latency)
			url = proxy.URL()
		}
		for _, callers := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("latency=%s/callers=%d", latency, callers), func(b *testing.B) {
				s := connect(b, Options{URL: url, AllowVolatile: true})
				benchmarkRun(b, s, server, callers)
			})
		}
	}
}

func benchmarkRun(b *testing.B, s *Store, server *redis.Server, callers int) {
	body := strings.Repeat("x", 600)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	before, beforeRedis := cpu(b), cpuOf(b, server)
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				c := call{shard: int(n) % s.shards(), script: put, args: []any{n % 1000, body}}
				if _, err := s.run(context.Background(), c); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "µs-cpu/call")
	b.ReportMetric(float64((cpuOf(b, server)-beforeRedis).Microseconds())/float64(b.N), "µs-redis/call")
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuOf is what Redis has used.
func cpuOf(b *testing.B, server *redis.Server) (sum time.Duration) {
	info, _ := server.MustDo("INFO", "cpu").(string)
	for line := range strings.SplitSeq(info, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			d, err := time.ParseDuration(value + "s")
			if err != nil {
				b.Fatal(err)
			}
			sum += d
		}
	}
	return sum
}

func shared(t testing.TB) string { return redis.Shared(t).URL() }
