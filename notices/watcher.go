package notices

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"paynotify/store"
)

const (
	// gatherFor is how long what repeats is gathered before the first notice of it, noticeEvery how long until
	// the next one about the same merchant.
	gatherFor   = 10 * time.Second
	noticeEvery = 15 * time.Minute
	// Notices of noticeBudget different things in budgetEvery are told one by one; the rest of that time
	// becomes one notice. When a network is down, a thousand merchants fail, and nobody reads a thousand
	// messages.
	noticeBudget = 20
	budgetEvery  = time.Minute
	namedMax     = 20 // merchants that such a notice names
	// watchedMax bounds the merchants that windows are kept of. Only those are that have failed lately.
	watchedMax = 100_000
)

// watcher sees all attempts and says what operators should know. It has no clock and does no I/O.
type watcher struct {
	ladders  map[string]*ladder
	gathered map[gatherKey]*gather
	budget   budget
}

// gather counts one kind of thing about one merchant until the next notice of it.
type gather struct {
	count int
	last  Notice    // what it will say of the last of them
	due   time.Time // of the next notice; when nothing was counted by then, the gather ends
}

type gatherKey struct{ kind, mchID string }

func newWatcher() *watcher {
	return &watcher{ladders: map[string]*ladder{}, gathered: map[gatherKey]*gather{}}
}

// see counts an attempt, and answers what is to be told of it at once. What is no send to the merchant by the
// schedule says nothing about it: a fault of ours, or a person's resend.
func (w *watcher) see(s *store.Settled, now time.Time) (found []Notice) {
	if !s.Charged {
		return nil
	}
	failed := s.Verdict != store.Acked
	if rung, l := w.climb(s.MchID, failed); rung > 0 {
		found = append(found, failingNotice(s, l, rung, now))
	}
	switch {
	case !failed:
	case exhausts(s):
		w.gather(TypeExhausting, s, now)
	case s.State == store.Pending && s.Sends > 1 && s.Send == s.Sends-1:
		w.gather(TypeNearExhaustion, s, now)
	}
	return found
}

// climb counts a send in the merchant's window. A merchant of which no failure is known has none.
func (w *watcher) climb(mchID string, failed bool) (rung int, l *ladder) {
	l = w.ladders[mchID]
	if l == nil {
		if !failed || len(w.ladders) >= watchedMax {
			return 0, nil
		}
		l = &ladder{}
		w.ladders[mchID] = l
	}
	rung = l.see(failed)
	if l.failures == 0 {
		delete(w.ladders, mchID)
	}
	return rung, l
}

func (w *watcher) gather(kind string, s *store.Settled, now time.Time) {
	key := gatherKey{kind, s.MchID}
	g := w.gathered[key]
	if g == nil {
		if len(w.gathered) >= watchedMax {
			return
		}
		g = &gather{due: now.Add(gatherFor)}
		w.gathered[key] = g
	}
	g.count++
	g.last.lastFailure(s)
}

// tick answers the notices whose time has come.
func (w *watcher) tick(now time.Time) (found []Notice) {
	for key, g := range w.gathered {
		switch {
		case now.Before(g.due):
		case g.count == 0:
			delete(w.gathered, key)
		default:
			found = append(found, g.notice(key, now))
			*g = gather{due: now.Add(noticeEvery)}
		}
	}
	sort.Slice(found, func(i, j int) bool {
		return found[i].MchID+" "+found[i].Type < found[j].MchID+" "+found[j].Type
	})
	return found
}

func (g *gather) notice(key gatherKey, now time.Time) Notice {
	n := g.last
	n.Type, n.MchID, n.Count, n.at = key.kind, key.mchID, g.count, now
	switch key.kind {
	case TypeNearExhaustion:
		n.Text = fmt.Sprintf("Merchant %s: %d notifications have one send left; the last send failed with %s.",
			key.mchID, g.count, n.Reason)
	default:
		n.Text = fmt.Sprintf("Merchant %s: %d notifications are exhausted, the last one with %s. They are kept"+
			" and can be replayed.", key.mchID, g.count, n.Reason)
	}
	return n
}

// budget keeps notices few. The zero value has spent nothing.
type budget struct {
	until   time.Time // end of the minute that is counted
	told    int
	over    int      // that were not told
	names   []string // of merchants among these
	skipped map[string]int
}

// take answers which of the notices are to be told one by one at now. Those beyond come as one with the first
// call after the minute.
func (b *budget) take(found []Notice, now time.Time) (told []Notice) {
	if !now.Before(b.until) {
		if b.over > 0 {
			told = append(told, b.summary(now))
		}
		*b = budget{}
	}
	for _, n := range found {
		if b.until.IsZero() {
			b.until = now.Add(budgetEvery)
		}
		if b.told < noticeBudget {
			b.told++
			told = append(told, n)
			continue
		}
		b.skip(n)
	}
	return told
}

func (b *budget) skip(n Notice) {
	b.over++
	if b.skipped == nil {
		b.skipped = map[string]int{}
	}
	b.skipped[n.Type]++
	if n.MchID != "" && len(b.names) < namedMax && !slices.Contains(b.names, n.MchID) {
		b.names = append(b.names, n.MchID)
	}
}

// summary is what is told of the notices that were not.
func (b *budget) summary(now time.Time) Notice {
	var kinds []string
	for kind, count := range b.skipped {
		kinds = append(kinds, fmt.Sprintf("%d %s", count, kind))
	}
	slices.Sort(kinds)
	return Notice{
		Type: TypeMany, Count: b.over, at: now,
		Text: fmt.Sprintf("%d more notices within %s: %s. Among the merchants: %s. The log has them all.", b.over,
			budgetEvery, strings.Join(kinds, ", "), strings.Join(b.names, ", ")),
	}
}
