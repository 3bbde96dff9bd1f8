package asynqqueue_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"paynotify/queue/asynqqueue"
	"paynotify/test/redis"
)

func figures(t *testing.T, q *asynqqueue.Queue) asynqqueue.Figures {
	t.Helper()
	f, err := q.Figures(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFigures follows lanes through several queues.
func TestFigures(t *testing.T) {
	c := realRedis(t)
	q := open(t, asynqqueue.Options{Client: c, Queues: 2, Prefix: "figures"})
	if f := figures(t, q); f != (asynqqueue.Figures{}) {
		t.Errorf("before the first wake: %+v", f)
	}
	const lanes = 8 // of which both queues have some
	for i := range lanes {
		wake(t, q, "m"+strconv.Itoa(i))
	}
	if f := figures(t, q); f.Pending != lanes || f.Latency <= 0 || f.MemoryBytes <= 0 || f.Processed != 0 {
		t.Errorf("when nobody runs them: %+v", f)
	}
	goOn := make(chan struct{})
	serve(t, q, 1, func(context.Context, string) { <-goOn })
	await(t, "both queues have one active", func() bool { return figures(t, q).Active == 2 })
	close(goOn)
	await(t, "all have been run", func() bool {
		f := figures(t, q)
		return f.Processed == lanes && f.Failed == 0 && f.Pending == 0 && f.Active == 0 && f.Latency == 0
	})
	inspector := asynq.NewInspectorFromRedisClient(c)
	if err := inspector.PauseQueue("figures-1"); err != nil {
		t.Fatal(err)
	}
	if f := figures(t, q); f.Paused != 1 {
		t.Errorf("%d are paused, want 1", f.Paused)
	}
}

// TestFiguresOfAllOrNone: when one of the queues cannot be read there is no sum.
func TestFiguresOfAllOrNone(t *testing.T) {
	c := realRedis(t)
	q := open(t, asynqqueue.Options{Client: c, Queues: 2, Prefix: "halved"})
	wake(t, q, "m1")
	if err := c.Set(context.Background(), "asynq:{halved-1}:scheduled", "no list", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if f, err := q.Figures(context.Background()); err == nil {
		t.Errorf("got %+v, want an error", f)
	}
}

// TestFiguresInTime: a Redis that hangs costs as much time as the caller has.
func TestFiguresInTime(t *testing.T) {
	proxy := redis.NewProxy(t, redis.Shared(t).Addr)
	q := open(t, asynqqueue.Options{Client: client(t, proxy.Addr), Prefix: "slow"})
	figures(t, q) // the connections are there
	proxy.Hang()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := q.Figures(ctx)
	if took := time.Since(began); err == nil || took > 2*time.Second {
		t.Errorf("answered %v after %s", err, took)
	}
	proxy.Heal()
	if _, err := q.Figures(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with no time left: %v", err)
	}
	figures(t, q)
}
