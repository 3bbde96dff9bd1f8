package storetest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"paynotify/store"
)

// memory is the reference Store: the plainest thing that keeps every promise, for the suite to be tested on.
// Everything is found by looking at everything, under one mutex. What is in disk survives a crash.
type memory struct {
	mu    sync.Mutex
	clock func() time.Time
	*disk
	awake map[string]time.Time // lanes, until when
	named map[string]int       // lanes, their last turn
	turn  int
	// breakers may be forgotten by a crash, and here are.
	breakers map[string]*store.Breaker
}

type disk struct {
	records   map[string]*record // by notify_id
	keys      map[[2]string]string
	merchants map[string]store.Merchant
	rates     map[string]bucket
	retryTurn map[string]int // claims of a lane since the last retry
	settled   []store.Settled
	switched  store.Sending
	apiKeys   map[string]store.APIKey
	log       []store.AuditEntry
	marks     map[string]string
	token     uint64
	last      time.Time // the latest CreatedAt
}

type record struct {
	store.Notification

	attempts []store.Attempt
	claim    *store.Claim // the live one
	finalAt  time.Time
	damaged  bool
}

type bucket struct {
	tokens float64
	at     time.Time
}

var _ store.Store = (*memory)(nil)

func newDisk() *disk {
	return &disk{
		records: map[string]*record{}, keys: map[[2]string]string{}, merchants: map[string]store.Merchant{},
		rates: map[string]bucket{}, retryTurn: map[string]int{}, apiKeys: map[string]store.APIKey{},
		marks: map[string]string{},
	}
}

// openMemory opens a disk. Like every store that one process owns it knows that all claims are dead.
func openMemory(d *disk, clock func() time.Time) *memory {
	m := &memory{
		clock: clock, disk: d, awake: map[string]time.Time{}, named: map[string]int{},
		breakers: map[string]*store.Breaker{},
	}
	for _, r := range m.sorted() {
		if r.claim != nil {
			m.interrupt(r, m.now())
		}
	}
	return m
}

// now never falls behind a CreatedAt, which is kept unique by microseconds.
func (m *memory) now() time.Time {
	if now := m.clock().Truncate(time.Microsecond); now.After(m.last) {
		return now
	}
	return m.last
}

func (m *memory) sorted() []*record {
	return slices.SortedFunc(maps.Values(m.records), func(a, b *record) int {
		return cmp.Compare(a.NotifyID, b.NotifyID)
	})
}

func (m *memory) Accept(
	_ context.Context, items []store.Incoming, lease time.Duration,
) ([]store.Accepted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]store.Accepted, len(items))
	for i, in := range items {
		out[i] = m.acceptOne(in, lease)
	}
	return out, nil
}

func (m *memory) acceptOne(in store.Incoming, lease time.Duration) store.Accepted {
	if _, ok := m.merchants[in.MchID]; !ok {
		return store.Accepted{Status: store.NoMerchant}
	}
	key := [2]string{in.MchID, in.IdempotencyKey}
	if first, ok := m.records[m.keys[key]]; ok {
		a := store.Accepted{Status: store.Replayed, NotifyID: first.NotifyID, CreatedAt: first.CreatedAt}
		if !bytes.Equal(first.ContentDigest, in.ContentDigest) {
			a.Status = store.Conflict
		}
		return a
	}
	at := m.now()
	if !at.After(m.last) {
		at = m.last.Add(time.Microsecond)
	}
	m.last = at
	backlog := in.Want && len(m.due(in.MchID)) > 0
	r := &record{Notification: in.Notification}
	r.Accept(store.NewID(at, 0), at)
	m.records[r.NotifyID] = r
	if in.IdempotencyKey != "" {
		m.keys[key] = r.NotifyID
	}
	a := store.Accepted{NotifyID: r.NotifyID, CreatedAt: at}
	if in.Want && !backlog && m.allows(in.MchID) == store.LaneMore &&
		m.breaker(in.MchID).May(m.live(in.MchID), m.cap(in.MchID), m.now().UnixMicro()) {
		c := m.give(r, lease)
		a.Claim = &c
	}
	return a
}

// due are the due notifications of a lane, in lane order.
func (m *memory) due(lane string) []*record {
	var out []*record
	for _, r := range m.sorted() {
		at, _ := r.Due()
		if r.MchID == lane && !at.IsZero() && !at.After(m.now()) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *record) int {
		atA, classA := a.Due()
		atB, classB := b.Due()
		return cmp.Or(cmp.Compare(classA, classB), atA.Compare(atB))
	})
	return out
}

// allows says whether a lane may start one more, or why not.
func (m *memory) allows(lane string) store.LaneStatus {
	mch, ok := m.merchants[lane]
	switch {
	case !ok || m.switched.Paused || !mch.Open(m.now()):
		return store.LaneHeld
	case m.live(lane) >= m.cap(lane):
		return store.LaneCapped
	case mch.RatePerSecond > 0 && m.tokens(mch) < 1:
		return store.LaneRated
	}
	return store.LaneMore
}

func (m *memory) live(lane string) (live int) {
	for _, r := range m.records {
		if r.MchID == lane && r.claim != nil {
			live++
		}
	}
	return live
}

func (m *memory) cap(lane string) int {
	return cmp.Or(m.merchants[lane].MaxInflight, MaxInflightDefault)
}

func (m *memory) tokens(mch store.Merchant) float64 {
	b, ok := m.rates[mch.MchID]
	if !ok {
		return store.RateBurst(mch.RatePerSecond)
	}
	return min(store.RateBurst(mch.RatePerSecond), b.tokens+mch.RatePerSecond*m.now().Sub(b.at).Seconds())
}

func (m *memory) give(r *record, lease time.Duration) store.Claim {
	mch := m.merchants[r.MchID]
	m.rates[r.MchID] = bucket{tokens: m.tokens(mch) - 1, at: m.now()}
	m.token++
	c := r.Claimed(m.token, mch.Revision, m.now(), lease)
	r.claim = &c
	return c
}

func (m *memory) Now() time.Time { return m.now() }

func (m *memory) Claim(_ context.Context, lane string, limit int, lease time.Duration) (store.Claims, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := store.Claims{Lane: store.LaneHeld}
	due := m.due(lane)
	for {
		out.Lane = m.allows(lane)
		if out.Lane == store.LaneMore && len(due) == 0 {
			out.Lane = store.LaneIdle
			m.breaker(lane).Rest()
		}
		if out.Lane != store.LaneMore {
			delete(m.awake, lane)
			if at, ok := m.wakeAt(lane); ok {
				out.Next = at
			}
			return out, nil
		}
		if len(out.Items) == limit {
			m.awake[lane] = m.now().Add(store.AwakeLeaseMax)
			return out, nil
		}
		i := m.next(lane, due)
		if i < 0 {
			out.Lane = store.LaneTight
			delete(m.awake, lane)
			if at, ok := m.wakeAt(lane); ok {
				out.Next = at
			}
			return out, nil
		}
		r := due[i]
		due = slices.Delete(due, i, i+1)
		if r.damaged {
			r.Quarantine()
			r.finalAt = m.now()
			out.Quarantined = append(out.Quarantined, r.NotifyID)
			continue
		}
		m.retryTurn[lane]++
		if isRetry(r) {
			m.retryTurn[lane] = 0
		}
		out.Items = append(out.Items, m.give(r, lease))
	}
}

// next is which of the due notifications goes, -1 when none may.
func (m *memory) next(lane string, due []*record) int {
	i := 0
	if m.retryTurn[lane] >= 3 {
		i = max(0, slices.IndexFunc(due, isRetry))
	}
	b, now := m.breaker(lane), m.now().UnixMicro()
	if !b.Tight() {
		return i
	}
	order := slices.Clone(due)
	order = slices.Insert(slices.Delete(order, i, i+1), 0, due[i])
	var names []string
	for _, r := range order {
		names = append(names, r.NotifyID)
	}
	chosen := b.Probe(names)
	if !b.May(m.live(lane), m.cap(lane), now) {
		chosen = slices.IndexFunc(order, func(r *record) bool {
			at, _ := r.Due()
			return b.Released(at.UnixMicro()) <= now
		})
		if chosen < 0 {
			return -1
		}
	}
	return slices.Index(due, order[chosen])
}

func (m *memory) breaker(lane string) *store.Breaker {
	if m.breakers[lane] == nil {
		m.breakers[lane] = &store.Breaker{}
	}
	return m.breakers[lane]
}

func isRetry(r *record) bool {
	_, class := r.Due()
	return class == store.ClassRetry
}

func (m *memory) Settle(_ context.Context, ss []store.Settlement) (ready []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range ss {
		r, ok := m.records[s.NotifyID]
		switch {
		case !ok:
		case r.claim != nil && r.claim.Token == s.Token:
			m.settleOne(r, s.Outcome)
		case r.SettleLate(s.Outcome):
			m.record(r, s.Outcome.Attempt)
			m.breaker(r.MchID).Judge(r.NotifyID, &s.Outcome.Attempt, m.now().UnixMicro())
		}
	}
	for _, s := range ss {
		if at, ok := m.wakeAt(s.MchID); ok && !at.After(m.now()) {
			m.awake[s.MchID] = m.now().Add(store.AwakeLeaseMax)
			ready = append(ready, s.MchID)
		}
	}
	return ready, nil
}

func (m *memory) settleOne(r *record, o store.Outcome) {
	revision := r.claim.MerchantRevision
	r.claim = nil
	r.Notification.Settle(o)
	if o.Stale != nil {
		m.record(r, *o.Stale)
	}
	m.record(r, o.Attempt)
	m.breaker(r.MchID).Judge(r.NotifyID, &o.Attempt, m.now().UnixMicro())
	if mch := m.merchants[r.MchID]; o.Hold && r.NotifyURL == "" && mch.Revision == revision {
		mch.Blocked = true
		mch.Revision++
		m.merchants[r.MchID] = mch
	}
}

// record keeps an attempt of a notification that has changed state already.
func (m *memory) record(r *record, a store.Attempt) {
	a.N = len(r.attempts) + 1
	r.attempts = append(r.attempts, a)
	m.settled = append(m.settled, store.Settled{
		Attempt: a, NotifyID: r.NotifyID, MchID: r.MchID, OutTradeNo: r.OutTradeNo,
		NotifyType: r.NotifyType, State: r.State, NextAt: r.NextAt, Sends: r.Sends(),
	})
	if r.State.Final() && r.finalAt.IsZero() {
		r.finalAt = m.now()
	}
}

func (m *memory) interrupt(r *record, now time.Time) {
	m.settleOne(r, r.claim.Interrupt(now, "its process died or froze"))
}

func (m *memory) Wakes(_ context.Context, limit int) (store.Wakes, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := store.Wakes{Now: m.now()}
	next := func(at time.Time) {
		if w.Next.IsZero() || at.Before(w.Next) {
			w.Next = at
		}
	}
	for _, r := range m.sorted() {
		switch {
		case r.claim != nil && !w.Now.Before(r.claim.LeaseUntil):
			m.interrupt(r, w.Now)
			w.Recovered++
		case r.claim != nil:
			next(r.claim.LeaseUntil)
		}
	}
	lanes := slices.SortedFunc(maps.Keys(m.merchants), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.named[a], m.named[b]), cmp.Compare(a, b))
	})
	for _, lane := range lanes {
		at, ok := m.wakeAt(lane)
		switch {
		case !ok:
		case at.After(w.Now) || len(w.Lanes) == limit:
			next(at)
		default:
			if !m.awake[lane].IsZero() {
				w.Lost++
			}
			m.turn++
			m.named[lane] = m.turn
			m.awake[lane] = w.Now.Add(store.AwakeLeaseMax)
			w.Lanes = append(w.Lanes, lane)
			next(m.awake[lane])
		}
	}
	return w, nil
}

// wakeAt is when a lane wants to be woken, if nothing else happens.
func (m *memory) wakeAt(lane string) (time.Time, bool) {
	mch := m.merchants[lane]
	at := time.Time{}
	for _, r := range m.records {
		due, _ := r.Due()
		if r.MchID == lane && !due.IsZero() && (at.IsZero() || due.Before(at)) {
			at = due
		}
	}
	later := func(t time.Time) {
		if t.After(at) {
			at = t
		}
	}
	if at.IsZero() || m.switched.Paused || mch.Blocked || mch.Paused && mch.PausedUntil.IsZero() {
		return at, false
	}
	if mch.Paused {
		later(mch.PausedUntil)
	}
	if b := m.breaker(lane); b.Tight() {
		later(time.UnixMicro(b.Next(at.UnixMicro(), m.live(lane), m.cap(lane))))
	}
	later(m.awake[lane])
	switch m.allows(lane) {
	case store.LaneCapped:
		return at, false
	case store.LaneRated:
		missing := (1 - m.tokens(mch)) / mch.RatePerSecond
		later(m.now().Add(time.Duration(missing*float64(time.Second)) + time.Microsecond))
	}
	return at, true
}
