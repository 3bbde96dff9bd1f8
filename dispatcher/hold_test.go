package dispatcher_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"paynotify/store"
)

// TestHolds plays random histories of pauses, the switch, rates, caps and merchants that hang, hang up or
// refuse, and checks what must be true of every one: nothing is sent while held, a lane keeps its cap and its
// rate also when it is released, first sends go in the order of acceptance, no send is charged that was no
// POST, and nothing is lost.
func TestHolds(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, w *world) {
				h := newHolds(w, rand.New(rand.NewPCG(seed, 0)))
				for range 60 {
					h.step()
				}
				h.release()
				h.check(t)
			})
		})
	}
}

// holds is a history and what it has made true.
type holds struct {
	*world

	rnd    *rand.Rand
	lanes  []*heldLane
	off    bool
	offAt  time.Duration
	closed []closedSpan
}

type heldLane struct {
	mch      string
	cap      int
	rate     float64
	ids      []string // in the order of acceptance
	paused   bool
	pausedAt time.Duration
	mood     string
}

// closedSpan is when nothing may reach a merchant; an empty one stands for all.
type closedSpan struct {
	mch      string
	from, to time.Duration
}

const holdSchedule = "10s,30s,2m,10m"

func newHolds(w *world, rnd *rand.Rand) *holds {
	h := &holds{world: w, rnd: rnd}
	for i := range 4 {
		l := &heldLane{
			mch: fmt.Sprintf("m%d", i), cap: 1 + rnd.IntN(4), rate: []float64{0, 0, 1, 3}[rnd.IntN(4)], mood: "well",
		}
		w.merchant(store.Merchant{MchID: l.mch, MaxInflight: l.cap, RatePerSecond: l.rate, Schedule: holdSchedule})
		h.lanes = append(h.lanes, l)
	}
	w.answer = func(_ *world, mch string, _ int, _ post) reply {
		w.mu.Lock()
		mood := h.lane(mch).mood
		w.mu.Unlock()
		switch mood {
		case "hangs":
			return reply{hang: true}
		case "hangs up":
			return reply{raw: " ", close: true}
		case "refuses":
			return reply{status: 200, body: "fail", after: time.Second}
		}
		return reply{status: 200, body: "success", after: time.Duration(200) * time.Millisecond}
	}
	return h
}

func (h *holds) lane(mch string) *heldLane {
	return h.lanes[slices.IndexFunc(h.lanes, func(l *heldLane) bool { return l.mch == mch })]
}

func (h *holds) now() time.Duration { return time.Since(h.began) }

// step does one thing at random. Nothing is under way between a claim and its POST when it returns.
func (h *holds) step() {
	l := h.lanes[h.rnd.IntN(len(h.lanes))]
	switch h.rnd.IntN(8) {
	case 0, 1:
		orders := make([]string, 1+h.rnd.IntN(12))
		for i := range orders {
			orders[i] = fmt.Sprint(l.mch, "-", len(l.ids)+i)
		}
		l.ids = append(l.ids, h.accept(l.mch, orders...)...)
	case 2:
		h.pause(l, !l.paused)
	case 3:
		if h.rnd.IntN(3) == 0 {
			h.turn(!h.off)
		}
	case 4, 5:
		h.mu.Lock()
		l.mood = []string{"well", "well", "hangs", "hangs up", "refuses"}[h.rnd.IntN(5)]
		h.mu.Unlock()
	default:
		h.pass([]time.Duration{time.Second, 7 * time.Second, time.Minute, 11 * time.Minute}[h.rnd.IntN(4)])
	}
	synctest.Wait()
}

func (h *holds) pause(l *heldLane, paused bool) {
	if l.paused {
		h.closed = append(h.closed, closedSpan{l.mch, l.pausedAt, h.now()})
	}
	l.paused, l.pausedAt = paused, h.now()
	_, err := h.store.UpdateMerchant(context.Background(), l.mch, func(m *store.Merchant) error {
		m.Paused = paused
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.d.Nudge()
}

func (h *holds) turn(off bool) {
	if h.off {
		h.closed = append(h.closed, closedSpan{"", h.offAt, h.now()})
	}
	h.off, h.offAt = off, h.now()
	if err := h.store.SetSending(context.Background(), store.Sending{Paused: off}); err != nil {
		h.t.Fatal(err)
	}
	h.d.Nudge()
}

// release opens everything, makes everybody well and waits until nothing can be owed any more.
func (h *holds) release() {
	h.turn(false)
	for _, l := range h.lanes {
		h.mu.Lock()
		l.mood = "well"
		h.mu.Unlock()
		h.pause(l, false)
	}
	h.pass(3 * time.Hour)
}

func (h *holds) check(t *testing.T) {
	t.Helper()
	posts := h.seen()
	byID := make(map[string][]post)
	for _, p := range posts {
		byID[p.id] = append(byID[p.id], p)
		for _, c := range h.closed {
			if (c.mch == "" || c.mch == p.mch) && p.at > c.from && p.at < c.to {
				t.Errorf("%s was sent to at %v, and held from %v to %v", p.mch, p.at, c.from, c.to)
			}
		}
	}
	for _, l := range h.lanes {
		h.checkLane(t, l, byID)
	}
}

func (h *holds) checkLane(t *testing.T, l *heldLane, byID map[string][]post) {
	t.Helper()
	var all []store.Attempt
	last := time.Duration(0)
	for i, id := range l.ids {
		n, attempts := h.get(id)
		if n.State != store.Spent && n.State != store.Exhausted {
			t.Errorf("%s is %s in the end, next at %v", n.OutTradeNo, n.State, n.NextAt)
		}
		if len(attempts) != len(byID[id]) || n.NotifyCount != len(attempts) {
			t.Errorf("%s: %d attempts, %d POSTs, %d sends charged", n.OutTradeNo, len(attempts), len(byID[id]),
				n.NotifyCount)
			continue
		}
		if first := byID[id][0].at; first < last {
			t.Errorf("%s was sent at %v, before the one in front of it at %v", n.OutTradeNo, first, last)
		} else {
			last = first
		}
		for j, a := range attempts {
			if a.Send != j+1 || a.StartedAt.Before(a.ScheduledAt) {
				t.Errorf("#%d of %s: send %d at %v, planned for %v", j+1, l.ids[i], a.Send, a.StartedAt, a.ScheduledAt)
			}
		}
		all = append(all, attempts...)
	}
	slices.SortFunc(all, func(a, b store.Attempt) int { return a.StartedAt.Compare(b.StartedAt) })
	for i, a := range all {
		open, starts := 0, 0
		for _, b := range all[:i+1] {
			if b.StartedAt.Add(b.Duration).After(a.StartedAt) {
				open++
			}
		}
		for _, b := range all[i:] {
			starts++
			most := store.RateBurst(l.rate) + l.rate*(b.StartedAt.Sub(a.StartedAt)+time.Millisecond).Seconds()
			if l.rate > 0 && float64(starts) > most {
				t.Fatalf("%s started %d sends in %v at %v/s", l.mch, starts, b.StartedAt.Sub(a.StartedAt), l.rate)
			}
		}
		if open > l.cap {
			t.Fatalf("%s had %d sends in flight under a cap of %d", l.mch, open, l.cap)
		}
	}
}
