package api

import (
	"cmp"
	"context"
	"time"

	"paynotify/store"
)

// Questions of the console about many notifications. They are about what the caller may see; see
// store.Survey for what they cost.

// Outlook counts the sends that are to come, of a merchant or of all, by the step of time in which they are
// due.
func (s *Service) Outlook(
	ctx context.Context, mchID string, from time.Time, step time.Duration, steps int,
) (store.Outlook, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.mayLookAt(ctx, mchID); err != nil {
		return store.Outlook{}, err
	}
	o, err := s.Store.Outlook(ctx, cmp.Or(mchID, boundTo(ctx)), from, step, steps)
	if err != nil {
		return o, fromStore(err)
	}
	return o, nil
}

// Counts counts the notifications that match, by merchant; it may stop at most, and says so.
func (s *Service) Counts(ctx context.Context, q store.Query, most int) (store.Counts, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.mayLookAt(ctx, q.MchID); err != nil {
		return store.Counts{}, err
	}
	q.MchID = cmp.Or(q.MchID, boundTo(ctx))
	c, err := s.Store.Count(ctx, q, most)
	if err != nil {
		return c, fromStore(err)
	}
	return c, nil
}

// mayLookAt finds a merchant absent that the caller may not see; none at all is every one that it may.
func (s *Service) mayLookAt(ctx context.Context, mchID string) error {
	if mchID == "" {
		return nil
	}
	if err := ownMerchant(ctx, mchID); err != nil {
		return fromStore(err)
	}
	return nil
}
