package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"paynotify/store"
)

// backlog compares the engine with many pending notifications in its store with the same engine before they
// were there. Each figure is held against a bare loop of the same minute: they are not of the same one.
func (b *bench) backlog() error {
	e, err := b.engine("backlog")
	if err != nil {
		return err
	}
	waiting, err := b.merchants(e, "waiting", 100, "/ok", map[string]any{"max_inflight": 1000})
	if err != nil {
		return err
	}
	mchs, err := b.merchants(e, "m", 10, "/ok", nil)
	if err != nil {
		return err
	}
	empty, err := b.besideBare(e, mchs)
	if err != nil {
		return err
	}
	if err := e.stop(); err != nil {
		return err
	}
	if err := b.prefill("backlog", waiting, b.pending); err != nil {
		return err
	}
	if e, err = b.engine("backlog"); err != nil {
		return err
	}
	full, err := b.besideBare(e, mchs)
	if err != nil {
		return err
	}
	rss, err := e.rss()
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%d pending; wanted ≥ %.2f", b.pending, b.wants.pending)
	b.say("backlog", "rate with pending / empty", full/empty, "", note)
	b.say("backlog", "resident memory", float64(rss)/(1<<20), "MB", "wanted ≤ 250")
	return nil
}

// besideBare is the delivered rate, one item a request, in parts of what a bare loop makes.
func (b *bench) besideBare(e *benchEngine, mchs []string) (float64, error) {
	if _, err := b.measure(e, mchs, 1, b.messages/10); err != nil { // warm up
		return 0, err
	}
	var ratios []float64
	for range b.rounds {
		base, err := b.bare(b.messages)
		if err != nil {
			return 0, err
		}
		r, err := b.measure(e, mchs, 1, b.messages)
		if err != nil {
			return 0, err
		}
		ratios = append(ratios, r.perSecond/base)
	}
	return median(ratios), nil
}

// prefill puts pending notifications, refused once and waiting for their second send in 15 hours, into a
// store that no engine serves.
func (b *bench) prefill(name string, mchs []string, n int64) error {
	s, err := b.place.open(b.ctx, name)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(b.ctx, s, mchs, n), s.Close()); err != nil || b.redis == nil {
		return err
	}
	_, err = b.redis.memory(b.ctx) // so much written at once makes Redis rewrite its AOF: wait for the end of it
	return err
}

func fill(ctx context.Context, s store.Store, mchs []string, n int64) error {
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
	return nil
}

// burst accepts many while sending is stopped, then lets them go at one instant.
func (b *bench) burst() error {
	e, err := b.engine("burst")
	if err != nil {
		return err
	}
	mchs, err := b.merchants(e, "m", 10, "/ok", nil)
	if err != nil {
		return err
	}
	var steady, drained, ratios []float64
	for range b.rounds {
		one, err := b.measure(e, mchs, 1, b.messages)
		if err != nil {
			return err
		}
		rate, err := b.drain(e, mchs, b.due)
		if err != nil {
			return err
		}
		steady, drained = append(steady, one.perSecond), append(drained, rate)
		ratios = append(ratios, rate/one.perSecond)
	}
	const s = "burst"
	b.say(s, "steady, one item a request", median(steady), "/s", "")
	b.say(s, "drained", median(drained), "/s", fmt.Sprintf("%d due at one instant", b.due))
	b.say(s, "drained / steady", median(ratios), "", "wanted ≥ 0.8")
	return nil
}

// drain returns how many a second go out of n that are due at one instant.
func (b *bench) drain(e *benchEngine, mchs []string, n int64) (float64, error) {
	if err := e.sending(false); err != nil {
		return 0, err
	}
	load := &benchLoad{addr: e.addr, path: "/v1/notifications/batch", batch: 500, mchs: mchs}
	if err := load.run(n, benchBatchConns, 0); err != nil {
		return 0, err
	}
	had, began := b.receiver.received.Load(), time.Now()
	if err := e.sending(true); err != nil {
		return 0, err
	}
	if got := b.receiver.await(had, n, 2*time.Minute); got < n {
		return 0, fmt.Errorf("%d of %d that were due at one instant delivered", got, n)
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
