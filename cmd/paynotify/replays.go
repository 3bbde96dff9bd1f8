package main

import (
	"context"
	"crypto/rand"

	"paynotify/replay"
)

// newReplays makes who carries out replays. It asks the dispatcher's store, which counts what it is asked.
func (e *engine) newReplays() *replay.Runner {
	return replay.New(replay.Options{
		Store: e.dispatcher.Store, Nudge: e.dispatcher.Nudge, InflightDefault: e.cfg.Dispatcher.MaxInflight,
		Node: nodeName() + "/" + rand.Text()[:8], Sole: !isRedisURL(e.cfg.Store), Log: e.log,
	})
}

// replay carries out replays until ctx ends, which is when sending does: what is asked for then could only
// wait for the next start.
func (e *engine) replay(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-e.admitted:
		e.replays.Run(ctx)
	}
}
