package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// quick is Alipay's eight sends at a speed that a test can wait for.
const quick = "100ms,150ms,200ms,250ms,300ms,350ms,400ms"

// shops answer in every way that matters for a crash.
func shops() map[string]*merchant {
	return map[string]*merchant{
		"acks":     {acksFrom: 1, schedule: quick},
		"slow":     {acksFrom: 1, takes: 60 * time.Millisecond, schedule: quick},
		"third":    {acksFrom: 3, schedule: quick},
		"exhausts": {schedule: quick},
	}
}

// TestKillAtRandom kills the product 20 times at random instants under load.
func TestKillAtRandom(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills 21 processes")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t, shops())
	p := r.start("")
	r.register()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 200)
	const kills = 20
	for range kills {
		time.Sleep(time.Duration(100+random.IntN(400)) * time.Millisecond)
		p.kill()
		p = r.start("")
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	producers.Wait()
	report := r.finish()
	if report.Accepted < 100 || r.h.Kills != kills {
		t.Errorf("%d accepted, %d kills: that was no load", report.Accepted, r.h.Kills)
	}
}

// TestKillAtPoints kills the product at each named point, early and in the middle of a load.
func TestKillAtPoints(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills 16 processes")
	}
	for _, point := range []string{"claimed", "wrote_request", "read_reply", "committed"} {
		for _, nth := range []int{1, 40} {
			t.Run(fmt.Sprintf("%s:%d", point, nth), func(t *testing.T) {
				r := newRig(t, shops())
				first := r.start("")
				r.register()
				first.kill()
				p := r.start(fmt.Sprintf("%s:%d", point, nth))
				ctx, stop := context.WithCancel(context.Background())
				defer stop()
				producers := r.load(ctx, 200)
				p.died(t)
				r.start("")
				time.Sleep(200 * time.Millisecond)
				stop()
				producers.Wait()
				r.finish()
			})
		}
	}
}

// wantLastSendRepeated wants the one notification exhausted by eight charged sends, the eighth made twice.
func (r *rig) wantLastSendRepeated() {
	r.t.Helper()
	record := r.h.Records[r.h.Accepted[0].NotifyID]
	if record.State != "exhausted" || record.Count != 8 {
		r.t.Errorf("%s after %d charged sends, want exhausted after 8", record.State, record.Count)
	}
	if n := len(record.Attempts); n != 9 || record.Attempts[7].Verdict != "interrupted" {
		r.t.Errorf("%d attempts, want 9, the eighth of them interrupted", n)
	}
}

// TestKillDuringTheLastSend kills the product while its eighth send is on the wire. That send is made again:
// a crash uses up none of the eight, and skips none.
func TestKillDuringTheLastSend(t *testing.T) {
	for _, point := range []string{"claimed", "wrote_request", "read_reply"} {
		t.Run(point, func(t *testing.T) {
			r := newRig(t, map[string]*merchant{"exhausts": {schedule: quick}})
			first := r.start("")
			r.register()
			first.kill()
			p := r.start(point + ":8")
			r.produce(context.Background(), "exhausts", 1)
			p.died(t)
			r.start("")
			r.finish()
			r.wantLastSendRepeated()
			wantPosts := map[string]int{"claimed": 8, "wrote_request": 9, "read_reply": 9}[point]
			if got := len(r.h.Posts); got < wantPosts-1 || got > wantPosts {
				t.Errorf("the merchant saw %d POSTs, want %d", got, wantPosts)
			}
		})
	}
}

// TestKilledClaimsGoOutAtOnce measures how soon after the restart sends that a crash cut off are repeated.
func TestKilledClaimsGoOutAtOnce(t *testing.T) {
	r := newRig(t, map[string]*merchant{"slow": {acksFrom: 1, takes: 300 * time.Millisecond, schedule: quick}})
	p := r.start("")
	r.register()
	for i := range 10 {
		r.produce(context.Background(), "slow", i)
	}
	p.kill() // the merchant is still thinking about the first of them
	r.start("")
	r.finish()
	r.mu.Lock()
	restarted := r.up[len(r.up)-1]
	r.mu.Unlock()
	worst := time.Duration(0)
	repeats := 0
	for _, post := range r.h.Posts {
		if post.Received.After(restarted.Add(-time.Second)) && post.Received.After(r.down[0]) {
			repeats++
			worst = max(worst, post.Received.Sub(restarted))
		}
	}
	t.Logf("%d sends repeated, the last %v after the restart", repeats, worst)
	if repeats == 0 {
		t.Error("nothing was in flight at the kill")
	}
	if worst > time.Second {
		t.Errorf("a cut-off send was repeated only %v after the restart, want within a second", worst)
	}
}
