package asynqqueue_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"paynotify/queue/asynqqueue"
	"paynotify/test/redis"
)

func BenchmarkWake(b *testing.B) {
	q := open(b, asynqqueue.Options{Client: client(b, redis.Start(b).Addr), Prefix: "bench"})
	for b.Loop() {
		wake(b, q, "m1")
	}
}

// BenchmarkWakeTogether is a waker that names 256 lanes at once.
func BenchmarkWakeTogether(b *testing.B) {
	q := open(b, asynqqueue.Options{Client: client(b, redis.Start(b).Addr), Prefix: "bench"})
	var n atomic.Int64
	b.SetParallelism(128)
	b.RunParallel(func(pb *testing.PB) {
		lane := "m" + strconv.FormatInt(n.Add(1), 10)
		for pb.Next() {
			if err := q.Wake(context.Background(), lane); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkTurns wakes lanes and runs them, in one process.
func BenchmarkTurns(b *testing.B) {
	q := open(b, asynqqueue.Options{Client: client(b, redis.Start(b).Addr), Prefix: "bench"})
	ran := make(chan struct{}, 1000)
	stop := serve(b, q, 4, func(context.Context, string) { ran <- struct{}{} })
	used := cpu(b)
	b.ResetTimer()
	for i := range 64 {
		go func() {
			for n := i; n < b.N; n += 64 {
				if err := q.Wake(context.Background(), "m"+strconv.Itoa(n)); err != nil {
					b.Error(err)
				}
			}
		}()
	}
	for range b.N {
		<-ran
	}
	b.StopTimer()
	b.ReportMetric(1e6*(cpu(b)-used)/float64(b.N), "cpu-us/op")
	stop()
}

// BenchmarkLatency is the time from a wake to its run when there is nothing else to do, for a wake of this
// process and for one of another.
func BenchmarkLatency(b *testing.B) {
	for _, from := range []string{"own", "other"} {
		b.Run(from, func(b *testing.B) {
			c := client(b, redis.Start(b).Addr)
			q := open(b, asynqqueue.Options{Client: c, Prefix: "bench"})
			waker := q
			if from == "other" {
				waker = open(b, asynqqueue.Options{Client: c, Prefix: "bench"})
			}
			ran := make(chan time.Time)
			serve(b, q, 4, func(context.Context, string) { ran <- time.Now() })
			var took []time.Duration
			n := 0
			for b.Loop() {
				n++
				began := time.Now()
				wake(b, waker, fmt.Sprintf("m%d", n))
				took = append(took, (<-ran).Sub(began))
				time.Sleep(3 * time.Millisecond)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}

// BenchmarkIdle is what a process with nothing to do costs, in percent of a core. Run it with -benchtime 1x.
func BenchmarkIdle(b *testing.B) {
	for _, poll := range []time.Duration{asynqqueue.PollDefault, 100 * time.Millisecond} {
		b.Run(poll.String(), func(b *testing.B) {
			server := redis.Start(b)
			q := open(b, asynqqueue.Options{Client: client(b, server.Addr), Prefix: "bench", Poll: poll})
			serve(b, q, 4, func(context.Context, string) {})
			time.Sleep(500 * time.Millisecond)
			ours, theirs, began := cpu(b), redisCPU(server), time.Now()
			time.Sleep(4 * time.Second)
			percent := 100 / time.Since(began).Seconds()
			b.ReportMetric((cpu(b)-ours)*percent, "process-%")
			b.ReportMetric((redisCPU(server)-theirs)*percent, "redis-%")
		})
	}
}

// cpu is how many seconds of CPU this process has used.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func redisCPU(server *redis.Server) float64 {
	text, _ := server.MustDo("INFO", "cpu").(string)
	var sum float64
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			seconds, _ := strconv.ParseFloat(value, 64)
			sum += seconds
		}
	}
	return sum
}
