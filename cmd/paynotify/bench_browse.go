package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"paynotify/store"
)

// browse fills a store as months of use do and measures every page of the console and every list query of the
// API on it, one after the other, from the request to the last byte.
func (b *bench) browse() error {
	e, err := b.engine("browse")
	if err != nil {
		return err
	}
	n := max(10, min(browseMerchantsMost, b.notifications/100))
	seed := &browseSeed{now: time.Now().Truncate(time.Microsecond), n: b.notifications, shrunk: b.redis != nil}
	if seed.mchs, err = b.merchants(e, "m", int(n), "/ok", nil); err != nil {
		return err
	}
	pause := "/v1/merchants/" + seed.mchs[browsePaused] + "/pause"
	if err := errors.Join(e.call(http.MethodPost, pause, nil, nil), e.stop()); err != nil {
		return err
	}
	if err := b.seed("browse", seed); err != nil {
		return err
	}
	if e, err = b.engine("browse"); err != nil {
		return err
	}
	if err := b.breakSome(e); err != nil {
		return err
	}
	return b.askAll(e, seed)
}

const (
	browseMerchantsMost = 1000
	// The first merchant has half of all notifications. The second is paused.
	browseBig, browsePaused = 0, 1

	browseBatch = 1000
	browseDays  = 28 // that the notifications are spread over; retention would delete what is older
	browseFresh = 30 // per cent of them of the last day

	browseSpread = 0x1E3779B97F4A7C15 // an odd number whose multiples lie far apart in their upper bits
)

// breakSome opens the breakers of some merchants more, by what opens them: nobody answers there.
func (b *bench) breakSome(e *benchEngine) error {
	const some = 5
	broken, err := b.merchants(e, "broken", some, "", map[string]any{
		"notify_url": "http://127.0.0.1:1/", "schedule": "15h",
	})
	if err != nil {
		return err
	}
	load := &benchLoad{
		addr: e.addr, path: "/v1/notifications/batch", batch: 2 * some * store.BreakerFailures, mchs: broken,
	}
	if err := load.run(int64(load.batch), 1, 0); err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		stats, err := e.stats()
		if err != nil || stats.Merchants.BreakerOpen == some {
			return err
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("%d of %d breakers have opened", stats.Merchants.BreakerOpen, some)
		}
	}
}

// seed puts the notifications into a store that no engine serves.
func (b *bench) seed(name string, seed *browseSeed) error {
	s, err := b.place.open(b.ctx, name)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := errors.Join(seed.fill(b, s), s.Close()); err != nil {
		return err
	}
	fmt.Fprintf(b.progress, "%d notifications of %d merchants are there after %v\n", seed.n, len(seed.mchs),
		time.Since(began).Round(time.Second))
	if b.redis != nil { // so much written at once makes Redis rewrite its AOF: wait for the end of it
		_, err = b.redis.memory(b.ctx)
	}
	return err
}

// browseSeed makes the notifications of a store that has been used for a while. It is not random: every run
// asks the same.
type browseSeed struct {
	now    time.Time
	n      int64
	mchs   []string
	shrunk bool // the store has small records of what was acknowledged more than a day ago
	domain func(mchID string) int
}

func (s *browseSeed) fill(b *bench, to store.Store) error {
	in, ok := to.(store.Mover)
	if !ok {
		return fmt.Errorf("a store of type %T takes nothing in", to)
	}
	s.domain = func(string) int { return 0 }
	if d, ok := to.(store.Divided); ok {
		s.domain = d.Domain
	}
	for done := int64(0); done < s.n; done += browseBatch {
		batch := make([]store.Moved, min(browseBatch, s.n-done))
		for i := range batch {
			batch[i] = s.item(done + int64(i))
		}
		if err := in.Import(b.ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// browseKinds are what becomes of notifications: per mille of those that are older than a day and of the
// others, after so many sends.
var browseKinds = []struct {
	old, fresh int
	state      store.State
	verdict    store.Verdict
	reason     store.Reason
	sends      int
}{
	{900, 600, store.Spent, store.Acked, store.AckExact, 1},
	{40, 60, store.Spent, store.Acked, store.AckTrimmed, 2},
	{0, 120, store.Pending, store.Refused, store.AckHTML, 1},
	{0, 40, store.Pending, store.Refused, store.AckCase, 1},
	{0, 60, store.Pending, store.HTTP5xx, store.HTTPStatus, 1},
	{0, 60, store.Pending, store.Timeout, store.TimeoutHeaders, 2},
	{0, 40, store.Pending, store.ConnectError, store.ConnRefused, 2},
	{12, 4, store.Exhausted, store.Refused, store.AckHTML, 4},
	{6, 2, store.Exhausted, store.Refused, store.AckQuoted, 4},
	{4, 1, store.Exhausted, store.Refused, store.AckMismatch, 4},
	{8, 3, store.Exhausted, store.HTTP5xx, store.HTTPStatus, 4},
	{8, 2, store.Exhausted, store.Timeout, store.TimeoutHeaders, 4},
	{7, 2, store.Exhausted, store.TLSError, store.TLSExpired, 4},
	{11, 5, store.Canceled, store.Refused, store.AckExtraText, 1},
	{4, 1, store.Quarantined, store.InternalError, store.Internal, 1},
}

// item is the i-th notification, counted from the oldest.
func (s *browseSeed) item(i int64) store.Moved {
	const day = 24 * time.Hour
	fresh := i*100 >= s.n*(100-browseFresh)
	back := day + (browseDays-1)*day/time.Duration(s.n)*time.Duration(s.n-i)
	if fresh {
		back = day * time.Duration(s.n-i) / time.Duration(s.n*browseFresh/100+1)
	}
	at := s.now.Add(-back).Truncate(time.Microsecond).UTC()
	x := (i + 1) * browseSpread >> 20 & (1<<40 - 1)
	mch := s.mchs[browseBig]
	switch {
	case fresh && x%32 == 0:
		mch = s.mchs[browsePaused]
	case x%2 == 1:
		mch = s.mchs[x>>8%int64(len(s.mchs))]
	}
	m := store.Moved{Notification: store.Notification{
		MchID: mch, Profile: "alipay_mapi", NotifyType: "trade_status_sync", OutTradeNo: orderNo(i),
		Params: []byte(benchParams), Schedule: "1h,2h,15h",
	}}
	m.Accept(store.NewID(at, s.domain(mch)), at)
	if mch != s.mchs[browsePaused] { // its own are newborn, and overdue
		s.live(&m, x, fresh)
	}
	return m
}

// live lets a newborn notification become what it is to be.
func (s *browseSeed) live(m *store.Moved, x int64, fresh bool) {
	k, rest := 0, int(x>>16%1000)
	for ; ; k++ {
		per := browseKinds[k].old
		if fresh {
			per = browseKinds[k].fresh
		}
		if rest -= per; rest < 0 {
			break
		}
	}
	kind := &browseKinds[k]
	for n := range kind.sends {
		started := m.CreatedAt.Add(time.Duration(n) * time.Second)
		c := m.Claimed(1, 1, started, time.Minute)
		o := store.Outcome{State: store.Pending, NextAt: started, PlannedAt: started, Attempt: store.Attempt{
			Send: c.Send, Charged: true, Trigger: c.Trigger, ScheduledAt: c.ScheduledAt, StartedAt: started,
			Duration: 30 * time.Millisecond, Verdict: kind.verdict, Reason: kind.reason, Status: http.StatusOK,
			Reply: []byte("<html>success</html>"),
		}}
		switch {
		case kind.verdict == store.Acked && n < kind.sends-1:
			o.Attempt.Verdict, o.Attempt.Reason = store.Refused, store.AckCase
		case kind.state == store.Pending: // none of these goes out while we look
			o.NextAt = s.now.Add(time.Hour + time.Duration(x)%(24*time.Hour)).Truncate(time.Microsecond)
			o.PlannedAt = o.NextAt
		case n == kind.sends-1 && kind.state != store.Canceled:
			o.State = kind.state
		}
		m.Settle(o)
		m.Attempts = append(m.Attempts, store.MovedAttempt{Attempt: o.Attempt, State: m.State, NextAt: m.NextAt})
	}
	switch kind.state {
	case store.Spent:
		if s.shrunk && !fresh {
			m.Shrunk, m.Params, m.Attempts = true, nil, nil
		}
	case store.Pending:
		return
	case store.Canceled:
		_ = m.Cancel() // it is pending
	}
	m.FinalAt = m.LastAt.Add(time.Second)
}
