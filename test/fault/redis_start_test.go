package fault

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/test/redis"
)

const exitConfig = 78

// TestRedisStartRefused: a Redis that may lose what was accepted is refused with the literal cures, unless a
// person overrides that. Then everything that watches the product says so.
func TestRedisStartRefused(t *testing.T) {
	t.Parallel()
	const aof, evict = "CONFIG SET appendonly yes", "CONFIG SET maxmemory-policy noeviction"
	for _, c := range []struct {
		name, setting string
		config, cures []string
	}{
		{"no AOF", "appendonly", []string{"appendonly no"}, []string{aof}},
		{"evicting", "maxmemory-policy", []string{"maxmemory-policy allkeys-lru"}, []string{evict}},
		{
			"stock settings", "appendonly",
			[]string{"appendonly no", "save 3600 1 300 100 60 10000", "maxmemory-policy volatile-ttl"},
			[]string{aof, evict},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRedisRig(t, redis.Start(t, c.config...).URL(), shops())
			code, stderr := r.refuses()
			lines := strings.Split(stderr, "\n")
			if code != exitConfig {
				t.Errorf("exit %d, want %d", code, exitConfig)
			}
			for _, cure := range []string{aof, evict} {
				if got, want := slices.Contains(lines, cure), slices.Contains(c.cures, cure); got != want {
					t.Errorf("cure %q alone on a line: %v, want %v:\n%s", cure, got, want, stderr)
				}
			}
			p := r.start("", "--allow-volatile-redis")
			r.register()
			r.loadFor(time.Second, 50)
			status, ready := p.readyz()
			if status != http.StatusOK || !strings.Contains(strings.Join(ready.Warnings, "\n"), c.setting) {
				t.Errorf("readyz %d %+v, want 200 and a warning that names %s", status, ready, c.setting)
			}
			if got := p.metric("paynotify_store_durable", ""); got != 0 {
				t.Errorf("paynotify_store_durable %v, want 0", got)
			}
			r.wantNoDuplicates(r.finish())
		})
	}
}

// TestRedisCured: the printed lines are the cure.
func TestRedisCured(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, "appendonly no", "maxmemory-policy allkeys-lfu")
	r := newRedisRig(t, server.URL(), shops())
	_, stderr := r.refuses()
	cured := 0
	for line := range strings.Lines(stderr) {
		if words := strings.Fields(line); len(words) == 4 && words[0] == "CONFIG" {
			server.MustDo(words[0], words[1], words[2], words[3])
			cured++
		}
	}
	if cured != 2 {
		t.Fatalf("%d cures, want 2:\n%s", cured, stderr)
	}
	p := r.start("")
	r.register()
	r.loadFor(500*time.Millisecond, 50)
	if got := p.metric("paynotify_store_durable", ""); got != 1 {
		t.Errorf("paynotify_store_durable %v, want 1", got)
	}
	if got := p.metric("paynotify_store_fsync_always", ""); got != 0 {
		t.Errorf("paynotify_store_fsync_always %v with everysec, want 0", got)
	}
	r.finish()
}

// TestRedisNotThereYet: the process listens and says 503 until Redis is there, and then starts by itself.
func TestRedisNotThereYet(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	server.Stop()
	r := newRedisRig(t, server.URL(), crowd(3, 0))
	p := r.start("")
	if status, ready := p.readyz(); status != http.StatusServiceUnavailable || len(ready.Reasons) == 0 {
		t.Errorf("readyz %d %+v, want 503 and why", status, ready)
	}
	if status, err := r.offer("m000", 0); status != http.StatusServiceUnavailable {
		t.Errorf("accept without Redis: %d %v, want 503", status, err)
	}
	server.Restart()
	await(t, 10*time.Second, "the process is ready", func() bool {
		status, _ := p.readyz()
		return status == http.StatusOK
	})
	r.register()
	r.loadFor(500*time.Millisecond, 50)
	r.wantNoDuplicates(r.finish())
}
