package fault

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"paynotify/test/redis"
)

// TestRedisStaleReplica lets a replica take over that has missed the last second. What it never heard of may
// be lost or sent twice, once for each send; nothing else is touched.
func TestRedisStaleReplica(t *testing.T) {
	t.Parallel()
	master := redis.Start(t)
	replica := redis.StartReplica(t, master)
	proxy := redis.NewProxy(t, master.Addr)
	r := newRedisRig(t, proxy.URL(), shops())
	nodes := []*process{r.start(""), r.start("")}
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 100)
	time.Sleep(1500 * time.Millisecond)
	replica.MustDo("REPLICAOF", "NO", "ONE")
	stale := time.Now()
	time.Sleep(time.Second)
	master.Kill()
	proxy.Point(replica.Addr)
	// Sends that were in flight at the change are judged after it: their claims are unknown, too.
	r.h.Forgot = Window{From: stale.Add(-busy), To: time.Now().Add(sendMax)}
	time.Sleep(time.Second)
	stop()
	producers.Wait()
	report := r.finish()
	r.wantLoad(report, 100)
	t.Logf("%d of those that were accepted in the lost second are unknown", report.Forgotten)
	if report.Forgotten == 0 {
		t.Error("nothing was forgotten: the replica was not stale")
	}
	posts := make(map[string]int) // in the lost time
	for _, p := range r.h.Posts {
		if r.h.Forgot.Holds(p.Received) {
			posts[p.NotifyID]++
		}
	}
	all := make(map[string]int)
	for _, p := range r.h.Posts {
		all[p.NotifyID]++
	}
	for id, record := range r.h.Records {
		if extra := all[id] - len(record.Attempts); extra > posts[id] {
			t.Errorf("%s: %d POSTs more than attempts, %d of its POSTs were forgotten", id, extra, posts[id])
		}
	}
	for _, p := range nodes {
		p.alive()
		if status, ready := p.readyz(); status != http.StatusOK {
			t.Errorf("readyz %d %+v after the failover, want 200", status, ready)
		}
	}
}

// TestRedisTooFewReplicas: with wait_replicas 1 and no replica there is never a 202. When the replica is
// back, so is everything else.
func TestRedisTooFewReplicas(t *testing.T) {
	t.Parallel()
	master := redis.Start(t)
	replica := redis.StartReplica(t, master)
	r := newRedisRig(t, master.URL(), shops())
	r.set("redis.wait_replicas", "1")
	p := r.start("")
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 50)
	time.Sleep(time.Second)
	replica.Kill()
	alone := time.Now().Add(busy)
	time.Sleep(3 * time.Second)
	if n := r.acceptedSince(alone); n > 0 {
		t.Errorf("%d times 202 without a replica", n)
	}
	replica.Restart()
	r.acceptsAgain(time.Now(), 2*resumes)
	time.Sleep(time.Second)
	stop()
	producers.Wait()
	report := r.finish()
	r.wantLoad(report, 20) // two seconds of it, the rest is refused
	r.wantNoDuplicates(report)
	r.takeovers()
	p.alive()
}

// TestRedisSentinel kills the master of a Sentinel set under traffic. With wait_replicas 1 nothing that was
// promised is lost, and everything goes on by itself.
func TestRedisSentinel(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six servers")
	}
	t.Parallel()
	set := redis.StartSentinel(t)
	r := newRedisRig(t, set.URL(), shops())
	r.set("redis.wait_replicas", "1")
	nodes := []*process{r.start(""), r.start("")}
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 100)
	time.Sleep(1500 * time.Millisecond)
	killed := time.Now()
	set.KillMaster()
	set.WaitMaster()
	back := time.Now()
	t.Logf("another master after %v", back.Sub(killed))
	r.acceptsAgain(back, resumes)
	time.Sleep(time.Second)
	stop()
	producers.Wait()
	// What was sent in the last moment may not have reached the replica that took over.
	r.h.Forgot = Window{From: killed.Add(-busy), To: back.Add(sendMax)}
	report := r.finish()
	r.wantLoad(report, 100)
	if report.Forgotten > 0 {
		t.Errorf("%d accepted ones are unknown after the failover: lost", report.Forgotten)
	}
	if cut := r.takeovers(); report.Duplicates > cut+inFlightMax(r) {
		t.Errorf("%d duplicates", report.Duplicates)
	}
	for _, p := range nodes {
		p.alive()
	}
}

// inFlightMax is how many sends the processes can have under way at an instant: 16 a merchant.
func inFlightMax(r *rig) int { return 16 * len(r.merchants) }

// TestRedisCluster kills a master of a Cluster. Merchants whose shard lies on another one keep their rate,
// the others are back after the failover; with wait_replicas 1 nothing is lost.
func TestRedisCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six servers")
	}
	cluster := redis.StartCluster(t, 3, 3)
	r := newRedisRig(t, cluster.URL(), crowd(24, 0))
	r.set("redis.wait_replicas", "1")
	nodes := []*process{r.start(""), r.start("")}
	await(t, resumes, "the processes are ready", func() bool {
		a, _ := nodes[0].readyz()
		b, _ := nodes[1].readyz()
		return a == http.StatusOK && b == http.StatusOK
	})
	r.register()
	const victim = 1
	dead := merchantsOn(t, cluster.Servers[victim])
	if len(dead) == 0 || len(dead) == len(r.merchants) {
		t.Fatalf("%d of %d merchants on one master of three", len(dead), len(r.merchants))
	}
	t.Logf("%d of %d merchants lie on the master that will be killed", len(dead), len(r.merchants))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 120)
	time.Sleep(time.Second) // the first second warms up
	began := time.Now()
	time.Sleep(3 * time.Second)
	killed := time.Now()
	cluster.KillMaster(victim)
	cluster.WaitOK()
	back := time.Now()
	before := r.rate(began, killed, func(mch string) bool { return !dead[mch] })
	during := r.rate(killed, back, func(mch string) bool { return !dead[mch] })
	t.Logf("another master after %v; healthy merchants: %.1f/s before, %.1f/s meanwhile", back.Sub(killed),
		before, during)
	if during < 0.9*before {
		t.Errorf("merchants on healthy masters fell from %.1f/s to %.1f/s", before, during)
	}
	// A wake that died with the master is repeated when the lane's awake mark runs out, after 15 s at most.
	took := await(t, 15*time.Second+2*resumes, "merchants on the dead master are served again", func() bool {
		served := make(map[string]bool)
		for _, p := range r.posts(back) {
			if dead[p.MchID] {
				served[p.MchID] = true
			}
		}
		return len(served) == len(dead)
	})
	t.Logf("all merchants on the dead master were served again %v after that", took)
	stop()
	producers.Wait()
	r.h.Forgot = Window{From: killed.Add(-busy), To: back.Add(sendMax)}
	report := r.finish()
	r.wantLoad(report, 500)
	if report.Forgotten > 0 {
		t.Errorf("%d accepted ones are unknown after the failover: lost", report.Forgotten)
	}
	r.takeovers()
	for _, p := range nodes {
		p.alive()
	}
}

// merchantsOn are the merchants whose shard lies on a server.
func merchantsOn(t *testing.T, s *redis.Server) map[string]bool {
	t.Helper()
	on := make(map[string]bool)
	keys, _ := s.MustDo("KEYS", "pn:{s*}:m").([]any)
	for _, key := range keys {
		merchants, _ := s.MustDo("HKEYS", key).([]any)
		for _, mch := range merchants {
			on[fmt.Sprint(mch)] = true
		}
	}
	return on
}

// rate is how many POSTs a second those merchants received in a span.
func (r *rig) rate(from, to time.Time, counts func(mch string) bool) float64 {
	n := 0
	for _, p := range r.posts(from) {
		if p.Received.Before(to) && counts(p.MchID) {
			n++
		}
	}
	return float64(n) / to.Sub(from).Seconds()
}

// TestRedisAnswersNonsense lets Redis answer with errors of a bad day, and with what is no answer at all.
func TestRedisAnswersNonsense(t *testing.T) {
	for name, answer := range map[string]string{
		"loading":    "-LOADING Redis is loading the dataset in memory\r\n",
		"readonly":   "-READONLY You can't write against a read only replica.\r\n",
		"masterdown": "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
		"oom":        "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
		"nil":        "$-1\r\n",
		"garbage":    "HTTP/1.1 400 Bad Request\r\n\r\n\x00\xff",
		"huge":       "$9999999999\r\n",
		"nothing":    "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redis.Start(t)
			proxy := redis.NewProxy(t, server.Addr)
			r := newRedisRig(t, proxy.URL(), crowd(4, 0))
			p := r.start("")
			r.register()
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			producers := r.load(ctx, 40)
			time.Sleep(500 * time.Millisecond)
			proxy.Point(redis.Fake(t, answer))
			time.Sleep(2 * time.Second)
			if status, ready := p.readyz(); status != http.StatusServiceUnavailable || len(ready.Reasons) == 0 {
				t.Errorf("readyz %d %+v, want 503 and why", status, ready)
			}
			quiet := time.Now()
			time.Sleep(time.Second)
			r.nothingSince(quiet)
			p.alive()
			proxy.Point(server.Addr)
			r.acceptsAgain(time.Now(), resumes)
			stop()
			producers.Wait()
			r.wantNoDuplicates(r.finish())
			r.takeovers()
			if text := p.lastWords(); strings.Contains(text, "panic") {
				t.Errorf("a panic in the log:\n%s", text)
			}
		})
	}
}
