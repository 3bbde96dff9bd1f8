package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/store"
)

type replyError string

func (e replyError) Error() string { return string(e) }
func (replyError) RedisError()     {}

func TestFault(t *testing.T) {
	s := &Store{}
	const (
		unavailable = iota
		full
		itself
	)
	for _, c := range []struct {
		err  error
		want int
	}{
		{io.EOF, unavailable},
		{context.DeadlineExceeded, unavailable},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, unavailable},
		{replyError("LOADING Redis is loading the dataset in memory"), unavailable},
		{replyError("READONLY You can't write against a read only replica. script: x"), unavailable},
		{replyError("ERR Error running script (call to f_x): @user_script:1: @user_script: 1: " +
			"-READONLY You can't write against a read only replica."), unavailable},
		{replyError("MASTERDOWN Link with MASTER is down"), unavailable},
		{replyError("CLUSTERDOWN The cluster is down"), unavailable},
		{replyError("NOREPLICAS Not enough good replicas to write."), unavailable},
		{replyError("MISCONF Errors writing to the AOF file: No space left on device"), unavailable},
		{replyError("BUSY Redis is busy running a script."), unavailable},
		{replyError("NOAUTH Authentication required."), unavailable},
		{replyError("ERR max number of clients reached"), unavailable},
		{replyError("PNEMPTY the store was emptied"), unavailable},
		{replyError("OOM command not allowed when used memory > 'maxmemory'."), full},
		{replyError("ERR Error running script (call to f_x): @user_script:1: " +
			"-OOM command not allowed when used memory > 'maxmemory'."), full},
		{replyError("ERR wrong number of arguments for 'hget' command"), itself},
		{replyError("WRONGTYPE Operation against a key holding the wrong kind of value"), itself},
		{replyError("ERR user_script:3: attempt to index a nil value script: x"), itself},
	} {
		got := s.fault(c.err)
		is := itself
		switch {
		case errors.Is(got, store.ErrFull):
			is = full
		case errors.Is(got, store.ErrUnavailable):
			is = unavailable
		}
		if is != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
		if is == itself && !errors.Is(got, c.err) {
			t.Errorf("%v became %v", c.err, got)
		}
		if len(got.Error()) > 250 {
			t.Errorf("long: %v", got)
		}
	}
	if got := s.fault(errors.New(strings.Repeat("x", 5000))); len(got.Error()) > 250 {
		t.Errorf("%d bytes of error", len(got.Error()))
	}
	if s.fault(nil) != nil {
		t.Error("no error became one")
	}
}

func TestNotRun(t *testing.T) {
	for text, want := range map[string]bool{
		"NOSCRIPT No matching script. Please use EVAL.":                                true,
		"MOVED 3999 127.0.0.1:6381":                                                    true,
		"ASK 3999 127.0.0.1:6381":                                                      true,
		"TRYAGAIN Multiple keys request during rehashing of slot":                      true,
		"CLUSTERDOWN Hash slot not served":                                             true,
		"CLUSTERDOWN The cluster is down script: 8f3, on @user_script:3.":              false,
		"ERR Error running script (call to f_8f3): @user_script:3: -CLUSTERDOWN It is": false,
		"LOADING Redis is loading the dataset in memory":                               false,
		"READONLY You can't write against a read only replica. script: x, on @user:1.": false,
		"OOM command not allowed when used memory > 'maxmemory'.":                      false,
		"ERR unknown command 'evalsha'":                                                false,
	} {
		if notRun(replyError(text)) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
	if notRun(io.EOF) {
		t.Error("a lost connection: nobody knows whether it ran")
	}
}

// fake answers like a Redis, except what it was told to.
type fake struct {
	net.Listener

	answer atomic.Pointer[string] // raw, to every script
	info   atomic.Pointer[string]
	ran    atomic.Int64 // scripts answered well
	conns  sync.WaitGroup
}

// hangUp at the end of an answer ends the connection after it.
const hangUp = "(hang up)"

const healthyInfo = "redis_version:7.0.15\r\nrole:master\r\nloading:0\r\naof_enabled:1\r\n" +
	"aof_last_write_status:ok\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\nused_memory:1000000\r\n"

func newFake(t *testing.T) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{Listener: l}
	f.say("", healthyInfo)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.conns.Go(func() { f.serve(c) })
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
		f.conns.Wait()
	})
	return f
}

func (f *fake) url() string { return "redis://" + f.Addr().String() }

func (f *fake) say(answer, info string) {
	f.answer.Store(&answer)
	f.info.Store(&info)
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		words, err := readCommand(r)
		if err != nil {
			return
		}
		text, dies := strings.CutSuffix(f.reply(words), hangUp)
		if _, err := io.WriteString(c, text); err != nil || dies {
			return
		}
	}
}

func readCommand(r *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line)[1:])
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		n, err := number()
		if err != nil {
			return nil, err
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		words[i] = string(b[:n])
	}
	return words, nil
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

func (f *fake) reply(words []string) string {
	switch strings.ToLower(words[0]) {
	case "hello":
		return "-ERR unknown command\r\n"
	case "info":
		if info := *f.info.Load(); !strings.HasPrefix(info, "-") {
			return bulk(info)
		}
		return *f.info.Load()
	case "config":
		return "*2\r\n" + bulk("appendfsync") + bulk("always")
	case "hgetall":
		if !strings.Contains(words[1], "{s0}") {
			return "*0\r\n"
		}
		return "*8\r\n" + bulk("format") + bulk("1") + bulk("shards") + bulk("1") + bulk("id") + bulk("x") +
			bulk("complete") + bulk("1")
	case "time":
		return "*2\r\n" + bulk(strconv.FormatInt(time.Now().Unix(), 10)) + bulk("0")
	case "zadd", "zrem", "zcount", "zcard", "zremrangebyscore", "hdel", "hset", "del", "pexpire", "exists":
		return ":1\r\n"
	case "get":
		return "$-1\r\n"
	case "hmget":
		return fmt.Sprintf("*%d\r\n", len(words)-2) + strings.Repeat("$-1\r\n", len(words)-2)
	case "hget":
		return bulk("x")
	case "evalsha", "eval":
		if answer := *f.answer.Load(); answer != "" {
			return answer
		}
		f.ran.Add(1)
		return fmt.Sprintf("*2\r\n:%d\r\n:1\r\n", time.Now().UnixMicro())
	}
	return "+OK\r\n"
}

// A Redis that answers errors or garbage never makes anything crash or hang, and never counts as a success;
// when it is well again everything goes on.
func TestStrangeReplies(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := connect(t, Options{URL: f.url()})
	for _, c := range []struct {
		answer string
		want   error
	}{
		{"-LOADING Redis is loading the dataset in memory\r\n", store.ErrUnavailable},
		{"-READONLY You can't write against a read only replica.\r\n", store.ErrUnavailable},
		{"-OOM command not allowed when used memory > 'maxmemory'.\r\n", store.ErrFull},
		{"-NOSCRIPT No matching script.\r\n", store.ErrUnavailable}, // again and again
		{"-CLUSTERDOWN Hash slot not served\r\n", store.ErrUnavailable},
		{"-MOVED 1 127.0.0.1:1\r\n", store.ErrUnavailable},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", store.ErrUnavailable},
		{"\x00\x01\x02\r\n", store.ErrUnavailable},
		{"*2\r\n:1\r\n" + hangUp, store.ErrUnavailable},
		{hangUp, store.ErrUnavailable},
		{"$-7\r\n", store.ErrUnavailable},
		{"$3\r\nabcdefgh\r\n", nil},
		{"+OK\r\n", nil},
		{"*0\r\n", nil},
		{"$-1\r\n", nil},
		{"-ERR nonsense\r\n", nil},
	} {
		f.say(c.answer, healthyInfo)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		v, err := s.run(ctx, call{script: echo, args: []any{"x"}})
		if err == nil {
			t.Errorf("%q: %v", c.answer, v)
		}
		if c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.answer, err, c.want)
		}
		cancel()
		f.say("", healthyInfo)
		eventually(t, "well again after "+c.answer, func() bool {
			_, err := s.run(within(t, time.Second), call{script: echo, args: []any{"x"}})
			return err == nil
		})
	}
	if err := s.Health(t.Context()).Err; err != nil {
		t.Errorf("at the end: %v", err)
	}
}
