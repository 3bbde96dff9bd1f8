package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	"paynotify/store"
)

// Passes that were spent before their time, one-time links that were used and sessions that were ended, stand
// in one mark of the store, so that every node knows them, until they would have expired anyway.

// passesMark is the name of that mark.
const passesMark = "passes"

const (
	// spentFresh is how long another node may take a pass that was spent here.
	spentFresh = time.Second
	// spentMax bounds the ids in the mark: each takes about 30 of its 64 KiB. Where there are more within
	// twelve hours, all sessions end in their place.
	spentMax = 2000
	// spendTries is how often the mark is written anew because another node has written it meanwhile.
	spendTries = 20
)

// ledger is what the mark says.
type ledger struct {
	Before int64            `json:"before,omitempty"` // what was issued until then is spent, but portal links
	Spent  map[string]int64 `json:"spent"`            // when each pass would have expired, by its id
}

func readLedger(text string) ledger {
	var l ledger
	if json.Unmarshal([]byte(text), &l) != nil || l.Spent == nil { // nothing there, or nothing of ours
		l.Spent = map[string]int64{}
	}
	return l
}

// has reports whether a pass was spent.
func (l *ledger) has(p *pass) bool {
	_, spent := l.Spent[p.ID]
	return spent || p.Kind != passPortal && p.Issued <= l.Before
}

// with is the ledger with one more pass, without those that have expired.
func (l *ledger) with(p *pass, now time.Time) ledger {
	next := ledger{Before: l.Before, Spent: maps.Clone(l.Spent)}
	maps.DeleteFunc(next.Spent, func(_ string, expires int64) bool { return expires <= now.UnixMilli() })
	if len(next.Spent) >= spentMax {
		// Forgetting some would let them in again; refusing would let somebody keep others from logging out.
		next.Before = now.UnixMilli()
		clear(next.Spent)
	}
	next.Spent[p.ID] = p.Expires
	return next
}

// spentPasses remembers the ledger for spentFresh.
type spentPasses struct {
	mu    sync.Mutex
	until time.Time
	known ledger
	err   error
}

// has reports whether a pass was spent. Like adminKeys it asks the store under the lock.
func (s *spentPasses) has(ctx context.Context, marks store.Store, p *pass, now time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now.Before(s.until) {
		ctx, cancel := bounded(context.WithoutCancel(ctx))
		defer cancel()
		text, err := marks.Mark(ctx, passesMark)
		s.known, s.err, s.until = readLedger(text), err, now.Add(spentFresh)
	}
	return s.known.has(p), s.err
}

// errBusy says that the ledger could not be written for all the others who write it.
var errBusy = errors.New("the ledger of passes is being written by too many at once")

// spend makes a pass worthless; first is false when it was already. After an error it may be either.
func (s *spentPasses) spend(
	ctx context.Context, marks store.Store, p *pass, now time.Time,
) (first bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for range spendTries {
		was, err := marks.Mark(ctx, passesMark)
		if err != nil {
			return false, err
		}
		l := readLedger(was)
		if l.has(p) {
			return false, nil
		}
		next := l.with(p, now)
		text, err := json.Marshal(next)
		if err != nil {
			return false, err
		}
		done, err := marks.SetMark(ctx, passesMark, was, string(text))
		if err != nil || done {
			s.mu.Lock()
			s.until = time.Time{} // here it is known at once, also where nothing is known of the outcome
			s.mu.Unlock()
			return done, err
		}
	}
	return false, errBusy
}
