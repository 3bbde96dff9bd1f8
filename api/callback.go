package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"paynotify/store"
)

// CallbackView tells how the engine's own merchants are: whom it tells what happens.
type CallbackView struct {
	Following bool `json:"following" doc:"A process tells what happens; what is settled while none does waits"`
	Missed    int  `json:"missed" doc:"How often events were lost, as nobody had followed for too long"`

	Callback *OwnView `json:"callback" doc:"The platform; null when callback.url was never set"`
	Notices  *OwnView `json:"notices" doc:"The operators; null when notices.url was never set"`
}

// OwnView is one of them.
type OwnView struct {
	URL             string         `json:"url" doc:"Without its query"`
	State           string         `json:"state" enum:"active,paused"`
	PausedReason    *string        `json:"paused_reason"`
	HeldReason      *string        `json:"held_reason" doc:"Why nothing is sent to it now"`
	Pending         int            `json:"pending" doc:"What it was not told yet"`
	PendingMore     bool           `json:"pending_more" doc:"There are more than pending says"`
	OldestPendingAt *Time          `json:"oldest_pending_at" nullable:"true" doc:"Since when that waits"`
	LastNotifyTime  *Time          `json:"last_notify_time" nullable:"true" doc:"Of the newest that was sent"`
	LastVerdict     *store.Verdict `json:"last_verdict" doc:"Of that send"`
	LastReason      *store.Reason  `json:"last_reason"`
}

// Following is how telling others what happens stands.
type Following struct {
	Now    bool // a process does
	Missed int  // how often events were lost
}

const (
	ownCountMax    = 4 * pageMax // pending ones that are counted
	ownOldestTries = 32          // steps to the oldest of more: from 30 days to less than a millisecond
)

// Callback shows the engine's own merchants.
func (s *Service) Callback(ctx context.Context) (v CallbackView, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err = whole(ctx); err != nil {
		return v, err
	}
	if v.Callback, err = s.ownView(ctx, store.CallbackMerchant); err != nil {
		return v, fromStore(err)
	}
	if v.Notices, err = s.ownView(ctx, store.NoticesMerchant); err != nil {
		return v, fromStore(err)
	}
	if s.Following != nil {
		f, err := s.Following(ctx)
		if err != nil {
			return v, fromStore(err)
		}
		v.Following, v.Missed = f.Now, f.Missed
	}
	return v, nil
}

// ownView shows one of them; nil when it was never configured.
func (s *Service) ownView(ctx context.Context, mchID string) (*OwnView, error) {
	m, err := s.Store.Merchant(ctx, mchID)
	if errors.Is(err, store.ErrNoMerchant) {
		return nil, nil //nolint:nilnil // null is the answer
	}
	if err != nil {
		return nil, err
	}
	sending, err := s.Store.Sending(ctx)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	v := &OwnView{State: "active", HeldReason: orNil(heldReason(sending, &m, now))}
	v.URL, _, _ = strings.Cut(m.NotifyURL, "?")
	if m.PausedAt(now) {
		v.State, v.PausedReason = "paused", orNil(m.PausedReason)
	}
	newest, _, err := s.Store.List(ctx, store.Query{MchID: mchID, Limit: pageDefault})
	if err != nil {
		return nil, err
	}
	var last time.Time
	for i := range newest {
		if n := &newest[i]; n.LastAt.After(last) {
			last = n.LastAt
			v.LastNotifyTime, v.LastVerdict, v.LastReason = timeOrNil(last), orNil(n.LastVerdict), orNil(n.LastReason)
		}
	}
	return v, s.ownPending(ctx, mchID, v)
}

// ownPending counts what is owed, and finds the oldest of it.
func (s *Service) ownPending(ctx context.Context, mchID string, v *OwnView) error {
	q := store.Query{MchID: mchID, State: store.Pending, Limit: pageMax}
	var oldest time.Time
	for {
		page, next, err := s.Store.List(ctx, q)
		if err != nil {
			return err
		}
		if v.Pending += len(page); len(page) > 0 {
			oldest = page[len(page)-1].CreatedAt
		}
		q.Cursor, v.PendingMore = next, next != "" && v.Pending >= ownCountMax
		if next == "" || v.PendingMore {
			break
		}
	}
	if v.PendingMore {
		var err error
		if oldest, err = s.oldestPending(ctx, mchID, oldest); err != nil {
			return err
		}
	}
	v.OldestPendingAt = timeOrNil(oldest)
	return nil
}

// oldestPending finds the oldest pending notification of a merchant, going back from one. Lists begin with
// the newest: it asks what there is before an instant, and moves the instant.
func (s *Service) oldestPending(ctx context.Context, mchID string, oldest time.Time) (time.Time, error) {
	before := func(at time.Time) (time.Time, error) {
		page, _, err := s.Store.List(ctx, store.Query{MchID: mchID, State: store.Pending, CreatedTo: at, Limit: 1})
		if err != nil || len(page) == 0 {
			return time.Time{}, err
		}
		return page[0].CreatedAt, nil
	}
	var none time.Time // nothing is pending that was accepted before it
	for back := time.Second; ; back *= 2 {
		at, err := before(oldest.Add(-back))
		if err != nil {
			return oldest, err
		}
		if at.IsZero() {
			none = oldest.Add(-back)
			break
		}
		oldest = at
	}
	for range ownOldestTries {
		if oldest.Sub(none) < time.Millisecond {
			break
		}
		middle := none.Add(oldest.Sub(none) / 2)
		at, err := before(middle)
		switch {
		case err != nil:
			return oldest, err
		case at.IsZero():
			none = middle
		default:
			oldest = at
		}
	}
	return oldest, nil
}

// list gives a page of notifications. One that does not ask for a merchant of the engine's own leaves these
// out; where there are many of them a page may have fewer entries than its limit though there are more.
func (s *Service) list(ctx context.Context, q store.Query) (ns []store.Notification, next string, err error) {
	if q.MchID != "" {
		return s.Store.List(ctx, q)
	}
	for range ownSkipMax {
		more := q
		more.Limit -= len(ns)
		page, cursor, err := s.Store.List(ctx, more)
		if err != nil {
			return nil, "", err
		}
		for i := range page {
			if !store.Reserved(page[i].MchID) {
				ns = append(ns, page[i])
			}
		}
		if next, q.Cursor = cursor, cursor; next == "" || len(ns) >= q.Limit {
			break
		}
	}
	return ns, next, nil
}

// ownSkipMax is how many pages of the store may go into one of ours: as many again as there are of
// merchants, and some in a row where only the engine's own were accepted.
const ownSkipMax = 8
