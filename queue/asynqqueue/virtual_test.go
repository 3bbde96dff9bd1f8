package asynqqueue_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	goredis "github.com/redis/go-redis/v9"

	"paynotify/queue/asynqqueue"
)

// longPoll leaves it to the wakes of this process to start a look: the hours of a test pass quickly then.
const longPoll = 12 * time.Hour

func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := inMemory(t)
		q := open(t, asynqqueue.Options{Client: client, Queues: 1, Poll: longPoll})
		began := time.Now()
		ran := make(chan time.Duration, 1)
		serve(t, q, 2, func(context.Context, string) { ran <- time.Since(began) })
		for hour := range 3 {
			at := time.Duration(hour) * time.Hour
			time.Sleep(at - time.Since(began))
			wake(t, q, "m1")
			if took := receive(t, ran, "the run") - at; took != 0 {
				t.Errorf("the run began %v after its wake, want at once", took)
			}
		}
	})
}

// TestPoll is about wakes of other processes.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := inMemory(t)
		const poll = 20 * time.Millisecond
		ours := open(t, asynqqueue.Options{Client: client, Queues: 1, Poll: poll})
		other := open(t, asynqqueue.Options{Client: client, Queues: 1})
		ran := make(chan time.Time, 1)
		serve(t, ours, 1, func(context.Context, string) { ran <- time.Now() })
		for range 20 {
			time.Sleep(time.Second + 7*time.Millisecond)
			woken := time.Now()
			wake(t, other, "m1")
			if took := receive(t, ran, "the run").Sub(woken); took > poll {
				t.Errorf("the run began %v after the wake, want at most %v", took, poll)
			}
		}
	})
}

// silent is a client of a Redis that takes connections and never answers.
func silent(t *testing.T) goredis.UniversalClient {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{
		Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true,
		DialerRetries: 1, PipelinePoolSize: -1, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { theirs.Close() })
			return ours, nil
		},
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestWakeDoesNotHangOnASilentRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, asynqqueue.Options{Client: silent(t), Queues: 1})
		began := time.Now()
		for range 256 {
			if err := q.Wake(context.Background(), "m1"); err == nil {
				t.Fatal("Wake without an answer: want an error")
			}
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("256 wakes took %v, want 1s: one waits, the others know", took)
		}
		if failed := q.Stats().Failed; failed != 256 {
			t.Errorf("Failed = %d, want 256", failed)
		}
	})
}

func TestCanceledWakeSaysNothingAboutRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, asynqqueue.Options{Client: silent(t), Queues: 1})
		for range 2 {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			began := time.Now()
			err := q.Wake(ctx, "m1")
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 100*time.Millisecond {
				t.Errorf("Wake: %v after %v, want the caller's deadline after 100ms", err, took)
			}
			cancel()
		}
	})
}

func TestRunEndsOnASilentRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, asynqqueue.Options{Client: silent(t)})
		stop := serve(t, q, 1, func(context.Context, string) {})
		time.Sleep(time.Minute)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Run ended %v after its context", took)
		}
		time.Sleep(time.Minute) // asynq's goroutines end too: the bubble would not
	})
}

// refusing is a client whose Redis refuses scripts at once.
type refusing struct {
	goredis.UniversalClient
	refuse func(keys []string) string // the error; empty = none
}

func (r refusing) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *goredis.Cmd {
	if text := r.refuse(keys); text != "" {
		return goredis.NewCmdResult(nil, redisError(text))
	}
	return r.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

type redisError string

func (e redisError) Error() string { return string(e) }

// RedisError marks what Redis itself replied.
func (e redisError) RedisError() {}

func TestRefusalsDoNotSpin(t *testing.T) {
	for _, text := range []string{
		"OOM command not allowed when used memory > 'maxmemory'.",
		"READONLY You can't write against a read only replica.",
	} {
		t.Run(text[:strings.Index(text, " ")], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory, _ := inMemory(t)
				var looks atomic.Int32
				log := &lines{}
				q := open(t, asynqqueue.Options{Queues: 1, Prefix: "q", Log: log.logger(), Client: refusing{
					memory, func(keys []string) string {
						if !strings.HasSuffix(keys[0], ":pending") {
							return ""
						}
						if looks.Add(1) > 1000 {
							time.Sleep(time.Second) // a spin would never let the bubble's clock go on
						}
						return text
					},
				}})
				serve(t, q, 4, func(context.Context, string) {})
				time.Sleep(time.Minute)
				if n := looks.Load(); n < 50 || n > 70 {
					t.Errorf("%d looks in a minute at a queue that refuses, want about one a second", n)
				}
				if got := log.count("queue gives no wakes"); got != 1 || log.count("") != 1 {
					t.Errorf("want one line about the outage, and no other:\n%s", log)
				}
			})
		})
	}
}

func TestRecoversFromRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := inMemory(t)
		log := &lines{}
		q := open(t, asynqqueue.Options{Client: client, Queues: 1, Poll: longPoll, Log: log.logger()})
		ran := make(chan string, 8)
		serve(t, q, 4, func(_ context.Context, lane string) { ran <- lane })
		synctest.Wait()
		server.SetError("LOADING Redis is loading the dataset in memory")
		for range 3 {
			if err := q.Wake(context.Background(), "m1"); err == nil || !strings.Contains(err.Error(), "LOADING") {
				t.Errorf("Wake: %v, want what Redis said", err)
			}
			time.Sleep(10 * time.Second)
		}
		server.SetError("")
		wake(t, q, "m1")
		receive(t, ran, "the run")
		for _, c := range []string{"queue takes no wakes", "queue works again"} {
			if log.count(c) != 1 {
				t.Errorf("want one line %q:\n%s", c, log)
			}
		}
	})
}

// TestDirtyLaneWithoutQueue is a lane that was woken during its run and cannot be enqueued after it.
func TestDirtyLaneWithoutQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := inMemory(t)
		q := open(t, asynqqueue.Options{Client: client, Poll: longPoll})
		started, release := make(chan struct{}), make(chan struct{})
		serve(t, q, 1, func(context.Context, string) {
			started <- struct{}{}
			<-release
		})
		wake(t, q, "m1")
		receive(t, started, "the run")
		wake(t, q, "m1") // remembered
		server.SetError("OOM command not allowed")
		release <- struct{}{}
		receive(t, started, "the run that the second wake asked for")
		release <- struct{}{}
	})
}

// TestDoneIsRepeated is about asynq's own repair, which works only with our client.
func TestDoneIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, _ := inMemory(t)
		var failed atomic.Bool
		q := open(t, asynqqueue.Options{Poll: longPoll, Client: refusing{memory, func(keys []string) string {
			if strings.HasSuffix(keys[0], ":active") && failed.CompareAndSwap(false, true) {
				return "READONLY"
			}
			return ""
		}}})
		ran := make(chan struct{})
		serve(t, q, 1, func(context.Context, string) { ran <- struct{}{} })
		wake(t, q, "m1")
		receive(t, ran, "the run")
		time.Sleep(10 * time.Second)
		if _, active := sizes(t, q); !failed.Load() || active != 0 {
			t.Errorf("refused once: %v; %d tasks active 10 s later, want none", failed.Load(), active)
		}
	})
}

func sizes(t *testing.T, q *asynqqueue.Queue) (waiting, active int) {
	t.Helper()
	waiting, active, err := q.Sizes(context.Background())
	if err != nil {
		t.Fatalf("Sizes: %v", err)
	}
	return waiting, active
}

// TestRegistersAgain deletes everything and asks asynq's tools.
func TestRegistersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := inMemory(t)
		q := open(t, asynqqueue.Options{Client: client, Poll: longPoll})
		ran := make(chan struct{})
		serve(t, q, 1, func(context.Context, string) { ran <- struct{}{} })
		wake(t, q, "m1")
		receive(t, ran, "the run")
		server.FlushAll()
		time.Sleep(10 * time.Second)
		names, err := asynq.NewInspectorFromRedisClient(client).Queues()
		if err != nil || len(names) != asynqqueue.QueuesDefault {
			t.Errorf("asynq knows the queues %q, %v, want %d", names, err, asynqqueue.QueuesDefault)
		}
		wake(t, q, "m1")
		receive(t, ran, "the run")
	})
}

// TestSweepsWhatTheDeadLeft takes tasks as a process does that dies then.
func TestSweepsWhatTheDeadLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := inMemory(t)
		q := open(t, asynqqueue.Options{Client: client, Queues: 1, Prefix: "q", Poll: longPoll})
		wake(t, q, "whole")
		wake(t, q, "without a record")
		for range 2 {
			take(t, client, server)
		}
		active, _ := server.List("asynq:{q-0}:active")
		server.Del("asynq:{q-0}:t:" + active[0])
		serve(t, q, 1, func(_ context.Context, lane string) { t.Errorf("ran %s", lane) })
		time.Sleep(10 * time.Minute)
		if n := q.Stats().Abandoned; n != 2 {
			t.Errorf("Abandoned = %d, want 2", n)
		}
		for _, key := range server.Keys() {
			if strings.HasPrefix(key, "asynq:{q-0}:") && !strings.Contains(key, "failed") &&
				!strings.Contains(key, "processed") {
				t.Errorf("%s is still there", key)
			}
		}
	})
}

func take(t *testing.T, client goredis.UniversalClient, server *miniredis.Miniredis) {
	t.Helper()
	ctx := context.Background()
	id, err := client.RPopLPush(ctx, "asynq:{q-0}:pending", "asynq:{q-0}:active").Result()
	if err != nil {
		t.Fatal(err)
	}
	server.HSet("asynq:{q-0}:t:"+id, "state", "active")
	lease := float64(time.Now().Add(30 * time.Second).Unix())
	if _, err := server.ZAdd("asynq:{q-0}:lease", lease, id); err != nil {
		t.Fatal(err)
	}
}

// TestForeignTask puts something into our queue that is not ours.
func TestForeignTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := inMemory(t)
		log := &lines{}
		q := open(t, asynqqueue.Options{Client: client, Queues: 1, Prefix: "q", Log: log.logger()})
		ran := make(chan string)
		serve(t, q, 1, func(_ context.Context, lane string) { ran <- lane })
		for _, payload := range []string{"", "m1", "{}", `{"lane":""}`} {
			task := asynq.NewTask("mail", []byte(payload), asynq.Queue("q-0"))
			if _, err := asynq.NewClientFromRedisClient(client).Enqueue(task); err != nil {
				t.Fatal(err)
			}
		}
		wake(t, q, "m1")
		if lane := receive(t, ran, "the run"); lane != "m1" {
			t.Errorf("ran %q, want m1", lane)
		}
		if log.count("none of ours") != 4 {
			t.Errorf("want 4 lines about foreign tasks:\n%s", log)
		}
	})
}

func TestPanicOfARunFreesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := inMemory(t)
		log := &lines{}
		q := open(t, asynqqueue.Options{Client: client, Poll: longPoll, Log: log.logger()})
		turns := make(chan int)
		n := 0
		serve(t, q, 1, func(context.Context, string) {
			n++
			turns <- n
			if n == 1 {
				panic("a fault")
			}
		})
		for want := 1; want <= 2; want++ {
			wake(t, q, "m1")
			if got := receive(t, turns, "a turn"); got != want {
				t.Errorf("turn %d, want %d", got, want)
			}
			synctest.Wait()
		}
		if log.count("a run of a lane panicked") != 1 {
			t.Errorf("want one line about the panic:\n%s", log)
		}
	})
}

func TestClosed(t *testing.T) {
	client, _ := inMemory(t)
	q := open(t, asynqqueue.Options{Client: client})
	if err := q.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := q.Wake(context.Background(), "m1"); !errors.Is(err, asynqqueue.ErrClosed) {
		t.Errorf("Wake after Close: %v, want ErrClosed", err)
	}
}

func TestOneRunAtATime(t *testing.T) {
	client, _ := inMemory(t)
	q := open(t, asynqqueue.Options{Client: client})
	ran := make(chan struct{})
	serve(t, q, 1, func(context.Context, string) { close(ran) })
	wake(t, q, "m1")
	receive(t, ran, "the run")
	if err := q.Run(context.Background(), 1, nil); err == nil {
		t.Error("a second Run at once: want an error")
	}
}
