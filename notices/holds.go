package notices

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"paynotify/store"
)

const (
	// holdsMarks are the marks that holds are kept in, so that one of them stays small: 64 of 64 KiB are
	// enough for some 30,000 merchants that are held at once.
	holdsMarks = 64
	// holdsBytesMax is how large one of them may grow: store.Store takes 64 KiB.
	holdsBytesMax = 60 << 10
)

// hold is what is remembered of a merchant that is held, or was lately.
type hold struct {
	Reason string               `json:"reason,omitempty"` // empty = not held now
	Since  time.Time            `json:"since"`            // when that was noticed
	Told   bool                 `json:"told,omitempty"`   // the hold was accepted as an event
	At     map[string]time.Time `json:"at,omitempty"`     // when a hold for each reason was told last
}

// holds remembers which merchants are held and what was told of it, durably: a hold that lasts is told once,
// also by whoever follows next. A hold comes and goes without a trace in the feed of attempts; it is found by
// looking at merchants.
type holds struct {
	marks Marks // nil = in memory alone
	known map[string]*hold
	texts [holdsMarks]string // as they are in the store
	dirty [holdsMarks]bool
}

// load reads what was remembered.
func (h *holds) load(ctx context.Context) error {
	*h = holds{marks: h.marks, known: map[string]*hold{}}
	if h.marks == nil {
		return nil
	}
	for i := range h.texts {
		text, err := h.marks.Mark(ctx, holdsMark(i))
		if err != nil {
			return err
		}
		h.texts[i] = text
		var part map[string]*hold
		if text != "" && json.Unmarshal([]byte(text), &part) != nil {
			part = nil // written by a newer version: what is held is told again
		}
		for mchID, one := range part {
			if one != nil {
				h.known[mchID] = one
			}
		}
	}
	return nil
}

func holdsMark(i int) string { return fmt.Sprintf("holds.%02d", i) }

func markOf(mchID string) int {
	sum := fnv.New32a()
	sum.Write([]byte(mchID)) // never fails
	return int(sum.Sum32() % holdsMarks)
}

// look notes how a merchant stands at now.
func (h *holds) look(m *store.Merchant, now time.Time) {
	reason, known := m.HeldReason(now), h.known[m.MchID]
	switch {
	case known == nil && reason == "", known != nil && known.Reason == reason:
		return
	case known == nil:
		known = &hold{}
		h.known[m.MchID] = known
	}
	known.Reason, known.Since, known.Told = reason, now.UTC().Truncate(time.Microsecond), false
	h.dirty[markOf(m.MchID)] = true
}

// gone forgets a merchant that was deleted.
func (h *holds) gone(mchID string) {
	if h.known[mchID] != nil {
		delete(h.known, mchID)
		h.dirty[markOf(mchID)] = true
	}
}

// untold lists the merchants whose hold is to be told at now. A merchant that comes and goes is told of
// once in noticeEvery for each reason: what has begun sooner waits, and is told if it still lasts then.
func (h *holds) untold(now time.Time) (mchIDs []string) {
	for mchID, one := range h.known {
		last, before := one.At[one.Reason]
		if one.Reason != "" && !one.Told && !(before && now.Before(last.Add(noticeEvery))) {
			mchIDs = append(mchIDs, mchID)
		}
	}
	slices.Sort(mchIDs)
	return mchIDs
}

// told notes that the holds of these merchants were accepted as events.
func (h *holds) told(mchIDs []string, now time.Time) {
	for _, mchID := range mchIDs {
		one := h.known[mchID]
		one.Told, one.At = true, maps.Clone(one.At)
		if one.At == nil {
			one.At = map[string]time.Time{}
		}
		one.At[one.Reason] = now.UTC().Truncate(time.Microsecond)
		h.dirty[markOf(mchID)] = true
	}
}

// forget drops merchants that have not been held for so long that nothing about them matters any more.
func (h *holds) forget(now time.Time) {
	for mchID, one := range h.known {
		recent := func(at time.Time) bool { return now.Before(at.Add(noticeEvery)) }
		if one.Reason == "" && !slices.ContainsFunc(slices.Collect(maps.Values(one.At)), recent) {
			h.gone(mchID)
		}
	}
}

// save writes what has changed. It fails with errDeposed when another process has written meanwhile.
func (h *holds) save(ctx context.Context) error {
	if h.marks == nil {
		return nil
	}
	parts := map[int]map[string]*hold{}
	for mchID, one := range h.known {
		i := markOf(mchID)
		if !h.dirty[i] {
			continue
		}
		if parts[i] == nil {
			parts[i] = map[string]*hold{}
		}
		parts[i][mchID] = one
	}
	for i := range h.dirty {
		if !h.dirty[i] {
			continue
		}
		text, err := holdsText(parts[i])
		if err != nil {
			return err
		}
		done, err := h.marks.SetMark(ctx, holdsMark(i), h.texts[i], text)
		switch {
		case err != nil:
			return err
		case !done:
			return errDeposed
		}
		h.texts[i], h.dirty[i] = text, false
	}
	return nil
}

// holdsText is a part as it is kept; empty for nothing. What does not fit is left out: the ones held
// longest are then told again by whoever follows next, which is better than not at all.
func holdsText(part map[string]*hold) (string, error) {
	for {
		if len(part) == 0 {
			return "", nil
		}
		text, err := json.Marshal(part)
		if err != nil || len(text) <= holdsBytesMax {
			return string(text), err
		}
		oldest := slices.SortedFunc(maps.Keys(part), func(a, b string) int {
			return part[a].Since.Compare(part[b].Since)
		})
		for _, mchID := range oldest[:len(oldest)/8+1] {
			delete(part, mchID)
		}
	}
}
