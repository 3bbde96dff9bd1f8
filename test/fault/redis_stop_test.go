package fault

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/test/redis"
)

// TestRedisDrain: SIGTERM while merchants think for a while. All that is in flight finishes.
func TestRedisDrain(t *testing.T) {
	t.Parallel()
	r := newRedisRig(t, redis.Start(t).URL(), crowd(5, 1500*time.Millisecond))
	r.set("dispatcher.timeout", "5s")
	p := r.start("")
	r.register()
	const sends = 20
	r.produceEach(sends)
	await(t, busy+sendMax, "all are on their way", func() bool { return len(r.posts(time.Time{})) == sends })
	p.stop()
	r.start("")
	report := r.finish()
	r.wantNoDuplicates(report)
	if cut := r.takeovers(); cut > 0 {
		t.Errorf("%d attempts were cut off, want them finished", cut)
	}
}

// produceEach accepts n, of the merchants in turn.
func (r *rig) produceEach(n int) {
	for i := 0; i < n; {
		for mch := range r.merchants {
			if i++; i <= n {
				r.produce(context.Background(), mch, i)
			}
		}
	}
}

// TestRedisDrainLimit: SIGTERM while merchants hang, and sends may take a minute. The process ends in time
// and says what it cut off: that goes out again at once.
func TestRedisDrainLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 s")
	}
	t.Parallel()
	r := newRedisRig(t, redis.Start(t).URL(), crowd(5, time.Hour))
	r.set("dispatcher.timeout", "60s")
	p := r.start("")
	r.register()
	const sends = 20
	r.produceEach(sends)
	await(t, busy+sendMax, "all are on their way", func() bool { return len(r.posts(time.Time{})) == sends })
	took := p.stop()
	t.Logf("ended %v after SIGTERM", took)
	for _, m := range r.merchants {
		m.answersAfter(0)
	}
	r.start("")
	again := time.Now()
	report := r.finish()
	if took := time.Since(again); took > 5*time.Second {
		t.Errorf("what was cut off went out %v after the next start", took)
	}
	if report.Duplicates > sends {
		t.Errorf("%d duplicates of %d sends", report.Duplicates, sends)
	}
	for id, record := range r.h.Records {
		if n := len(record.Attempts); n != 2 || record.Attempts[0].Verdict != "interrupted" ||
			record.Attempts[1].Verdict != "acked" {
			t.Errorf("%s: %d attempts %v, want an interrupted and an acked one", id, n, record.Attempts)
		}
	}
}

// TestRedisFreeze freezes one of two processes for longer than a lease. The other one takes over. When the
// first thaws, it finds out before the dial that its claims are gone, and what it still writes changes
// nothing.
func TestRedisFreeze(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	t.Parallel()
	server := redis.Start(t)
	slow := redis.NewProxy(t, server.Addr)
	r := newRedisRig(t, slow.URL(), crowd(8, 60*time.Millisecond))
	frozen := r.start("")
	r.store = server.URL()
	healthy := r.start("")
	r.register()
	// Replies to the first process come late: at any moment there are claims that it has and does not know.
	slow.Latency(200 * time.Millisecond)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	producers := r.load(ctx, 100)
	time.Sleep(2 * time.Second)
	frozen.freeze()
	at := time.Now()
	time.Sleep(callMax + time.Second) // producers that it does not answer turn to the other process
	stop()
	producers.Wait()
	r.quiet(takeover + busy)
	t.Logf("the other process was done %v after the freeze, the lease is %v", time.Since(at), lease)
	before := len(r.posts(time.Time{}))
	time.Sleep(time.Until(at.Add(lease + time.Second)))
	frozen.thaw()
	await(t, settled, "the thawed process has found its claims gone", func() bool {
		status, _ := frozen.readyz()
		return status == http.StatusOK && frozen.metric("paynotify_inflight_attempts", "") == 0
	})
	time.Sleep(2 * sendMax) // whatever it still wanted to send would be there now
	if after := len(r.posts(time.Time{})); after > before {
		t.Errorf("%d POSTs after the thaw, all were spent", after-before)
	}
	frozen.alive()
	healthy.alive()
	report := r.finish()
	r.wantLoad(report, 50)
	cut := r.takeovers()
	if report.Duplicates > cut {
		t.Errorf("%d duplicates, %d attempts were cut off", report.Duplicates, cut)
	}
	if undialled := r.undialled(at); undialled == 0 {
		t.Error("the freeze hit no claim before its dial: nothing was tested")
	}
}

// undialled counts the claims that were cut off before their POST left, at the instant of a freeze, and
// checks that the merchant got one POST all the same. What a merchant reads long before the lease of a claim
// has run out, the frozen process had left with the kernel.
func (r *rig) undialled(at time.Time) int {
	r.t.Helper()
	before, all := make(map[string]int), make(map[string]int)
	for _, p := range r.h.Posts {
		all[p.NotifyID]++
		if p.Received.Before(at.Add(lease / 2)) {
			before[p.NotifyID]++
		}
	}
	n := 0
	for id, record := range r.h.Records {
		if before[id] > 0 || record.Attempts[0].Verdict != "interrupted" {
			continue
		}
		n++
		if all[id] > 1 {
			r.t.Errorf("%s: %d POSTs: a claim was used after its lease", id, all[id])
		}
	}
	r.t.Logf("%d claims were cut off before their dial", n)
	return n
}

// TestRedisFreezeBeforeTheDial freezes a process at the moment when it dials for the first of many claims
// that it took together. After the thaw it dials for none of the others: their leases have run out.
func TestRedisFreezeBeforeTheDial(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	t.Parallel()
	const claims = 32
	all := crowd(1, 0)
	all["m000"].inflight = claims
	all["m000"].body = strings.Repeat("0123456789", 6000) // so that it takes a while to get all of them ready
	r := newRedisRig(t, redis.Start(t).URL(), all)
	env := r.env
	r.env = append(slices.Clip(env), "GOMAXPROCS=1")
	frozen := r.start("")
	r.env = env
	r.register()
	r.must("POST", "/v1/merchants/m000/pause", nil)
	for i := range claims {
		r.produce(context.Background(), "m000", i)
	}
	stopped := make(chan time.Time, 1)
	freeze := func() {
		frozen.freeze()
		stopped <- time.Now()
	}
	r.onConn.Store(&freeze)
	r.must("POST", "/v1/merchants/m000/resume", nil)
	at := <-stopped
	r.start("")
	r.quiet(takeover + busy)
	before := len(r.posts(time.Time{}))
	time.Sleep(time.Until(at.Add(lease + time.Second)))
	frozen.thaw()
	await(t, settled, "the thawed process has found its claims gone", func() bool {
		status, _ := frozen.readyz()
		return status == http.StatusOK && frozen.metric("paynotify_inflight_attempts", "") == 0
	})
	t.Logf("%v sends were given up because of their lease", frozen.metric("paynotify_suppressed_sends_total",
		`reason="stale_lease"`)) // others by their deadline, which is earlier
	time.Sleep(2 * sendMax) // whatever it still wanted to send would be there now
	if after := len(r.posts(time.Time{})); after > before {
		t.Errorf("%d POSTs after the thaw, all were spent", after-before)
	}
	report := r.finish()
	cut, undialled := r.takeovers(), r.undialled(at)
	if undialled == 0 {
		t.Error("the freeze hit no claim before its dial: nothing was tested")
	}
	if report.Duplicates > cut-undialled {
		t.Errorf("%d duplicates, %d attempts were cut off, %d of them before the dial", report.Duplicates, cut,
			undialled)
	}
}

// must asks a living process for what cannot fail.
func (r *rig) must(method, path string, in any) {
	r.t.Helper()
	if status, err := r.call(method, path, nil, in, nil); err != nil || status/100 != 2 {
		r.t.Fatalf("%s %s: %d %v", method, path, status, err)
	}
}
