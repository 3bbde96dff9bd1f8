package asynqqueue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"paynotify/queue/asynqqueue"
)

// TestFolds counts: wakes of a lane that are in Redis already are one turn.
func TestFolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := inMemory(t)
		q := open(t, asynqqueue.Options{Client: client, Poll: longPoll})
		for range 10 {
			wake(t, q, "m1")
		}
		if waiting, active := sizes(t, q); waiting != 10 || active != 0 {
			t.Errorf("waiting %d, active %d, want 10 and 0", waiting, active)
		}
		serve(t, q, 4, func(context.Context, string) {})
		time.Sleep(time.Second)
		if s := q.Stats(); s.Enqueued != 10 || s.Runs+s.Folded != 10 || s.Runs > 2 {
			t.Errorf("%+v: want 10 enqueued, and one turn for them; a second one if some came during the first", s)
		}
		if waiting, active := sizes(t, q); waiting != 0 || active != 0 {
			t.Errorf("waiting %d, active %d, want none", waiting, active)
		}
	})
}

// TestFoldsOnlyItsOwn has a wake of another process, which may be news, behind a turn here.
func TestFoldsOnlyItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := inMemory(t)
		ours := open(t, asynqqueue.Options{Client: client, Poll: time.Second})
		other := open(t, asynqqueue.Options{Client: client})
		serve(t, ours, 1, func(context.Context, string) {})
		wake(t, ours, "m1")
		synctest.Wait()
		wake(t, other, "m1")
		time.Sleep(time.Minute)
		if s := ours.Stats(); s.Runs != 2 {
			t.Errorf("%+v: want 2 turns", s)
		}
	})
}

// world is what two processes work on: who wakes a lane has added work before, who runs it takes all there
// is.
type world struct {
	work [8]atomic.Int64
	left atomic.Int64
}

func (w *world) add(lane int) {
	w.work[lane].Add(1)
	w.left.Add(1)
}

func (w *world) run(_ context.Context, lane string) {
	at := &w.work[lane[1]-'0']
	n := at.Swap(0)
	w.left.Add(-n)
}

// TestNoWakeIsLost has two processes wake and run the same lanes; one of them stops and starts all the time.
// Work that is left when all wakes are done is a wake that was lost.
func TestNoWakeIsLost(t *testing.T) {
	client := realRedis(t)
	w := &world{}
	stays := open(t, asynqqueue.Options{Client: client})
	leaves := open(t, asynqqueue.Options{Client: client})
	serve(t, stays, 4, w.run)
	var wakers sync.WaitGroup
	done := make(chan struct{})
	for _, q := range []*asynqqueue.Queue{stays, leaves, stays, leaves} {
		wakers.Go(func() {
			for range 500 {
				lane := rand.IntN(len(w.work))
				w.add(lane)
				if err := q.Wake(context.Background(), fmt.Sprintf("m%d", lane)); err != nil {
					t.Errorf("Wake: %v", err)
				}
			}
		})
	}
	go func() {
		wakers.Wait()
		close(done)
	}()
	for stopping := true; stopping; {
		stop := serve(t, leaves, 4, w.run)
		before := leaves.Stats().Runs
		await(t, "the other process runs lanes", func() bool {
			select {
			case <-done:
				stopping = false
			default:
			}
			return !stopping || leaves.Stats().Runs > before
		})
		stop()
	}
	await(t, "all work is done", func() bool { return w.left.Load() == 0 })
	t.Logf("stays %+v, leaves %+v", stays.Stats(), leaves.Stats())
}

// TestSeveral is what the suite says of one order, for several queues: runs are bounded over all of them, a
// lane is run once at a time, and lanes that are busy in every queue starve nobody.
func TestSeveral(t *testing.T) {
	const workers, busy, quiet = 3, 40, 40
	q := open(t, asynqqueue.Options{Client: realRedis(t)})
	var at, most atomic.Int32
	var running sync.Map
	turns := make(chan string, workers)
	stop := serve(t, q, workers, func(ctx context.Context, lane string) {
		most.Store(max(most.Load(), at.Add(1)))
		if _, twice := running.LoadOrStore(lane, true); twice {
			t.Errorf("%s is run twice at once", lane)
		}
		if lane[0] == 'b' {
			if err := q.Wake(ctx, lane); err != nil {
				t.Errorf("Wake: %v", err)
			}
		}
		select {
		case turns <- lane:
		case <-ctx.Done():
		}
		running.Delete(lane)
		at.Add(-1)
	})
	for i := range busy {
		wake(t, q, fmt.Sprintf("b%d", i))
	}
	missing := make(map[string]bool)
	for i := range quiet {
		lane := fmt.Sprintf("q%d", i)
		missing[lane] = true
		wake(t, q, lane)
	}
	n := 0
	for ; len(missing) > 0; n++ {
		delete(missing, receive(t, turns, "a turn"))
	}
	stop()
	if limit := 50 * (busy + quiet); n > limit {
		t.Errorf("%d turns until every lane had one, want at most %d", n, limit)
	}
	if most.Load() > workers {
		t.Errorf("%d runs at once, want at most %d", most.Load(), workers)
	}
	if waiting, active := sizes(t, q); waiting < busy-workers || active != 0 {
		t.Errorf("after the stop %d wait, %d are active, want the busy lanes to wait", waiting, active)
	}
}
