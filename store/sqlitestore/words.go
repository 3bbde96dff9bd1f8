package sqlitestore

import (
	"context"
	"sync"

	"paynotify/store"
)

// said is a verdict with its reason.
type said struct {
	verdict store.Verdict
	reason  store.Reason
}

// The dictionary's first entry is the one that the hot path writes; indexes leave it out.
const (
	saidNothing  = 0
	saidAckExact = 1
)

// words is the dictionary of verdicts and reasons: rows keep a small number. It grows by what is really
// said, so that a list by verdict looks only where there is something. The writer adds, everybody reads.
type words struct {
	mu    sync.RWMutex
	ids   map[said]int64
	texts map[int64]said
	fresh []said // added since the last commit, not yet on disk
}

// load replaces the dictionary by what is on disk.
func (w *words) load(c *conn) error {
	ids, texts := make(map[said]int64), make(map[int64]said)
	rs := c.query(context.Background(), "SELECT id, verdict, reason FROM said")
	for rs.next() {
		s := said{store.Verdict(rs.text(1)), store.Reason(rs.text(2))}
		ids[s], texts[rs.int(0)] = rs.int(0), s
	}
	if err := rs.close(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids, w.texts, w.fresh = ids, texts, nil
	return nil
}

// id is the number of a pair, a new one if need be. For the writer only.
func (w *words) id(v store.Verdict, r store.Reason) int64 {
	s := said{v, r}
	if s == (said{}) {
		return saidNothing
	}
	if id, ok := w.ids[s]; ok { // nobody else writes: reading needs no lock here
		return id
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := int64(len(w.ids) + 1)
	w.ids[s], w.texts[id] = id, s
	w.fresh = append(w.fresh, s)
	return id
}

// flush writes new pairs into the open transaction.
func (w *words) flush(c *conn) error {
	for _, s := range w.fresh {
		err := c.do("INSERT INTO said VALUES (?, ?, ?)", w.ids[s], string(s.verdict), string(s.reason))
		if err != nil {
			return err
		}
	}
	w.fresh = w.fresh[:0]
	return nil
}

// text is the pair of a number, empty for one that is not known.
func (w *words) text(id int64) (store.Verdict, store.Reason) {
	if id == saidNothing {
		return "", ""
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	s := w.texts[id]
	return s.verdict, s.reason
}

// matching lists the numbers of all pairs of that verdict and reason; empty ones match everything.
func (w *words) matching(v store.Verdict, r store.Reason) (ids []int64) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for s, id := range w.ids {
		if s.verdict != "" && (v == "" || s.verdict == v) && (r == "" || s.reason == r) {
			ids = append(ids, id)
		}
	}
	return ids
}
