package main

import (
	"context"
	"log/slog"
	"time"

	"paynotify/store"
)

const (
	pruneEvery = time.Minute
	pruneStep  = 500                   // notifications in one commit: the store belongs to the sends
	pruneRest  = 50 * time.Millisecond // between two commits
)

// prune deletes what retention no longer keeps, and shrinks what it keeps in outline, in small steps, until
// ctx ends. A failure is logged and tried again with the next round: keeping too much harms nobody. Several
// processes on one store may do it at the same time; they find less to do.
func prune(ctx context.Context, s store.Store, r RetentionConfig, log *slog.Logger) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		more, err := pruneOnce(ctx, s, r)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Warn("retention: cannot delete or shrink old notifications", "err", err)
			timer.Reset(pruneEvery)
		case more:
			timer.Reset(pruneRest)
		default:
			timer.Reset(pruneEvery)
		}
	}
}

// pruneOnce does one step of each and reports whether there is more to do now.
func pruneOnce(ctx context.Context, s store.Store, r RetentionConfig) (more bool, err error) {
	now := s.Now()
	n, err := s.Prune(ctx, now.Add(-r.Spent), now.Add(-r.Exhausted), pruneStep)
	if err != nil {
		return false, err
	}
	more = n == pruneStep
	shrinker, can := s.(store.Shrinker)
	if !can || r.Shrink <= 0 {
		return more, nil
	}
	n, err = shrinker.Shrink(ctx, now.Add(-r.Shrink), pruneStep)
	return more || n == pruneStep, err
}
