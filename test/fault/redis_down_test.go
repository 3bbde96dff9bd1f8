package fault

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"paynotify/test/redis"
)

// resumes is how soon everything must go on by itself when Redis is back.
const resumes = 5 * time.Second

// TestRedisKilled kills Redis with AOF everysec under load and starts it again: nothing is lost, and what was
// in hand is written down when Redis is back. The same with a clean restart, after which asynq and scripts
// have to be told everything again.
func TestRedisKilled(t *testing.T) {
	ends := map[string]func(*redis.Server){"killed": (*redis.Server).Kill, "stopped": (*redis.Server).Stop}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redis.Start(t)
			all := shops()
			all["crowded"] = &merchant{acksFrom: 1, takes: 20 * time.Millisecond, schedule: quick, inflight: 1}
			r := newRedisRig(t, server.URL(), all)
			nodes := []*process{r.start(""), r.start("")}
			r.register()
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			producers := r.load(ctx, 150)
			time.Sleep(time.Second)
			end(server)
			time.Sleep(time.Second)
			server.Restart()
			back := time.Now()
			r.acceptsAgain(back, resumes)
			t.Logf("accepted again %v after Redis was back", time.Since(back))
			time.Sleep(time.Second)
			stop()
			producers.Wait()
			report := r.finish()
			r.wantLoad(report, 150)
			r.wantNoDuplicates(report)
			r.takeovers()
			r.punctual(repaired)
			for _, p := range nodes {
				p.alive()
			}
		})
	}
}

// TestRedisQueueDeleted deletes every key of asynq in the middle of a load, again and again. The store hands
// everything out again.
func TestRedisQueueDeleted(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	all := shops()
	for _, id := range []string{"crowded1", "crowded2", "crowded3"} {
		all[id] = &merchant{acksFrom: 1, takes: 20 * time.Millisecond, schedule: quick, inflight: 1}
	}
	r := newRedisRig(t, server.URL(), all)
	r.start("")
	r.start("")
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 200)
	deleted := 0
	for range 20 {
		time.Sleep(100 * time.Millisecond)
		deleted += server.Flush("asynq:*")
	}
	stop()
	producers.Wait()
	t.Logf("%d keys of asynq deleted", deleted)
	if deleted == 0 {
		t.Error("asynq had no keys: nothing was tested")
	}
	report := r.finish()
	r.wantLoad(report, 100)
	r.wantNoDuplicates(report)
	r.punctual(repaired)
}

// TestRedisForgetsScriptsAndClients lets Redis forget the scripts and drop every connection, again and again.
func TestRedisForgetsScriptsAndClients(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	r := newRedisRig(t, server.URL(), shops())
	nodes := []*process{r.start(""), r.start("")}
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 150)
	for range 10 {
		time.Sleep(150 * time.Millisecond)
		server.MustDo("SCRIPT", "FLUSH")
		server.MustDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	}
	stop()
	producers.Wait()
	report := r.finish()
	r.wantLoad(report, 100)
	r.wantNoDuplicates(report)
	r.takeovers()
	r.punctual(repaired)
	for _, p := range nodes {
		p.alive()
	}
}

// TestRedisFlushed: FLUSHALL deletes the truth. Everybody says so at once, and nobody pretends otherwise.
func TestRedisFlushed(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	r := newRedisRig(t, server.URL(), shops())
	nodes := []*process{r.start(""), r.start("")}
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	r.load(ctx, 150)
	time.Sleep(time.Second)
	server.MustDo("FLUSHALL")
	flushed := time.Now()
	for _, p := range nodes {
		await(t, busy, "readyz turns red", func() bool {
			status, ready := p.readyz()
			return status == http.StatusServiceUnavailable && len(ready.Reasons) > 0
		})
	}
	t.Logf("red %v after the flush", time.Since(flushed))
	stop()
	quiet := time.Now().Add(2 * sendMax)
	time.Sleep(time.Until(quiet))
	for i := range 20 {
		if status, err := r.offer("acks", 100000+i); status != http.StatusServiceUnavailable {
			t.Errorf("accept after a flush: %d %v, want 503", status, err)
		}
	}
	if n := r.acceptedSince(flushed.Add(busy)); n > 0 {
		t.Errorf("%d were accepted after the flush", n)
	}
	if sent := r.posts(quiet); len(sent) > 0 {
		t.Errorf("%d POSTs after the truth was gone", len(sent))
	}
	for _, p := range nodes {
		p.alive()
		if status, _ := p.readyz(); status != http.StatusServiceUnavailable {
			t.Errorf("readyz %d a while after the flush, want 503", status)
		}
	}
}

// ways are how Redis goes away, and each returns how it comes back. A frozen one does later what it was asked
// in vain.
var ways = map[string]func(*redis.Server, *redis.Proxy) (back func()){
	"cut": func(_ *redis.Server, p *redis.Proxy) func() {
		p.Cut()
		return p.Heal
	},
	"silent": func(_ *redis.Server, p *redis.Proxy) func() {
		p.Hang()
		return p.Heal
	},
	"frozen": func(s *redis.Server, _ *redis.Proxy) func() {
		s.Freeze()
		return s.Thaw
	},
}

// TestRedisDown takes Redis away while the API takes traffic. The API says 503 within 2 s, and nothing is
// sent that cannot be recorded.
func TestRedisDown(t *testing.T) {
	outage := 6 * time.Second
	if full() {
		outage = time.Minute
	}
	for name, away := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redis.Start(t)
			proxy := redis.NewProxy(t, server.Addr)
			r := newRedisRig(t, proxy.URL(), shops())
			p := r.start("")
			r.register()
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			producers := r.load(ctx, 100)
			time.Sleep(time.Second)
			heal := away(server, proxy)
			down := time.Now()
			time.Sleep(3 * time.Second)
			if status, _ := p.readyz(); status != http.StatusServiceUnavailable {
				t.Errorf("readyz %d without Redis, want 503", status)
			}
			quiet := time.Now()
			time.Sleep(time.Until(down.Add(outage)))
			r.nothingSince(quiet)
			heal()
			back := time.Now()
			r.acceptsAgain(back, resumes)
			await(t, resumes, "readyz is green again", func() bool {
				status, _ := p.readyz()
				return status == http.StatusOK
			})
			time.Sleep(time.Second)
			stop()
			producers.Wait()
			report := r.finish()
			r.wantLoad(report, 100)
			r.takeovers()
			r.wantNoDuplicates(report)
		})
	}
}

// nothingSince checks that nothing was accepted or sent since an instant.
func (r *rig) nothingSince(at time.Time) {
	r.t.Helper()
	if sent := r.posts(at); len(sent) > 0 {
		r.t.Errorf("%d POSTs that nobody can record", len(sent))
	}
	if n := r.acceptedSince(at); n > 0 {
		r.t.Errorf("%d times 202 without Redis", n)
	}
}

// TestRedisCutAfterTheReply cuts one of two processes off from Redis for longer than a lease, while it has
// replies in hand. What was judged is written down in the end; the other process repeats a send once at most.
// Where only Redis's answers are lost, some of it has been written down and must not be written twice.
func TestRedisCutAfterTheReply(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	cuts := map[string]func(*redis.Proxy){
		"both directions": (*redis.Proxy).Hang, "answers only": (*redis.Proxy).HangReplies,
	}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redis.Start(t)
			proxy := redis.NewProxy(t, server.Addr)
			r := newRedisRig(t, proxy.URL(), crowd(8, 200*time.Millisecond))
			away := r.start("")
			r.register()
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			producers := r.load(ctx, 100)
			time.Sleep(time.Second)
			cut(proxy) // about 20 sends are with their merchants, who will answer
			at := time.Now()
			away.leave()
			r.store = server.URL()
			r.start("")
			stop()
			producers.Wait()
			r.quiet(takeover + busy + resumes)
			t.Logf("the other process was done after %v", time.Since(at))
			time.Sleep(time.Until(at.Add(lease + time.Second)))
			before := len(r.posts(time.Time{}))
			proxy.Heal()
			await(t, settled, "the process is back", func() bool {
				status, _ := away.readyz()
				return status == http.StatusOK && away.metric("paynotify_inflight_attempts", "") == 0
			})
			time.Sleep(2 * sendMax) // whatever it still wanted to send would be there now
			if after := len(r.posts(time.Time{})); after > before {
				t.Errorf("%d POSTs when the process was back, all were spent", after-before)
			}
			report := r.finish()
			if late := r.takeovers(); report.Duplicates > late || late == 0 {
				t.Errorf("%d duplicates, %d attempts were cut off", report.Duplicates, late)
			}
			away.alive()
		})
	}
}

// TestRedisSlow makes Redis 2 s slow, then narrow. Nothing is sent twice, nothing piles up, and everything
// recovers.
func TestRedisSlow(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 s")
	}
	spoil := map[string]func(*redis.Proxy){
		"latency":   func(p *redis.Proxy) { p.Latency(2 * time.Second) },
		"bandwidth": func(p *redis.Proxy) { p.Bandwidth(10) },
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := redis.NewProxy(t, redis.Start(t).Addr)
			r := newRedisRig(t, proxy.URL(), crowd(10, 0))
			r.h.ClockSlack = 3 * time.Second // the process learns Redis's time 2 s late
			p := r.start("")
			r.register()
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			producers := r.load(ctx, 100)
			time.Sleep(time.Second)
			before := p.metric("go_goroutines", "")
			spoil(proxy)
			time.Sleep(4 * time.Second)
			early := p.metric("go_goroutines", "")
			time.Sleep(6 * time.Second)
			late := p.metric("go_goroutines", "")
			proxy.Heal()
			back := time.Now()
			r.acceptsAgain(back, resumes)
			time.Sleep(time.Second)
			stop()
			producers.Wait()
			report := r.finish()
			r.wantNoDuplicates(report)
			after := p.metric("go_goroutines", "")
			t.Logf("goroutines: %v before, %v and %v while it was slow, %v after", before, early, late, after)
			const noise = 50
			if late > early+noise || after > before+noise {
				t.Error("goroutines pile up")
			}
		})
	}
}

// TestRedisFull fills Redis to its maxmemory. The API says 503 and nothing that was promised is lost; when
// there is memory again everything goes on by itself.
func TestRedisFull(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	all := shops()
	for _, m := range all {
		m.body = strings.Repeat("0123456789", 200)
	}
	r := newRedisRig(t, server.URL(), all)
	p := r.start("")
	r.register()
	r.loadFor(500*time.Millisecond, 100)
	server.MustDo("CONFIG", "SET", "maxmemory", "5mb")
	refused := 0
	deadline := time.Now().Add(settled)
	for i := 100000; refused < 50; i++ {
		status, err := r.offer("third", i)
		switch {
		case err != nil:
			t.Fatal(err)
		case status == http.StatusServiceUnavailable:
			refused++
		case status/100 != 2:
			t.Fatalf("status %d of a full Redis, want 202 or 503", status)
		}
		if time.Now().After(deadline) {
			t.Fatal("Redis does not fill up")
		}
	}
	time.Sleep(time.Second)
	p.alive()
	server.MustDo("CONFIG", "SET", "maxmemory", "0")
	await(t, resumes, "something is accepted again", func() bool {
		status, _ := r.offer("acks", 200000)
		return status/100 == 2
	})
	report := r.finish()
	r.wantLoad(report, 200)
	r.takeovers()
	r.wantNoDuplicates(report)
}
