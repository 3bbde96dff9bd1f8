package store

import "context"

// Forgetful is a Store whose feed of attempts keeps only the last of them.
type Forgetful interface {
	// Forgot reports whether attempts after a cursor of Attempts may have been dropped from the feed, so that a
	// follower that goes on there misses them. It fails with ErrBadCursor.
	Forgot(ctx context.Context, after string) (bool, error)
}
