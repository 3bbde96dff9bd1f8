package fault

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"paynotify/test/redis"
)

// TestRedisKillAtPoints kills the only process at each named point in the middle of a load. Its claims go out
// again when their leases have run out, and nothing is charged to the crash.
func TestRedisKillAtPoints(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	for _, point := range []string{"claimed", "wrote_request", "read_reply", "committed"} {
		for _, nth := range []int{1, 40} {
			if nth == 1 && !full() {
				continue
			}
			t.Run(fmt.Sprintf("%s:%d", point, nth), func(t *testing.T) {
				t.Parallel()
				r := newRedisRig(t, redis.Start(t).URL(), shops())
				first := r.start("")
				r.register()
				first.kill()
				p := r.start(fmt.Sprintf("%s:%d", point, nth))
				ctx, stop := context.WithCancel(context.Background())
				defer stop()
				producers := r.load(ctx, 100)
				p.died(t)
				r.start("")
				time.Sleep(200 * time.Millisecond)
				stop()
				producers.Wait()
				report := r.finish()
				cut := r.takeovers()
				switch {
				case point != "committed" && cut == 0:
					t.Error("the process died at its point, and no attempt was cut off")
				case report.Duplicates > cut:
					t.Errorf("%d duplicates, %d attempts were cut off", report.Duplicates, cut)
				}
			})
		}
	}
}

// TestRedisKillDuringTheLastSend: a crash uses up none of the eight sends, and skips none.
func TestRedisKillDuringTheLastSend(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	for _, point := range []string{"claimed", "wrote_request", "read_reply"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			r := newRedisRig(t, redis.Start(t).URL(), map[string]*merchant{"exhausts": {schedule: quick}})
			first := r.start("")
			r.register()
			first.kill()
			p := r.start(point + ":8")
			r.produce(context.Background(), "exhausts", 1)
			p.died(t)
			r.start("")
			r.finish()
			r.takeovers()
			r.wantLastSendRepeated()
		})
	}
}

// TestRedisKillIdle kills the process while it only waits, with thousands that are due later. The next one
// sends them on time.
func TestRedisKillIdle(t *testing.T) {
	waiting := 2000
	if full() {
		waiting = 10000
	}
	t.Parallel()
	merchants := make(map[string]*merchant)
	for i := range 20 {
		merchants[fmt.Sprintf("m%d", i)] = &merchant{acksFrom: 2, schedule: "20s"}
	}
	r := newRedisRig(t, redis.Start(t).URL(), merchants)
	p := r.start("")
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 2000)
	await(t, settled, "enough are accepted", func() bool { return len(r.posts(time.Time{})) >= waiting })
	stop()
	producers.Wait()
	await(t, settled, "all first sends are judged", func() bool {
		return p.metric("paynotify_inflight_attempts", "") == 0
	})
	r.mu.Lock()
	all, first := len(r.h.Accepted), r.h.Accepted[0].NotifyID
	r.mu.Unlock()
	await(t, settled, "all are sent once", func() bool { return len(r.posts(time.Time{})) >= all })
	p.kill()
	r.start("")
	report := r.finish()
	r.wantLoad(report, waiting)
	r.wantNoDuplicates(report)
	attempts := r.h.Records[first].Attempts
	if len(attempts) != 2 {
		t.Fatalf("%d attempts, want 2", len(attempts))
	}
	if late := attempts[1].StartedAt.Sub(attempts[1].ScheduledAt); late > time.Second+busy {
		t.Errorf("the first due send started %v late after the restart", late)
	}
}

// TestRedisKillStorm kills one of three processes again and again while they share many merchants: 20 times
// in 5 minutes at 500/s when asked for the full faults, else 5 times in 20 s.
func TestRedisKillStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills many processes")
	}
	kills, every, perSecond, merchants := 5, 3*time.Second, 150, 60
	if full() {
		kills, every, perSecond, merchants = 20, 15*time.Second, 500, 200
	} else {
		t.Parallel()
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	all := crowd(merchants, 0)
	for i := range merchants / 4 {
		all[fmt.Sprintf("m%03d", i)] = shops()[[]string{"slow", "third", "exhausts"}[i%3]]
	}
	r := newRedisRig(t, redis.Start(t).URL(), all)
	nodes := []*process{r.start(""), r.start(""), r.start("")}
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, perSecond)
	for range kills {
		time.Sleep(every/2 + time.Duration(random.Int64N(int64(every))))
		i := random.IntN(len(nodes))
		nodes[i].kill()
		nodes[i] = r.start("")
	}
	time.Sleep(every / 2)
	stop()
	producers.Wait()
	report := r.finish()
	r.wantLoad(report, kills*int(every/time.Second)*perSecond/3)
	if cut := r.takeovers(); report.Duplicates > cut {
		t.Errorf("%d duplicates, %d attempts were cut off", report.Duplicates, cut)
	}
}

// drained is how late a notification may be when its lane was in the hands of a process that ends.
const drained = 5 * time.Second

// TestRedisRollingRestart stops and replaces one of two processes after the other under traffic.
func TestRedisRollingRestart(t *testing.T) {
	t.Parallel()
	all := crowd(10, 0)
	maps.Copy(all, shops())
	for _, id := range []string{"crowded1", "crowded2", "crowded3"} { // something waits most of the time
		all[id] = &merchant{acksFrom: 1, takes: 150 * time.Millisecond, schedule: quick, inflight: 1}
	}
	r := newRedisRig(t, redis.Start(t).URL(), all)
	nodes := []*process{r.start(""), r.start("")}
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 150)
	time.Sleep(time.Second)
	for i := range nodes {
		nodes[i].stop()
		nodes[i] = r.start("")
		time.Sleep(500 * time.Millisecond)
	}
	stop()
	producers.Wait()
	report := r.finish()
	r.wantLoad(report, 150)
	r.wantNoDuplicates(report)
	r.punctual(drained)
	if cut := r.takeovers(); cut > 0 {
		t.Errorf("%d attempts were cut off by stops that had time", cut)
	}
}
