package redisstore

import (
	"errors"
	"testing"

	"paynotify/store"
)

// TestForgot: a follower that was away for longer than the log reaches back is told so, and no other.
func TestForgot(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.merchants("m1")
	_, start, err := r.Attempts(t.Context(), "", 1)
	r.must(err)
	r.spend(item("m1"))
	_, behind, err := r.Attempts(t.Context(), start, 10)
	r.must(err)
	forgot := func(cursor string, want bool) {
		t.Helper()
		if got, err := r.Forgot(t.Context(), cursor); got != want || err != nil {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
	forgot(start, false) // a short log has lost nothing
	log := r.prefix(shardOf("m1", 2)) + "log"
	fill := `for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'i', 'x', 'n', 1) end return 1`
	r.must(r.rdb.Eval(t.Context(), fill, []string{log}, logKept).Err())
	forgot(behind, false) // a long one begins before it
	r.must(r.rdb.XTrimMaxLen(t.Context(), log, logKept).Err())
	forgot(start, true)
	if _, err := r.Forgot(t.Context(), "x"); !errors.Is(err, store.ErrBadCursor) {
		t.Errorf("%v, want ErrBadCursor", err)
	}
}
