package redisstore

import (
	"context"
	"time"

	"paynotify/store"
)

// Count counts what matches; see store.Survey.
func (s *Store) Count(ctx context.Context, q store.Query, most int) (store.Counts, error) {
	return store.NaiveSurvey(s).Count(ctx, q, most)
}

// Sample returns some of what matches; see store.Survey.
func (s *Store) Sample(ctx context.Context, q store.Query, most int) ([]store.Notification, error) {
	return store.NaiveSurvey(s).Sample(ctx, q, most)
}

// Oldest is when the oldest was accepted that matches; see store.Survey.
func (s *Store) Oldest(ctx context.Context, q store.Query) (time.Time, error) {
	return store.NaiveSurvey(s).Oldest(ctx, q)
}

// Outlook counts the sends to come; see store.Survey.
func (s *Store) Outlook(
	ctx context.Context, mchID string, from time.Time, step time.Duration, steps int,
) (store.Outlook, error) {
	return store.NaiveSurvey(s).Outlook(ctx, mchID, from, step, steps)
}
