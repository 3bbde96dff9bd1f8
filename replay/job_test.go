package replay

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"paynotify/store"
)

func TestReplayCanceled(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 4)
		ids := w.make("m1", 500, store.Exhausted)
		defer w.start("a", true).end()
		id := w.begin().ID
		w.until(id, "on its way", func(j *Job) bool { return j.Sent > 20 })
		j, err := Cancel(w.Context(), w.store, id, w.store.Now())
		if err != nil || j.Phase != Canceled || j.EndedAt.IsZero() {
			w.Fatalf("%+v, %v", j, err)
		}
		time.Sleep(2 * readEvery)
		asked := len(w.asks())
		j = w.until(id, "at rest", func(j *Job) bool { return len(j.Window) == 0 && w.retired(id) })
		if j.Phase != Canceled || len(w.asks()) != asked || asked >= len(ids) {
			w.Errorf("%s; %d were asked for, then %d of %d", j.Phase, asked, len(w.asks()), len(ids))
		}
		w.wantCounts(&j, asked, asked, asked, 0, 0)
		again, err := Cancel(w.Context(), w.store, id, w.store.Now())
		if err != nil || !again.EndedAt.Equal(j.EndedAt) {
			w.Errorf("again: %+v, %v", again, err)
		}
		done := w.untilDone(w.begin().ID)
		if _, err := Cancel(w.Context(), w.store, done.ID, w.store.Now()); !errors.Is(err, ErrDone) {
			w.Errorf("a done one: %v", err)
		}
		for _, unknown := range []string{store.NewID(time.Now(), 0), "x"} {
			if _, err := Cancel(w.Context(), w.store, unknown, w.store.Now()); !errors.Is(err, ErrNotFound) {
				w.Errorf("an unknown one: %v", err)
			}
		}
		w.wantReplays(ids, 1)
	})
}

// TestReplayCanceledWhileItWaits: also one that has nothing to write sees it.
func TestReplayCanceledWhileItWaits(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 4)
		w.make("m1", 3, store.Exhausted)
		defer w.start("a", true).end()
		id := w.begin(func(j *Job) { j.RatePerSecond = 0.02 }).ID
		w.until(id, "waiting", func(j *Job) bool { return j.Sent == 1 })
		time.Sleep(10 * time.Second)
		if _, err := Cancel(w.Context(), w.store, id, w.store.Now()); err != nil {
			w.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if n := len(w.asks()); n != 1 || !w.retired(id) {
			w.Errorf("%d were asked for, retired %v", n, w.retired(id))
		}
	})
}

// TestReplayCanceledAfterCrash: what was asked for and not yet written down is counted all the same.
func TestReplayCanceledAfterCrash(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 100)
		ids := w.make("m1", 40, store.Exhausted)
		id := w.begin().ID
		n := w.start("a", true, func(n *node) { n.dieAt = 2 + 5 }) // it takes the job, fills the window, and asks
		synctest.Wait()
		n.kill()
		if _, err := Cancel(w.Context(), w.store, id, w.store.Now()); err != nil {
			w.Fatal(err)
		}
		defer w.start("b", true).end()
		j := w.until(id, "at rest", func(j *Job) bool { return len(j.Window) == 0 && w.retired(id) })
		made := 0
		for _, id := range ids {
			made += w.replays(id)
		}
		if made != 5 || j.Phase != Canceled {
			w.Errorf("%d sends, %s", made, j.Phase)
		}
		w.wantCounts(&j, 5, 5, 5, 0, 0)
	})
}

// TestReplaysKept: the last ones are remembered, and what goes on is not forgotten.
func TestReplaysKept(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		first := w.begin()
		for range KeptMax + 3 {
			j := w.begin()
			time.Sleep(time.Millisecond)
			if _, err := Cancel(w.Context(), w.store, j.ID, w.store.Now()); err != nil {
				w.Fatal(err)
			}
		}
		all, err := All(w.Context(), w.store)
		if err != nil || len(all) != KeptMax+1 || all[KeptMax].ID != first.ID {
			w.Fatalf("%d are remembered, %v", len(all), err)
		}
		if !slices.IsSortedFunc(all, func(a, b Job) int { return b.CreatedAt.Compare(a.CreatedAt) }) {
			w.Error("they are not in order")
		}
		marks, err := w.store.(store.Mover).Marks(w.Context())
		if err != nil || len(marks) != KeptMax+2 {
			w.Errorf("%d marks, %v", len(marks), err)
		}
		for range ActiveMax - 1 {
			w.begin()
		}
		if _, err := Start(w.Context(), w.store, Job{}, w.store.Now()); !errors.Is(err, ErrTooMany) {
			w.Errorf("one too many: %v", err)
		}
		defer w.start("a", true).end()
		synctest.Wait()
		time.Sleep(time.Second)
		if x, _, err := readIndex(w.Context(), w.store); err != nil || len(x.Active) > 0 {
			w.Errorf("%d still go on, %v", len(x.Active), err)
		}
	})
}
