package redis

import (
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

func TestServerKeepsWhatWasWritten(t *testing.T) {
	s := Start(t, "appendfsync always")
	s.MustDo("SET", "k", "v")
	pid := s.Pid()
	s.Kill()
	if _, err := s.Do("GET", "k"); err == nil {
		t.Error("a killed server answers")
	}
	s.Restart()
	if got := s.MustDo("GET", "k"); got != "v" {
		t.Errorf("after a kill: %v, want v", got)
	}
	s.Stop()
	s.Restart()
	if got := s.MustDo("GET", "k"); got != "v" {
		t.Errorf("after a stop: %v, want v", got)
	}
	if s.Pid() == pid {
		t.Error("the same process after two restarts")
	}
}

func TestServerConfig(t *testing.T) {
	s := Start(t, "maxmemory-policy allkeys-lru", "requirepass secret")
	if got := s.MustDo("CONFIG", "GET", "maxmemory-policy").([]any)[1]; got != "allkeys-lru" {
		t.Errorf("maxmemory-policy %v, want the test's own", got)
	}
	if got, want := s.URL(), "redis://:secret@"+s.Addr+"/0"; got != want {
		t.Errorf("URL %s, want %s", got, want)
	}
	s.MustDo("MSET", "asynq:1", "", "asynq:2", "", "pn:1", "")
	if got := s.Flush("asynq:*"); got != 2 {
		t.Errorf("%d keys flushed, want 2", got)
	}
}

func TestServerFrozen(t *testing.T) {
	s := Start(t)
	s.Freeze()
	done := make(chan error, 1)
	go func() {
		_, err := s.Do("PING")
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("a frozen server answers: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.Thaw()
	if err := <-done; err != nil {
		t.Errorf("after the thaw: %v", err)
	}
}

func TestSharedEndsWithItsLastUser(t *testing.T) {
	var first, second *Server
	t.Run("users", func(t *testing.T) {
		first = Shared(t)
		t.Run("second", func(t *testing.T) { second = Shared(t) })
		first.MustDo("PING")
	})
	if first != second {
		t.Error("two servers at a time")
	}
	if first.Pid() != 0 {
		t.Error("it lives on without users")
	}
}

func TestFakeAnswersEverything(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{
		Addr: Fake(t, "-LOADING in a minute\r\n"), MaxRetries: -1, Protocol: 2, DisableIdentity: true,
	})
	defer client.Close()
	for range 3 {
		if err := client.Set(t.Context(), "k", "v", 0).Err(); err == nil || err.Error() != "LOADING in a minute" {
			t.Errorf("got %v, want the answer of the fake", err)
		}
	}
}
