package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// throughput interleaves the bare loop, single-item ingest and batch ingest.
func (b *bench) throughput() error {
	e, err := b.engine("throughput")
	if err != nil {
		return err
	}
	mchs, err := b.merchants(e, "m", 10, "/ok", nil)
	if err != nil {
		return err
	}
	if _, err := b.measure(e, mchs, 1, b.messages/10); err != nil { // warm up
		return err
	}
	var bare, single, batch, cpu, singleRatio, batchRatio []float64
	for range b.rounds {
		base, err := b.bare(b.messages)
		if err != nil {
			return err
		}
		one, err := b.measure(e, mchs, 1, b.messages)
		if err != nil {
			return err
		}
		many, err := b.measure(e, mchs, 100, b.messages)
		if err != nil {
			return err
		}
		bare, single, batch = append(bare, base), append(single, one.perSecond), append(batch, many.perSecond)
		cpu = append(cpu, microseconds(one.cpuEach))
		singleRatio = append(singleRatio, one.perSecond/base)
		batchRatio = append(batchRatio, many.perSecond/base)
	}
	const s = "throughput"
	b.say(s, "bare loop", median(bare), "/s", "signs MD5 and POSTs, keeps nothing")
	b.say(s, "delivered, one item a request", median(single), "/s", "durable, acknowledged")
	b.say(s, "delivered, 100 items a request", median(batch), "/s", "")
	b.say(s, "one item / bare", median(singleRatio), "", "wanted ≥ 0.27")
	b.say(s, "100 items / bare", median(batchRatio), "", "wanted ≥ 0.40")
	b.say(s, "CPU of the engine, one item", median(cpu), "µs", "wanted ≤ 140")
	return e.stop()
}

// merchantCounts compares 1 merchant with 100.
func (b *bench) merchantCounts() error {
	e, err := b.engine("merchants")
	if err != nil {
		return err
	}
	one, err := b.merchants(e, "one", 1, "/ok", nil)
	if err != nil {
		return err
	}
	hundred, err := b.merchants(e, "of100n", 100, "/ok", nil)
	if err != nil {
		return err
	}
	ratio, err := b.compare(e, one, e, hundred)
	if err != nil {
		return err
	}
	b.say("merchants", "100 merchants / 1 merchant", ratio, "", "wanted 0.85–1.15")
	return e.stop()
}

// compare interleaves two loads and returns the median of second / first.
func (b *bench) compare(e1 *benchEngine, first []string, e2 *benchEngine, second []string) (float64, error) {
	var ratios []float64
	for range b.rounds {
		x, err := b.measure(e1, first, 1, b.messages)
		if err != nil {
			return 0, err
		}
		y, err := b.measure(e2, second, 1, b.messages)
		if err != nil {
			return 0, err
		}
		ratios = append(ratios, y.perSecond/x.perSecond)
	}
	return median(ratios), nil
}

// rsa compares the CPU of a notification signed with RSA2 with that of one signed with MD5.
func (b *bench) rsa() error {
	e, err := b.engine("rsa")
	if err != nil {
		return err
	}
	plain, err := b.merchants(e, "md", 10, "/ok", nil)
	if err != nil {
		return err
	}
	signed, err := b.merchants(e, "rsa", 10, "/ok", map[string]any{
		"profile": "alipay", "key": map[string]any{}, "app_id": "2014072300007148",
	})
	if err != nil {
		return err
	}
	signature, err := timeRSA()
	if err != nil {
		return err
	}
	var over []float64
	for range b.rounds {
		if _, err := b.measure(e, plain, 1, b.messages/10); err != nil {
			return err
		}
		r, err := b.measure(e, signed, 1, b.messages/10)
		if err != nil {
			return err
		}
		over = append(over, microseconds(r.cpuEach-signature))
	}
	b.say("rsa", "one RSA-2048 signature", microseconds(signature), "µs", "measured alone")
	b.say("rsa", "CPU of the engine beyond it", median(over), "µs", "wanted ≤ 140")
	return e.stop()
}

// latency sends at 50/s.
func (b *bench) latency() error {
	e, err := b.engine("latency")
	if err != nil {
		return err
	}
	mchs, err := b.merchants(e, "m", 10, "/ok", nil)
	if err != nil {
		return err
	}
	if _, err := b.measure(e, mchs, 1, 500); err != nil { // warm up
		return err
	}
	delays, _, err := b.paced(e, mchs, 50, 20*time.Second, 0)
	if err != nil {
		return err
	}
	const s = "latency"
	b.say(s, "accept to receive at 50/s, p50", milliseconds(percentile(delays, 50)), "ms", "wanted ≤ 1")
	b.say(s, "accept to receive at 50/s, p99", milliseconds(percentile(delays, 99)), "ms", "wanted ≤ 5")
	return e.stop()
}

// paced sends at a rate for a while and returns the delays that the receiver saw.
func (b *bench) paced(
	e *benchEngine, mchs []string, perSecond float64, lasts, wait time.Duration,
) (first, second []time.Duration, err error) {
	n := int64(perSecond * lasts.Seconds())
	b.receiver.observe(true, wait)
	defer b.receiver.observe(false, 0)
	load := &benchLoad{addr: e.addr, path: "/v1/notifications", batch: 1, mchs: mchs}
	had := b.receiver.received.Load()
	if err := load.run(n, 16, perSecond); err != nil {
		return nil, nil, err
	}
	posts := n
	if wait > 0 {
		posts *= 2
	}
	if got := b.receiver.await(had, posts, wait+30*time.Second); got < posts {
		return nil, nil, fmt.Errorf("%d of %d POSTs came", got, posts)
	}
	first, second = b.receiver.delays()
	return first, second, nil
}

// backlog compares an engine with many pending notifications in its store with an empty one.
func (b *bench) backlog() error {
	full, err := b.engine("full")
	if err != nil {
		return err
	}
	waiting, err := b.merchants(full, "waiting", 100, "/ok", map[string]any{"max_inflight": 1000})
	if err != nil {
		return err
	}
	mchs, err := b.merchants(full, "m", 10, "/ok", nil)
	if err != nil {
		return err
	}
	if err := full.stop(); err != nil {
		return err
	}
	if err := prefill(b.ctx, filepath.Join(b.dir, "full", "bench.db"), waiting, b.pending); err != nil {
		return err
	}
	if full, err = b.engine("full"); err != nil {
		return err
	}
	empty, err := b.engine("empty")
	if err != nil {
		return err
	}
	if _, err := b.merchants(empty, "m", 10, "/ok", nil); err != nil {
		return err
	}
	ratio, err := b.compare(empty, mchs, full, mchs)
	if err != nil {
		return err
	}
	rss, err := full.rss()
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%d pending; wanted ≥ 0.9", b.pending)
	b.say("backlog", "rate with pending / empty", ratio, "", note)
	b.say("backlog", "resident memory", float64(rss)/(1<<20), "MB", "wanted ≤ 250")
	if err := full.stop(); err != nil {
		return err
	}
	return empty.stop()
}

// prefill puts pending notifications, refused once and waiting for their second send in 15 hours, into a
// store that nobody serves.
func prefill(ctx context.Context, path string, mchs []string, n int64) error {
	s, err := sqlitestore.Open(ctx, sqlitestore.Options{Path: path})
	if err != nil {
		return err
	}
	const each = 1000
	for done := int64(0); done < n; done += each {
		items := make([]store.Incoming, min(each, n-done))
		for i := range items {
			items[i] = store.Incoming{Want: true, Notification: store.Notification{
				MchID: mchs[int(done/each)%len(mchs)], Profile: "alipay_mapi", NotifyType: "trade_status_sync",
				OutTradeNo: orderNo(done + int64(i)), Params: []byte(benchParams), Schedule: "15h,15h",
			}}
		}
		answers, err := s.Accept(ctx, items, time.Minute)
		if err != nil {
			return err
		}
		settle := make([]store.Settlement, 0, len(answers))
		for _, a := range answers {
			if a.Claim == nil {
				return fmt.Errorf("prefill: %s was not claimed", a.NotifyID)
			}
			settle = append(settle, store.Settlement{
				NotifyID: a.NotifyID, MchID: a.Claim.MchID, Token: a.Claim.Token, Outcome: store.Outcome{
					Attempt: store.Attempt{
						Send: 1, Charged: true, Trigger: store.First, ScheduledAt: a.CreatedAt, StartedAt: a.CreatedAt,
						Verdict: store.Refused, Reason: store.AckMismatch, Status: 200, Reply: []byte("fail"),
					},
					State: store.Pending, NextAt: a.CreatedAt.Add(15 * time.Hour),
					PlannedAt: a.CreatedAt.Add(15 * time.Hour),
				},
			})
		}
		if _, err := s.Settle(ctx, settle); err != nil {
			return err
		}
	}
	return s.Close()
}

// retries sends to merchants that acknowledge the second send only.
func (b *bench) retries() error {
	e, err := b.engine("retries")
	if err != nil {
		return err
	}
	mchs, err := b.merchants(e, "m", 10, "/ok", nil)
	if err != nil {
		return err
	}
	const wait = 3 * time.Second
	again, err := b.merchants(e, "twice", 20, "/twice", map[string]any{"schedule": wait.String()})
	if err != nil {
		return err
	}
	full, err := b.measure(e, mchs, 1, b.messages)
	if err != nil {
		return err
	}
	half := full.perSecond / 2 // sends per second; every notification is sent twice
	_, late, err := b.paced(e, again, half/2, 10*time.Second, wait)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%.0f sends/s, half of %.0f", half, full.perSecond)
	b.say("retries", "retry starts late by, p50", milliseconds(percentile(late, 50)), "ms", note)
	b.say("retries", "retry starts late by, p99", milliseconds(percentile(late, 99)), "ms", "wanted ≤ 100")
	return e.stop()
}

// isolation compares healthy merchants alone with the same beside merchants that hang.
func (b *bench) isolation() error {
	e, err := b.engine("isolation")
	if err != nil {
		return err
	}
	healthy, err := b.merchants(e, "m", 100, "/ok", map[string]any{"max_inflight": 16})
	if err != nil {
		return err
	}
	if _, err := b.measure(e, healthy, 1, b.messages/10); err != nil {
		return err
	}
	const rate, lasts = 500, 10 * time.Second
	for _, c := range []struct {
		name       string
		bad        int
		each       int64
		beforehand string
	}{
		{"one hanging merchant with 20,000 due", 1, 20000, "hang-one"},
		{"20 hanging merchants with 1,000 due", 20, 1000, "hang-many"},
	} {
		alone, _, err := b.paced(e, healthy, rate, lasts, 0)
		if err != nil {
			return err
		}
		bad, err := b.merchants(e, c.beforehand, c.bad, "/hang", map[string]any{"max_inflight": 16})
		if err != nil {
			return err
		}
		load := &benchLoad{addr: e.addr, path: "/v1/notifications/batch", batch: 500, mchs: bad}
		if err := load.run(c.each*int64(c.bad), 2, 0); err != nil {
			return err
		}
		beside, _, err := b.paced(e, healthy, rate, lasts, 0)
		if err != nil {
			return err
		}
		before, after := percentile(alone, 99), percentile(beside, 99)
		allowed := max(before/5, 3*time.Millisecond)
		b.say("isolation", c.name, milliseconds(after-before), "ms",
			fmt.Sprintf("p99 %.2f → %.2f ms; wanted ≤ %.2f more", milliseconds(before), milliseconds(after),
				milliseconds(allowed)))
	}
	return e.stop()
}
