// Package queuetest is the conformance suite of queue.Queue: one case per promise of its doc comment.
//
// Start reading at Run.
package queuetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/queue"
)

// patience bounds every wait of the suite; a queue that keeps its promises needs a small part of it.
const patience = 30 * time.Second

// Run checks every promise. open returns a fresh, empty queue; the suite runs it and ends the run.
func Run(t *testing.T, open func(t *testing.T) queue.Queue) {
	cases := []struct {
		promise string
		check   func(t *testing.T, q queue.Queue)
	}{
		{"a woken lane is run", wokenIsRun},
		{"a lane woken before Run is run", wokenBeforeRun},
		{"wakes of a waiting lane fold into one run", wakesFold},
		{"a wake during a run leads to another run", wakeDuringRun},
		{"no lane is run twice at once", exclusive},
		{"no more runs at once than workers", boundedWorkers},
		{"a busy lane does not starve the others", roundRobin},
		{"every one of many lanes is run", manyLanes},
		{"Run returns when its context is done, after its runs", stops},
	}
	for _, c := range cases {
		t.Run(c.promise, func(t *testing.T) { c.check(t, open(t)) })
	}
}

// serve runs q until the test ends.
func serve(t *testing.T, q queue.Queue, workers int, run func(ctx context.Context, lane string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx, workers, run) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	})
}

func wake(t *testing.T, q queue.Queue, lane string) {
	t.Helper()
	if err := q.Wake(context.Background(), lane); err != nil {
		t.Errorf("Wake(%s): %v", lane, err)
	}
}

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func wokenIsRun(t *testing.T, q queue.Queue) {
	ran := make(chan string, 1)
	serve(t, q, 2, func(_ context.Context, lane string) { ran <- lane })
	wake(t, q, "m1")
	if lane := receive(t, ran, "the run"); lane != "m1" {
		t.Errorf("ran %q, want m1", lane)
	}
}

func wokenBeforeRun(t *testing.T, q queue.Queue) {
	wake(t, q, "m1")
	ran := make(chan string, 1)
	serve(t, q, 1, func(_ context.Context, lane string) { ran <- lane })
	receive(t, ran, "the run")
}

func wakesFold(t *testing.T, q queue.Queue) {
	started, release := make(chan string, 8), make(chan struct{})
	serve(t, q, 1, func(_ context.Context, lane string) {
		started <- lane
		if lane == "blocker" {
			<-release
		}
	})
	wake(t, q, "blocker")
	receive(t, started, "the blocker")
	for range 5 {
		wake(t, q, "m1")
	}
	wake(t, q, "last")
	close(release)
	for _, want := range []string{"m1", "last"} {
		if got := receive(t, started, want); got != want {
			t.Fatalf("ran %q, want %q: five wakes of a waiting lane are one run", got, want)
		}
	}
}

func wakeDuringRun(t *testing.T, q queue.Queue) {
	started, release := make(chan struct{}, 8), make(chan struct{}, 8)
	serve(t, q, 2, func(context.Context, string) {
		started <- struct{}{}
		<-release
	})
	wake(t, q, "m1")
	receive(t, started, "the first run")
	wake(t, q, "m1")
	release <- struct{}{}
	receive(t, started, "the run that the second wake asked for")
	release <- struct{}{}
}

func exclusive(t *testing.T, q queue.Queue) {
	const lanes, wakes = 4, 200
	var running [lanes]atomic.Int32
	var twice atomic.Bool
	serve(t, q, 8, func(_ context.Context, lane string) {
		at := &running[lane[1]-'0']
		if at.Add(1) > 1 {
			twice.Store(true)
		}
		at.Add(-1)
	})
	var wakers sync.WaitGroup
	for lane := range lanes {
		wakers.Go(func() {
			for range wakes {
				wake(t, q, fmt.Sprintf("m%d", lane))
			}
		})
	}
	wakers.Wait()
	if twice.Load() {
		t.Error("two runners had one lane at once")
	}
}

func boundedWorkers(t *testing.T, q queue.Queue) {
	const workers = 3
	started, release := make(chan struct{}, 16), make(chan struct{})
	var at, most atomic.Int32
	serve(t, q, workers, func(context.Context, string) {
		most.Store(max(most.Load(), at.Add(1)))
		started <- struct{}{}
		<-release
		at.Add(-1)
	})
	for i := range 8 {
		wake(t, q, fmt.Sprintf("m%d", i))
	}
	for range workers {
		receive(t, started, "a runner")
	}
	close(release)
	for range 8 - workers {
		receive(t, started, "a later run")
	}
	if most.Load() > workers {
		t.Errorf("%d runs at once, want at most %d", most.Load(), workers)
	}
}

// roundRobin has one lane that is woken again in every one of its runs, as a lane with 100,000 due
// notifications is. The others must each get their turn after at most one turn of it.
func roundRobin(t *testing.T, q queue.Queue) {
	ran := make(chan string)
	serve(t, q, 1, func(ctx context.Context, lane string) {
		if lane == "busy" {
			if err := q.Wake(ctx, "busy"); err != nil {
				t.Errorf("Wake: %v", err)
			}
		}
		select {
		case ran <- lane:
		case <-ctx.Done():
		}
	})
	wake(t, q, "busy")
	receive(t, ran, "the busy lane")
	for i := range 5 {
		lane := fmt.Sprintf("m%d", i)
		wake(t, q, lane)
		for turns := 0; ; turns++ {
			if turns > 3 {
				t.Fatalf("%s still waits after %d turns of the busy lane", lane, turns)
			}
			if receive(t, ran, lane) == lane {
				break
			}
		}
	}
}

func manyLanes(t *testing.T, q queue.Queue) {
	const lanes = 5000
	ran := make(chan string, lanes)
	serve(t, q, 4, func(_ context.Context, lane string) { ran <- lane })
	for i := range lanes {
		wake(t, q, fmt.Sprintf("m%d", i))
	}
	seen := make(map[string]bool)
	for len(seen) < lanes {
		seen[receive(t, ran, "one of the lanes")] = true
	}
}

func stops(t *testing.T, q queue.Queue) {
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan struct{}), make(chan error, 1)
	var returned atomic.Bool
	go func() {
		ended <- q.Run(ctx, 2, func(ctx context.Context, _ string) {
			close(started)
			<-ctx.Done()
			returned.Store(true)
		})
	}()
	wake(t, q, "m1")
	receive(t, started, "the run")
	cancel()
	if err := receive(t, ended, "the end of Run"); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	if !returned.Load() {
		t.Error("Run returned before a run of a lane had")
	}
}
