package storetest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"paynotify/store"
)

func (m *memory) Get(_ context.Context, notifyID string) (store.Notification, []store.Attempt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[notifyID]
	if !ok {
		return store.Notification{}, nil, store.ErrNotFound
	}
	return r.Notification, slices.Clone(r.attempts), nil
}

func (m *memory) ByKey(_ context.Context, mchID, key string) (store.Notification, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if key != "" && r.MchID == mchID && r.IdempotencyKey == key {
			return r.Notification, nil
		}
	}
	return store.Notification{}, store.ErrNotFound
}

func (m *memory) List(_ context.Context, q store.Query) ([]store.Notification, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, _, err := store.ParseID(q.Cursor); err != nil && q.Cursor != "" {
		return nil, "", store.ErrBadCursor
	}
	var page []store.Notification
	for _, r := range slices.Backward(m.sorted()) {
		switch {
		case q.Cursor != "" && r.NotifyID >= q.Cursor:
		case !matches(q, r.Notification, m.held(r)):
		case len(page) == q.Limit:
			return page, page[len(page)-1].NotifyID, nil
		default:
			page = append(page, r.Notification)
		}
	}
	return page, "", nil
}

func (m *memory) Count(ctx context.Context, q store.Query, most int) (store.Counts, error) {
	return surveyor{m}.Count(ctx, q, most)
}

func (m *memory) Sample(ctx context.Context, q store.Query, most int) ([]store.Notification, error) {
	return surveyor{m}.Sample(ctx, q, most)
}

func (m *memory) Oldest(ctx context.Context, q store.Query) (time.Time, error) {
	return surveyor{m}.Oldest(ctx, q)
}

func (m *memory) Outlook(
	ctx context.Context, mchID string, from time.Time, step time.Duration, steps int,
) (store.Outlook, error) {
	return surveyor{m}.Outlook(ctx, mchID, from, step, steps)
}

func (m *memory) held(r *record) string {
	return held(r.Notification, m.shown(r.MchID), m.switched, m.now())
}

func (m *memory) Attempts(_ context.Context, after string, limit int) ([]store.Settled, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if after == "" {
		return nil, strconv.Itoa(len(m.settled)), nil
	}
	from, err := strconv.Atoi(after)
	if err != nil || from < 0 || from > len(m.settled) {
		return nil, "", store.ErrBadCursor
	}
	to := min(len(m.settled), from+limit)
	return slices.Clone(m.settled[from:to]), strconv.Itoa(to), nil
}

// change lets f change a notification.
func (m *memory) change(notifyID string, f func(r *record) error) (store.Notification, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[notifyID]
	if !ok {
		return store.Notification{}, store.ErrNotFound
	}
	if err := f(r); err != nil {
		return store.Notification{}, err
	}
	if r.State.Final() && r.finalAt.IsZero() {
		r.finalAt = m.now()
	}
	return r.Notification, nil
}

func (m *memory) Resend(
	_ context.Context, id string, t store.Trigger, force bool,
) (store.Notification, error) {
	return m.change(id, func(r *record) error {
		if _, ok := m.merchants[r.MchID]; !ok {
			return store.ErrNoMerchant
		}
		return r.AskResend(t, force, m.now())
	})
}

func (m *memory) Cancel(_ context.Context, notifyID string) (store.Notification, error) {
	return m.change(notifyID, func(r *record) error { return r.Notification.Cancel() })
}

func (m *memory) Stats(context.Context) (store.Stats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := store.Stats{States: map[store.State]int{}, PendingBySend: map[int]int{}}
	for _, r := range m.records {
		s.States[r.State]++
		if r.State == store.Pending {
			s.PendingBySend[r.Notification.Send()]++
		}
		if r.claim != nil {
			s.InFlight++
		}
		mch := m.shown(r.MchID)
		at, _ := r.Due()
		switch {
		case m.held(r) != "":
			s.Held++
		case at.IsZero() || at.After(m.now()) || m.switched.Paused || mch.HeldReason(m.now()) != "":
		default:
			s.Due++
			if s.OldestDue.IsZero() || at.Before(s.OldestDue) {
				s.OldestDue = at
			}
		}
	}
	for id, mch := range m.merchants {
		if mch.PausedAt(m.now()) {
			s.Merchants.Paused++
		} else if m.shown(id).BreakerOpen && !mch.Blocked {
			s.Merchants.BreakerOpen++
		} else {
			s.Merchants.Active++
		}
	}
	return s, nil
}

func (m *memory) Prune(_ context.Context, spentBefore, othersBefore time.Time, limit int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pruned := 0
	for _, r := range m.sorted() {
		before := othersBefore
		if r.State == store.Spent {
			before = spentBefore
		}
		if pruned < limit && r.State.Final() && r.finalAt.Before(before) {
			delete(m.records, r.NotifyID)
			pruned++
		}
	}
	return pruned, nil
}

func (m *memory) CreateMerchant(_ context.Context, mch store.Merchant) (store.Merchant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.merchants[mch.MchID]; ok {
		return store.Merchant{}, store.ErrExists
	}
	mch.CreatedAt, mch.Revision = m.now(), 1
	m.merchants[mch.MchID] = mch
	return mch, nil
}

func (m *memory) UpdateMerchant(
	_ context.Context, mchID string, change func(*store.Merchant) error,
) (store.Merchant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.merchants[mchID]
	if !ok {
		return store.Merchant{}, store.ErrNoMerchant
	}
	was := m.shown(mchID)
	mch := was
	if err := change(&mch); err != nil {
		return store.Merchant{}, err
	}
	if store.ClosesBreaker(&was, &mch) {
		delete(m.breakers, mchID)
	}
	mch.MchID, mch.CreatedAt, mch.Revision = mchID, old.CreatedAt, old.Revision+1
	m.merchants[mchID] = mch
	return m.shown(mchID), nil
}

func (m *memory) Merchant(_ context.Context, mchID string) (store.Merchant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.merchants[mchID]; !ok {
		return store.Merchant{}, store.ErrNoMerchant
	}
	return m.shown(mchID), nil
}

// shown is a merchant as readers see it.
func (m *memory) shown(mchID string) store.Merchant {
	mch := m.merchants[mchID]
	mch.BreakerOpen = m.breaker(mchID).Open
	return mch
}

func (m *memory) Merchants(_ context.Context, cursor string, limit int) ([]store.Merchant, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page []store.Merchant
	for _, mchID := range slices.Sorted(maps.Keys(m.merchants)) {
		switch {
		case mchID <= cursor:
		case len(page) == limit:
			return page, page[len(page)-1].MchID, nil
		default:
			page = append(page, m.shown(mchID))
		}
	}
	return page, "", nil
}

func (m *memory) DeleteMerchant(_ context.Context, mchID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.merchants[mchID]; !ok {
		return store.ErrNoMerchant
	}
	for _, r := range m.records {
		if r.MchID == mchID && (r.State == store.Pending || r.Notification.Resend != "" || r.claim != nil) {
			return store.ErrHasPending
		}
	}
	delete(m.merchants, mchID)
	delete(m.breakers, mchID)
	return nil
}

func (m *memory) Sending(context.Context) (store.Sending, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.switched, nil
}

func (m *memory) SetSending(_ context.Context, s store.Sending) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Since = m.now()
	m.switched = s
	return nil
}

func (m *memory) Health(context.Context) store.Health { return store.Health{} }

func (m *memory) Close() error { return nil }
