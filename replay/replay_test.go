package replay

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"paynotify/store"
	"paynotify/store/redisstore"
)

func TestReplay(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 16)
		w.merchant("m2", 16)
		first, second := w.make("m1", 300, store.Exhausted), w.make("m2", 400, store.Exhausted)
		spent := w.make("m1", 3, store.Spent)
		defer w.start("a", true).end()
		w.answers = func(c *store.Claim) store.Outcome {
			if c.MchID == "m2" {
				return outcome(c, store.Refused, store.Exhausted)
			}
			return outcome(c, store.Acked, store.Spent)
		}
		j := w.untilDone(w.begin().ID)
		w.wantCounts(&j, 700, 700, 300, 0, 0)
		w.wantReplays(append(first, second...), 1)
		w.wantReplays(spent, 0)
		if len(j.Window) > 0 || !j.Listed || j.EndedAt.IsZero() {
			w.Errorf("done with %+v", j)
		}
	})
}

// TestReplayFilters: only what was asked for, and never the engine's own.
func TestReplayFilters(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		for _, id := range []string{"m1", "m2", store.CallbackMerchant} {
			w.merchant(id, 16)
		}
		canceled := w.make("m1", 3, store.Canceled)
		early := w.make("m1", 3, store.Exhausted)
		own, other := w.make(store.CallbackMerchant, 3, store.Exhausted), w.make("m2", 3, store.Exhausted)
		time.Sleep(time.Hour)
		from := w.store.Now()
		late := w.make("m1", 3, store.Exhausted)
		pending := w.make("m1", 2, store.Pending)
		defer w.start("a", true).end()
		j := w.untilDone(w.begin(func(j *Job) { j.MchID, j.To = "m1", from }).ID)
		w.wantCounts(&j, 3, 3, 3, 0, 0)
		w.wantReplays(early, 1)
		w.wantReplays(slices.Concat(canceled, own, other, late, pending), 0)
		j = w.untilDone(w.begin(func(j *Job) { j.From = from }).ID)
		w.wantCounts(&j, 3, 3, 3, 0, 0)
		j = w.untilDone(w.begin(func(j *Job) { j.State = store.Canceled }).ID)
		w.wantCounts(&j, 3, 3, 3, 0, 0)
		j = w.untilDone(w.begin(func(j *Job) { j.State = store.Pending }).ID)
		w.wantCounts(&j, 2, 2, 2, 0, 0)
		j = w.untilDone(w.begin().ID)
		w.wantCounts(&j, 3, 3, 3, 0, 0)
		w.wantReplays(slices.Concat(canceled, early, late, pending, other), 1)
		w.wantReplays(own, 0)
		j = w.untilDone(w.begin().ID)
		w.wantCounts(&j, 0, 0, 0, 0, 0)
	})
}

// TestReplaySurvivesCrashes kills the process at each of its steps, before it is done and behind it. Whoever
// goes on asks for each notification once.
func TestReplaySurvivesCrashes(t *testing.T) {
	const each = 6
	for _, before := range []bool{true, false} {
		died := true
		for at := 1; died; at++ {
			t.Run(fmt.Sprintf("before=%v step=%d", before, at), func(t *testing.T) {
				inVirtualTime(t, func(w *world) {
					w.merchant("m1", 2)
					w.merchant("m2", 100)
					ids := append(w.make("m1", each, store.Exhausted), w.make("m2", each, store.Exhausted)...)
					id := w.begin().ID
					n := w.start("a", true, func(n *node) { n.dieAt, n.before = at, before })
					for range 50 {
						if n.gone() {
							break
						}
						w.pump()
						time.Sleep(20 * time.Millisecond)
					}
					died = n.gone()
					n.kill()
					w.pump()
					defer w.start("b", true).end()
					j := w.untilDone(id)
					w.wantReplays(ids, 1)
					w.wantCounts(&j, 2*each, 2*each, 2*each, 0, 0)
				})
			})
			if at > 200 {
				t.Fatal("it never lives to the end")
			}
		}
	}
}

// TestReplayOnTwoNodes: one of them works; the other goes on when it dies, or at once when it stops.
func TestReplayOnTwoNodes(t *testing.T) {
	for _, dies := range []bool{true, false} {
		inVirtualTime(t, func(w *world) {
			w.merchant("m1", 4)
			ids := w.make("m1", 200, store.Exhausted)
			a := w.start("a", false)
			id := w.begin().ID
			w.until(id, "begun", func(j *Job) bool { return j.Asked > 0 && j.Owner == "a" })
			b := w.start("b", false)
			defer b.end()
			w.until(id, "on its way", func(j *Job) bool { return j.Asked > 50 })
			stopped := time.Now()
			if dies {
				a.kill()
			} else {
				a.end()
			}
			w.until(id, "taken over", func(j *Job) bool { return j.Owner == "b" })
			took, most := time.Since(stopped), 2*lookEvery
			if dies {
				most += leaseFor
			}
			if took > most || dies && took < leaseFor*2/3 {
				w.Errorf("dies %v: taken over after %v", dies, took)
			}
			j := w.untilDone(id)
			w.wantReplays(ids, 1)
			w.wantCounts(&j, 200, 200, 200, 0, 0)
		})
	}
}

// TestReplayFrozen: a process that was frozen finds that another has taken over, and leaves it alone.
func TestReplayFrozen(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 4)
		ids := w.make("m1", 300, store.Exhausted)
		id := w.begin().ID
		frozen := &worker{Runner: New(Options{Store: w.store, Node: "a"}), id: id}
		if err := frozen.take(w.Context()); err != nil {
			w.Fatal(err)
		}
		if _, err := frozen.step(w.Context()); err != nil {
			w.Fatal(err)
		}
		time.Sleep(leaseFor)
		defer w.start("b", false).end()
		w.until(id, "taken over", func(j *Job) bool { return j.Owner == "b" })
		_, err := frozen.step(w.Context())
		if !errors.Is(err, errConflict) {
			w.Fatalf("error %v", err)
		}
		if err := frozen.reload(w.Context()); !errors.Is(err, errOver) {
			w.Errorf("error %v", err)
		}
		w.untilDone(id)
		w.wantReplays(ids, 1)
	})
}

// TestReplayRate: over any span no more than a burst and the rate, and no less over all.
func TestReplayRate(t *testing.T) {
	for _, perSecond := range []float64{0.5, 3, 40} {
		inVirtualTime(t, func(w *world) {
			w.merchant("m1", 16)
			total := max(5, int(perSecond*10))
			ids := w.make("m1", total, store.Exhausted)
			defer w.start("a", true).end()
			began := time.Now()
			w.untilDone(w.begin(func(j *Job) { j.RatePerSecond = perSecond }).ID)
			w.wantReplays(ids, 1)
			burst := max(1, int(perSecond/4))
			asks := w.asks()
			for i, from := range asks {
				for k := i; k < len(asks); k++ {
					span := asks[k].Sub(from).Seconds()
					if most := float64(burst) + perSecond*span + 1e-6; float64(k-i+1) > most {
						w.Fatalf("%v/s: %d within %v s", perSecond, k-i+1, span)
					}
				}
			}
			took, want := time.Since(began).Seconds(), float64(total-burst)/perSecond
			if took < want || took > want*1.1+1 {
				w.Errorf("%v/s: %d took %v s, want about %v", perSecond, total, took, want)
			}
		})
	}
}

// TestReplayHeld: what a held lane has to send goes out when it opens, and nobody waits for it.
func TestReplayHeld(t *testing.T) {
	pause := func(w *world, on bool) {
		if _, err := w.store.UpdateMerchant(w.Context(), "m1", func(m *store.Merchant) error {
			m.Paused = on
			return nil
		}); err != nil {
			w.Fatal(err)
		}
	}
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 4)
		w.merchant("m2", 4)
		ids, others := w.make("m1", 100, store.Exhausted), w.make("m2", 10, store.Exhausted)
		pause(w, true)
		defer w.start("a", true).end()
		j := w.untilDone(w.begin().ID)
		w.wantCounts(&j, 110, 10, 10, 0, 100)
		w.wantReplays(ids, 0)
		w.wantReplays(others, 1)
		pause(w, false)
		w.pump()
		w.wantReplays(ids, 1)
	})
	inVirtualTime(t, func(w *world) { // it is paused on the way
		w.merchant("m1", 4)
		ids := w.make("m1", 100, store.Exhausted)
		defer w.start("a", true).end()
		id := w.begin().ID
		w.until(id, "on its way", func(j *Job) bool { return j.Sent > 20 })
		pause(w, true)
		j := w.untilDone(id)
		if j.Asked != 100 || j.Sent+j.Held != 100 || j.Held == 0 {
			w.Errorf("%+v", j)
		}
		pause(w, false)
		w.pump()
		w.wantReplays(ids, 1)
	})
}

// TestReplayWaitsForSending: while all sending is stopped nothing is asked for.
func TestReplayWaitsForSending(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 4)
		ids := w.make("m1", 20, store.Exhausted)
		if err := w.store.SetSending(w.Context(), store.Sending{Paused: true}); err != nil {
			w.Fatal(err)
		}
		defer w.start("a", true).end()
		id := w.begin().ID
		time.Sleep(time.Minute)
		if n := len(w.asks()); n > 0 || w.job(id).Phase != Running {
			w.Errorf("%d were asked for", n)
		}
		if err := w.store.SetSending(w.Context(), store.Sending{}); err != nil {
			w.Fatal(err)
		}
		j := w.untilDone(id)
		w.wantCounts(&j, 20, 20, 20, 0, 0)
		w.wantReplays(ids, 1)
	})
}

// TestReplayLeavesRoom: in a lane as many sends are owed as it makes at once, over all no more than the
// window, and a lane that does not send stops nobody else.
func TestReplayLeavesRoom(t *testing.T) {
	owed := func(w *world, mchID string) (n int) {
		for cursor, more := "", true; more; more = cursor != "" {
			page, next, err := w.store.List(w.Context(), store.Query{MchID: mchID, Limit: 500, Cursor: cursor})
			if err != nil {
				w.Fatal(err)
			}
			for i := range page {
				if page[i].Resend != "" {
					n++
				}
			}
			cursor = next
		}
		return n
	}
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 4)
		w.merchant("m2", 1000)
		w.asleep["m1"] = true
		for range 5 {
			w.make("m2", 100, store.Exhausted)
			w.asleep["m1"] = false
			w.make("m1", 40, store.Exhausted)
			w.asleep["m1"] = true
		}
		defer w.start("a", true).end()
		id := w.begin().ID
		j := w.until(id, "done with m2", func(j *Job) bool { return j.Sent == 500 })
		time.Sleep(time.Second)
		if got := owed(w, "m1"); got != 4 {
			w.Errorf("%d sends are owed to a merchant that takes 4 at once", got)
		}
		w.asleep["m1"] = false
		j = w.untilDone(id)
		w.wantCounts(&j, 700, 700, 700, 0, 0)
	})
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 1000)
		w.merchant("m2", 1000)
		w.make("m1", 600, store.Exhausted)
		w.make("m2", 600, store.Exhausted)
		w.asleep["m1"], w.asleep["m2"] = true, true
		defer w.start("a", true).end()
		id := w.begin().ID
		time.Sleep(10 * time.Second)
		text, err := w.store.Mark(w.Context(), jobPrefix+id)
		if got := owed(w, "m1") + owed(w, "m2"); err != nil || got < WindowMax-roomMin || got > WindowMax {
			w.Errorf("%d sends are owed, %v", got, err)
		}
		if len(text) > store.MarkBytesMax*2/3 {
			w.Errorf("the mark of a full window has %d bytes", len(text))
		}
		clear(w.asleep)
		j := w.untilDone(id)
		w.wantCounts(&j, 1200, 1200, 1200, 0, 0)
	})
}

// TestReplaySkips: what was acknowledged, canceled or asked for by a person on the way.
func TestReplaySkips(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 4)
		ids := w.make("m1", 40, store.Pending)
		w.asleep["m1"] = true
		defer w.start("a", true).end()
		id := w.begin(func(j *Job) { j.State = store.Pending }).ID
		time.Sleep(2 * lookEvery)
		if n := len(w.asks()); n != 4 {
			w.Fatalf("%d are asked for", n)
		}
		// The list begins with the newest: four are owed, the oldest wait.
		for _, i := range []int{0, 1, 39} {
			if _, err := w.store.Cancel(w.Context(), ids[i]); err != nil {
				w.Fatal(err)
			}
		}
		if _, err := w.store.Resend(w.Context(), ids[2], store.Resend, false); err != nil {
			w.Fatal(err)
		}
		w.asleep["m1"] = false
		j := w.untilDone(id)
		// Of those asked for one was canceled; one was sent as a person's.
		w.wantCounts(&j, 38, 37, 37, 3, 0)
		w.wantReplays([]string{ids[0], ids[1], ids[2], ids[39]}, 0)
		w.wantReplays(ids[3:39], 1)
	})
}

// TestReplayAfterMigration: the cursor is one of another store.
func TestReplayAfterMigration(t *testing.T) {
	inVirtualTime(t, func(w *world) {
		w.merchant("m1", 50)
		ids := w.make("m1", 1200, store.Exhausted)
		n := w.start("a", true)
		id := w.begin().ID
		w.until(id, "on its way", func(j *Job) bool { return j.Sent > 20 })
		n.end()
		j := w.job(id)
		if j.Listed || j.Cursor == "" {
			w.Fatal("the list is read already")
		}
		next := j
		next.Cursor = "one of another store"
		if err := j.write(w.Context(), w.store, next); err != nil {
			w.Fatal(err)
		}
		defer w.start("b", true).end()
		j = w.untilDone(id)
		w.wantCounts(&j, 1200, 1200, 1200, 0, 0)
		w.wantReplays(ids, 1)
	})
}

// TestReplayOnRedis kills the process at some of its steps, on the store of many processes.
func TestReplayOnRedis(t *testing.T) {
	s, err := redisstore.Open(t.Context(), redisstore.Options{
		URL: "redis://" + miniredis.RunT(t).Addr(), Shards: 2, AllowVolatile: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	<-s.Ready()
	for at := 1; at <= 19; at += 6 {
		w := newWorld(t, s)
		first, second := fmt.Sprintf("m%d", at), fmt.Sprintf("n%d", at)
		w.merchant(first, 4)
		w.merchant(second, 50)
		ids := append(w.make(first, 10, store.Exhausted), w.make(second, 40, store.Exhausted)...)
		a := w.start("a", true, func(n *node) { n.dieAt, n.before = at, at%4 == 1 })
		id := w.begin().ID
		for deadline := time.Now().Add(10 * time.Second); !a.gone() && time.Now().Before(deadline); {
			w.pump()
			time.Sleep(10 * time.Millisecond)
		}
		a.kill()
		b := w.start("b", true)
		j := w.untilDone(id)
		b.end()
		w.wantReplays(ids, 1)
		w.wantCounts(&j, 50, 50, 50, 0, 0)
	}
}
