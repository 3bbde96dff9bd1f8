// Package queue hands lanes to runners. A queue never carries a notification and knows no time: it carries
// "lane m1 has work now".
//
// Start reading at Queue; package queuetest checks its promises, package localqueue keeps them in process.
package queue

import "context"

// Queue hands a lane to one of the runners.
//
// It may forget a lane (the awake lease in the store runs out and the store names the lane again) and may
// hand one out twice (claims are exclusive); it never starves one. Timing is not its business.
type Queue interface {
	// Wake says that the lane has work. A wake while the lane is being run is remembered and leads to
	// another run after it.
	Wake(ctx context.Context, lane string) error

	// Run calls run for woken lanes, each lane by at most one runner of this process at a time, with at most
	// the given number of runners, in turn (round-robin). It returns nil when ctx is done and every run has
	// returned.
	Run(ctx context.Context, workers int, run func(ctx context.Context, lane string)) error
}
