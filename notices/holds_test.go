package notices

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"paynotify/store"
)

// texts are marks in memory.
type texts struct {
	mu   sync.Mutex
	kept map[string]string
}

func (m *texts) Mark(_ context.Context, name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[name], nil
}

func (m *texts) SetMark(_ context.Context, name, was, value string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept[name] != was {
		return false, nil
	}
	m.kept[name] = value
	return true, nil
}

func loaded(t *testing.T, m *texts) *holds {
	t.Helper()
	h := &holds{marks: m}
	if err := h.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHolds(t *testing.T) {
	kept := &texts{kept: map[string]string{}}
	h := loaded(t, kept)
	paused := store.Merchant{MchID: "m1", Paused: true}
	probed := store.Merchant{MchID: "m1", BreakerOpen: true}
	well := store.Merchant{MchID: "m1"}
	step := func(after time.Duration, m store.Merchant, want bool) {
		t.Helper()
		now := noon.Add(after)
		h.look(&m, now)
		if err := h.save(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids := h.untold(now)
		if got := slices.Equal(ids, []string{"m1"}); got != want {
			t.Errorf("after %s: told %v, want %v", after, got, want)
		}
		h.told(ids, now)
		if err := h.save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	step(0, well, false)
	step(1*time.Second, probed, true)
	step(2*time.Second, probed, false)
	for i := range 10 { // flaps
		step(time.Duration(3+2*i)*time.Second, well, false)
		step(time.Duration(4+2*i)*time.Second, probed, false)
	}
	step(time.Minute, paused, true) // another reason
	step(2*time.Minute, probed, false)
	step(noticeEvery, probed, false)
	step(noticeEvery+time.Second, probed, true) // it lasts
	h = loaded(t, kept)                         // whoever follows next knows it
	step(noticeEvery+2*time.Second, probed, false)
	if since := h.known["m1"].Since; !since.Equal(noon.Add(2 * time.Minute)) {
		t.Errorf("held since %s", since)
	}
	step(3*noticeEvery, well, false)
	h = loaded(t, kept)
	step(3*noticeEvery+1, probed, true) // a new one, long after
	step(4*noticeEvery, well, false)
	h.forget(noon.Add(6 * noticeEvery))
	if err := h.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, text := range kept.kept {
		if text != "" {
			t.Errorf("%s still says %s", name, text)
		}
	}
}

// TestHoldsThatWereNotTold: a process that died after it had noted a hold, and before that was accepted,
// leaves it to the next one, with the same key.
func TestHoldsThatWereNotTold(t *testing.T) {
	kept := &texts{kept: map[string]string{}}
	h := loaded(t, kept)
	h.look(&store.Merchant{MchID: "m1", Blocked: true}, noon)
	if err := h.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := heldKey("m1", *h.known["m1"])
	h = loaded(t, kept)
	h.look(&store.Merchant{MchID: "m1", Blocked: true}, noon.Add(time.Hour))
	ids, now := h.untold(noon.Add(time.Hour)), heldKey("m1", *h.known["m1"])
	if !slices.Equal(ids, []string{"m1"}) || now != key {
		t.Errorf("to be told: %v, %s, want %s", ids, now, key)
	}
}

func TestHoldsOfTwoProcesses(t *testing.T) {
	kept := &texts{kept: map[string]string{}}
	one, other := loaded(t, kept), loaded(t, kept)
	for _, h := range []*holds{one, other} {
		h.look(&store.Merchant{MchID: "m1", Paused: true}, noon)
		noon := noon.Add(time.Second)
		h.look(&store.Merchant{MchID: "m1"}, noon)
	}
	other.look(&store.Merchant{MchID: "m1", Paused: true}, noon.Add(2*time.Second))
	if err := one.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.save(t.Context()); !errors.Is(err, errDeposed) {
		t.Errorf("the second to write: %v", err)
	}
}

// TestHoldsFit: more merchants than a mark has room for are never too much for it.
func TestHoldsFit(t *testing.T) {
	part := map[string]*hold{}
	for i := range 2000 {
		part[fmt.Sprintf("merchant-%04d", i)] = &hold{
			Reason: store.HeldBreakerOpen, Since: noon.Add(time.Duration(i) * time.Second), Told: true,
			At: map[string]time.Time{store.HeldBreakerOpen: noon},
		}
	}
	text, err := holdsText(part)
	if err != nil || len(text) > holdsBytesMax || len(text) < holdsBytesMax/2 || part["merchant-1999"] == nil {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
