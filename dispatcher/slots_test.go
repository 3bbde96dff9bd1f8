package dispatcher

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlotsKeepTheLastHalfForQuickLanes(t *testing.T) {
	s := newSlots(8)
	if got := s.take("hangs", 100); got != 4 {
		t.Fatalf("one lane got %d of 8 places, want the first half", got)
	}
	if got, _ := s.takeOrStarve("hangs", 1); got != 0 {
		t.Fatalf("a lane with 4 in flight got a place of the last half")
	}
	for _, lane := range []string{"a", "b"} {
		if got := s.take(lane, 5); got != 2 {
			t.Errorf("lane %s got %d places of the last half, want %d", lane, got, reservedPerLane)
		}
	}
	if got := s.take("c", 1); got != 0 {
		t.Errorf("9th place given out")
	}
}

func TestSlotsWakeStarvedLanesInTurn(t *testing.T) {
	s := newSlots(2)
	s.take("a", 1)
	s.take("a", 1) // a second one: fewer than two in flight before it
	for _, lane := range []string{"x", "y", "x"} {
		if got, _ := s.takeOrStarve(lane, 1); got != 0 {
			t.Fatalf("lane %s got a place that is taken", lane)
		}
	}
	for _, want := range []string{"x", "y", ""} {
		got := s.giveBack("a", 1)
		if got != want {
			t.Fatalf("release woke %q, want %q", got, want)
		}
		s.used, s.byLane["a"] = 2, 2
	}
}

func TestSlotsSkipAStarvedLaneThatCouldNotUseThePlace(t *testing.T) {
	s := newSlots(8)
	s.take("hangs", 4)
	for i := range 2 {
		s.take(fmt.Sprintf("m%d", i), 2)
	}
	s.takeOrStarve("hangs", 1)
	s.takeOrStarve("quick", 1)
	if got := s.giveBack("m0", 1); got != "quick" {
		t.Errorf("woke %q: the free place is of the last half and the other lane has 4 in flight", got)
	}
}

func TestSlotsCloseWaitsForAllPlaces(t *testing.T) {
	s := newSlots(4)
	s.take("m1", 2)
	idle, _ := s.close()
	if s.take("m2", 1) != 0 {
		t.Error("a place after close")
	}
	s.giveBack("m1", 1)
	select {
	case <-idle:
		t.Fatal("idle with one place out")
	default:
	}
	s.giveBack("m1", 1)
	<-idle
}

func TestSlotsCloseNamesTheStarvedLanes(t *testing.T) {
	s := newSlots(4)
	s.take("m1", 2)
	s.takeOrStarve("m1", 1)
	if _, starved := s.close(); len(starved) != 1 || starved[0] != "m1" {
		t.Errorf("starved at the end: %v, want m1", starved)
	}
	if _, ok := s.takeOrStarve("m2", 1); ok {
		t.Error("a lane waits for a worker that will never be free")
	}
	if lane := s.giveBack("m1", 1); lane != "" {
		t.Errorf("woke %s after the end", lane)
	}
}

func TestSlotsCloseWaitsForWhatIsJudged(t *testing.T) {
	s := newSlots(4)
	s.take("m1", 1)
	idle, _ := s.close()
	s.judge("m1")
	select {
	case <-idle:
		t.Fatal("idle with an outcome not yet written down")
	default:
	}
	s.settled()
	<-idle
}

func TestSlotsGiveAFreedPlaceToWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(4)
		s.take("m1", 2)
		got := make(chan bool)
		go func() { got <- s.takeSoon("m1", time.Second) }()
		synctest.Wait()
		s.giveBack("m1", 1)
		if !<-got {
			t.Error("the freed place was not given to who waited")
		}
		if s.takeSoon("m1", time.Second) {
			t.Error("a place out of nothing")
		}
		s.takeOrStarve("m1", 1)
		before := time.Now()
		if s.takeSoon("m1", time.Second) || time.Since(before) > 0 {
			t.Error("a lane with a backlog waited for a place it would not use")
		}
	})
}
