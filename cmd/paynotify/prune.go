package main

import (
	"context"
	"log/slog"
	"time"

	"paynotify/store"
)

const (
	pruneEvery = time.Minute
	pruneStep  = 500                   // notifications in one commit: the writer belongs to the sends
	pruneRest  = 50 * time.Millisecond // between two commits
)

// prune deletes what retention no longer keeps, in small steps, until ctx ends. A failure is logged and tried
// again with the next round: keeping too much harms nobody.
func prune(ctx context.Context, s store.Store, r RetentionConfig, log *slog.Logger) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		n, err := s.Prune(ctx, now.Add(-r.Spent), now.Add(-r.Exhausted), pruneStep)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Warn("retention: cannot delete old notifications", "err", err)
			timer.Reset(pruneEvery)
		case n == pruneStep:
			timer.Reset(pruneRest)
		default:
			timer.Reset(pruneEvery)
		}
	}
}
