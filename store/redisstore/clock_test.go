package redisstore

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// look is a round trip in which Redis read its clock halfway, ahead of ours by so much.
func (c *clock) look(trip, ahead time.Duration) {
	sent := time.Now()
	time.Sleep(trip)
	c.learn(sent.Add(trip/2+ahead).UnixMicro(), sent, time.Now())
}

// near compares with our own clock.
func near(t *testing.T, c *clock, ahead, within time.Duration) {
	t.Helper()
	got := time.Duration(c.now(0) - time.Now().UnixNano())
	if got < ahead-within || got > ahead+within {
		t.Errorf("ahead by %v, want %v", got, ahead)
	}
}

func TestClockFollowsRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		near(t, c, 0, 0)
		c.look(time.Millisecond, 5*time.Second)
		near(t, c, 5*time.Second, time.Microsecond)
		c.look(2*time.Second, 5*time.Second+400*time.Millisecond) // slow: it says less
		near(t, c, 5*time.Second, time.Microsecond)
		time.Sleep(time.Hour) // so long that what it says counts
		c.look(100*time.Millisecond, 5*time.Second+30*time.Millisecond)
		near(t, c, 5*time.Second+30*time.Millisecond, time.Microsecond)
		c.look(time.Millisecond, time.Second) // another Redis
		near(t, c, time.Second, time.Microsecond)
		c.look(time.Second, 25*time.Hour) // or it was set
		near(t, c, 25*time.Hour, time.Microsecond)
		if got := c.now(time.Hour) - c.now(0); got < 0 || got > int64(time.Hour) {
			t.Errorf("shifted back by an hour: by %v", time.Duration(got))
		}
	})
}

func TestClockDoesNotStepBackByJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		last := c.now(0)
		for i := range 1000 {
			jitter := time.Duration(i%7) * time.Millisecond
			c.look(10*time.Millisecond-jitter, jitter)
			if now := c.now(0); now < last {
				t.Fatalf("look %d: back by %v", i, time.Duration(last-now))
			} else {
				last = now
			}
		}
		near(t, c, 0, 10*time.Millisecond)
		c.look(time.Millisecond, -time.Minute)
		near(t, c, -time.Minute, time.Microsecond)
	})
}

func TestClockTakesTheShiftOnce(t *testing.T) {
	const shift = 25 * time.Hour
	s := connect(t, Options{URL: shared(t), Prefix: "shift:", Shift: func() time.Duration { return shift }})
	v, err := s.run(within(t, 10*time.Second), call{script: echo, args: []any{""}})
	if err != nil {
		t.Fatal(err)
	}
	want := time.Now().Add(shift)
	for _, got := range []time.Time{s.Now(), time.UnixMicro(v[0].(int64))} {
		if d := got.Sub(want); d < -5*time.Second || d > 5*time.Second {
			t.Errorf("off by %v", d)
		}
	}
}

// The whole store works in virtual time: on miniredis, over pipes. Hours pass at once.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		server.ClockTTL(true)
		defer server.Close()
		s := connect(t, Options{
			URL: "redis://127.0.0.1", AllowVolatile: true, Shards: 2,
			Dial: func(context.Context, string, string) (net.Conn, error) { return buffered(server.Dial()) },
		})
		defer s.Close()
		ctx := t.Context()
		for i := range 25 {
			time.Sleep(time.Hour)
			v, err := s.run(ctx, call{shard: i % 2, script: count, args: []any{1}})
			if err != nil {
				t.Fatal(err)
			}
			if v[0] != s.Now().UnixMicro() || !s.Now().Equal(time.Now()) {
				t.Errorf("hour %d: %v, %v, %v", i, v[0], s.Now(), time.Now())
			}
		}
		if h := s.Health(ctx); h.Err != nil || h.Durable {
			t.Errorf("%+v", h)
		}
	})
}

// patient is the end of a pipe that takes what is written at once, as a socket does. A bare net.Pipe would
// have us and a server that answers while we still write wait for each other.
type patient struct {
	net.Conn

	out  chan []byte
	shut chan struct{}
	once sync.Once
}

func buffered(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	p := &patient{Conn: c, out: make(chan []byte, 1024), shut: make(chan struct{})}
	go func() {
		for {
			select {
			case b := <-p.out:
				p.Conn.Write(b)
			case <-p.shut:
				return
			}
		}
	}()
	return p, nil
}

func (p *patient) Write(b []byte) (int, error) {
	select {
	case p.out <- bytes.Clone(b):
		return len(b), nil
	case <-p.shut:
		return 0, net.ErrClosed
	}
}

func (p *patient) Close() error {
	p.once.Do(func() { close(p.shut) })
	return p.Conn.Close()
}
