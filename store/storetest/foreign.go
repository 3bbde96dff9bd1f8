package storetest

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"paynotify/store"
)

// Foreign makes notifications that another store accepted, n of each of the merchants, in every state and in
// the order of their notify_ids: crowded into a few microseconds shortly before the given instant, of random
// shards, with attempts and keys. The same seed makes the same ones, but for the notify_ids.
func Foreign(seed uint64, merchants []string, n int, before time.Time) []store.Moved {
	rng := rand.New(rand.NewPCG(seed, 11)) //nolint:gosec // a test's
	before = before.Add(-time.Hour).Truncate(time.Microsecond)
	var out []store.Moved
	for _, mch := range merchants {
		for i := range n {
			at := before.Add(time.Duration(rng.IntN(n)) * time.Microsecond / 3).Truncate(time.Microsecond)
			out = append(out, foreign(rng, mch, i, at))
		}
	}
	slices.SortFunc(out, func(a, b store.Moved) int { return cmp.Compare(a.NotifyID, b.NotifyID) })
	return out
}

func foreign(rng *rand.Rand, mch string, i int, at time.Time) store.Moved {
	n := incoming(mch).Notification
	n.NotifyType = "trade_status_sync"
	n.OutTradeNo = fmt.Sprintf("no-%d", rng.IntN(20))
	if rng.IntN(2) == 0 {
		n.IdempotencyKey, n.ContentDigest = fmt.Sprintf("key-%d", i), bytes.Repeat([]byte("d"), 1+i%32)
	}
	n.Accept(store.NewID(at, rng.IntN(36)), at)
	m := store.Moved{Notification: n, Attempts: []store.MovedAttempt{}}
	settle := func(v store.Verdict, r store.Reason, state store.State, charged bool) {
		c := m.Claimed(1, 1, at.Add(time.Duration(1+len(m.Attempts))*time.Second+123), time.Minute)
		o := store.Outcome{Attempt: attempt(c, v, r, charged), State: state}
		o.Attempt.Detail, o.Attempt.Status, o.Attempt.Reply = "detail", 500, []byte{0xff, 0, 'x'}
		o.Attempt.RemoteAddr, o.Attempt.RequestSHA256 = "192.0.2.1:443", fmt.Sprintf("%064x", i)
		o.Attempt.Phases = store.Phases{DNS: 1, Connect: 2, TLS: 3, FirstByte: 4, Body: 5}
		if i%2 == 0 {
			o.Attempt.TLS = &store.TLSInfo{
				Version: "TLS 1.2", Subject: "CN=" + mch, NotAfter: at.Add(time.Hour).UTC().Truncate(time.Second),
			}
		}
		if state == store.Pending {
			o.NextAt = at.Add(time.Duration(rng.IntN(3000))*time.Second + 7)
			o.PlannedAt = o.NextAt.Add(-time.Second)
		}
		if !charged {
			o.Streak = c.Streak.Grow(r, c.ClaimedAt)
		}
		m.Settle(o)
		o.Attempt.N = m.AttemptCount
		m.Attempts = append(m.Attempts, store.MovedAttempt{Attempt: o.Attempt, State: m.State, NextAt: m.NextAt})
		if m.State.Final() {
			m.FinalAt = o.Attempt.StartedAt.Add(time.Second)
		}
	}
	switch rng.IntN(10) {
	case 0, 1: // newborn
	case 2:
		settle(store.Refused, store.AckHTML, store.Pending, true)
	case 3:
		settle(store.Refused, store.AckHTML, store.Pending, true)
		settle(store.DNSError, store.DNSFailure, store.Pending, false)
	case 4:
		settle(store.Refused, store.AckHTML, store.Pending, true)
		settle(store.Acked, store.AckExact, store.Pending, true)
	case 5:
		settle(store.Acked, store.AckExact, store.Pending, true)
		m.Shrunk, m.Params, m.Attempts = true, nil, []store.MovedAttempt{}
	case 6:
		settle(store.Timeout, store.TimeoutHeaders, store.Exhausted, true)
	case 7:
		settle(store.InternalError, store.Internal, store.Quarantined, false)
		_ = m.AskResend(store.Replay, true, at.Add(time.Minute)) // never fails here
	case 8:
		_ = m.Cancel() // likewise
		m.FinalAt = at.Add(time.Second)
	case 9:
		m.NotifyURL, m.Blocked = "https://own.example/", true
	}
	return m
}
