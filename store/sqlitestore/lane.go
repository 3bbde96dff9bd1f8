package sqlitestore

import (
	"container/heap"
	"math"
	"time"

	"paynotify/store"
)

// lane is what the writer keeps in memory of a merchant: 200 bytes, whatever its backlog.
type lane struct {
	num      int64
	id       string
	deleted  bool
	revision int64
	max      int     // in flight; 0 = the default
	rate     float64 // claims per second; 0 = no limit
	paused   bool
	until    int64 // microsecond of a pause's end; 0 = none
	blocked  bool

	inflight int
	pending  int                  // notifications in that state
	held     int                  // of them, held for their own address
	waiting  [store.Classes]int   // in the due index and not claimed
	next     [store.Classes]int64 // no waiting one is due before; 0 = none waits
	turn     int                  // claims since the last retry
	loose    [store.Classes]bool  // next may be too early: the one it came from is gone
	failing  bool                 // its last attempt was not acknowledged
	tokens   float64
	tokensAt int64
	// breaker is not kept on disk: a process that starts gives every merchant another chance.
	breaker store.Breaker

	overdue int   // waiting ones that are due at mark
	mark    int64 // how far overdue has counted
	coming  int64 // no other one becomes due before

	parts []part // in which its notifications stand, or stood
	owns  bool   // some are held for their own address, or were

	awake   int64 // somebody works the lane until then, at the latest
	at      int64 // when the heap names it
	inHeap  int   // index + 1
	isReady bool
}

const never = math.MaxInt64

// laneHeap orders lanes by the instant at which they are looked at again.
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].inHeap, h[j].inHeap = i+1, j+1
}

// Push is for package heap.
func (h *laneHeap) Push(x any) {
	l := x.(*lane) //nolint:forcetypeassert // ours
	*h = append(*h, l)
	l.inHeap = len(*h)
}

// Pop is for package heap.
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.inHeap = 0
	return l
}

func (h *laneHeap) set(l *lane, at int64) {
	switch {
	case at == never && l.inHeap > 0:
		heap.Remove(h, l.inHeap-1)
	case at == never:
	case l.inHeap == 0:
		l.at = at
		heap.Push(h, l)
	case l.at != at:
		l.at = at
		heap.Fix(h, l.inHeap-1)
	}
}

// laneQueue holds lanes that have work now, in the order in which they got it: that is what makes it fair.
type laneQueue struct {
	lanes []*lane
	head  int
}

func (q *laneQueue) push(l *lane) {
	if !l.isReady {
		l.isReady = true
		q.lanes = append(q.lanes, l)
	}
}

func (q *laneQueue) pop() *lane {
	if q.head == len(q.lanes) {
		q.lanes, q.head = q.lanes[:0], 0
		return nil
	}
	l := q.lanes[q.head]
	q.lanes[q.head] = nil
	q.head++
	l.isReady = false
	if q.head > 64 && q.head > len(q.lanes)/2 {
		q.lanes = append(q.lanes[:0], q.lanes[q.head:]...)
		q.head = 0
	}
	return l
}

// limit is how many of the lane may be in flight.
func (w *writer) limit(l *lane) int {
	if l.max > 0 {
		return l.max
	}
	return w.s.opts.MaxInflightDefault
}

// closed tells whether the lane itself is held at now.
func (l *lane) closed(now int64) bool { return l.blocked || l.pausedAt(now) }

func (l *lane) pausedAt(now int64) bool { return l.paused && (l.until == 0 || now < l.until) }

// refill brings the tokens up to date. When the clock was set back, what is in the bucket stays.
func (l *lane) refill(now int64) {
	passed := float64(max(0, now-l.tokensAt)) / 1e6
	l.tokens = min(store.RateBurst(l.rate), l.tokens+passed*l.rate)
	l.tokensAt = now
}

// free tells how many claims the lane's rate allows now.
func (l *lane) free(now int64) int {
	if l.rate <= 0 {
		return math.MaxInt32
	}
	l.refill(now)
	return int(l.tokens + 1e-9)
}

// spend takes a token.
func (l *lane) spend() {
	if l.rate > 0 {
		l.tokens--
	}
}

// earliest is when the first waiting notification is due, or never.
func (l *lane) earliest() int64 {
	at := int64(never)
	for class, n := range l.waiting {
		if n > 0 {
			at = min(at, l.next[class])
		}
	}
	return at
}

// wakeAt tells when the lane has work that nobody is awake for; now or earlier means now.
func (w *writer) wakeAt(l *lane) int64 {
	at := l.earliest()
	switch {
	case l.deleted, at == never, l.inflight >= w.limit(l), l.blocked:
		return never // a settlement, a resume or an accept looks again
	case l.pausedAt(w.now) && l.until == 0:
		return never
	case l.pausedAt(w.now):
		at = max(at, l.until)
	}
	if l.breaker.Tight() {
		at = max(at, l.breaker.Next(l.earliest(), l.inflight, w.limit(l)))
	}
	if l.rate > 0 && l.free(w.now) < 1 {
		at = max(at, w.now+int64(math.Ceil((1-l.tokens)*1e6/l.rate)))
	}
	return max(at, l.awake)
}

// touch puts the lane where it belongs after a change: among the ready ones, into the heap, or nowhere.
func (w *writer) touch(l *lane) {
	if l.isReady {
		return // looked at again when its turn comes
	}
	at := w.wakeAt(l)
	if at <= w.now {
		w.timers.set(l, never)
		w.ready.push(l)
		return
	}
	w.timers.set(l, at)
}

// sleep ends a run that left nothing.
func (w *writer) sleep(l *lane) {
	l.awake = 0
	w.touch(l)
}

// rouse marks the lane awake, if it has work now that nobody is awake for.
func (w *writer) rouse(l *lane) bool {
	if w.sending.Paused || w.full || w.wakeAt(l) > w.now {
		return false
	}
	l.awake = w.now + store.AwakeLeaseMax.Microseconds()
	w.touch(l)
	return true
}

// Wakes names lanes as the contract says. Its cost is that of the lanes it names and of the claims it
// releases.
func (w *writer) wakes(most int) (out store.Wakes, err error) {
	out.Recovered, err = w.sweep()
	if err != nil {
		return out, err
	}
	out.Now = w.time()
	if w.sending.Paused { // SetSending looks at every lane again
		out.Next = instant(w.claims.firstLease())
		return out, nil
	}
	for len(w.timers) > 0 && w.timers[0].at <= w.now {
		l := w.timers[0]
		w.timers.set(l, never)
		w.touch(l)
	}
	for len(out.Lanes) < most && !w.full {
		l := w.ready.pop()
		if l == nil {
			break
		}
		if err := w.tighten(l); err != nil {
			return out, err
		}
		lost := l.awake > 0
		if w.rouse(l) {
			out.Lanes = append(out.Lanes, l.id)
			if lost {
				out.Lost++
			}
		} else {
			w.touch(l)
		}
	}
	out.Next = w.nextWake()
	return out, nil
}

// nextWake is when there may be more to wake, zero when only an accept or a settlement can bring it.
func (w *writer) nextWake() time.Time {
	at := w.claims.firstLease()
	if len(w.timers) > 0 {
		at = min(at, w.timers[0].at)
	}
	switch {
	case w.full:
		at = min(at, w.now+int64(probeEvery/time.Microsecond))
	case w.ready.head < len(w.ready.lanes):
		at = w.now
	}
	return instant(at)
}

func instant(us int64) time.Time {
	if us == never {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// tighten asks the due index where a lane's next instants are not known exactly.
func (w *writer) tighten(l *lane) error {
	for class := range l.loose {
		if !l.loose[class] {
			continue
		}
		p := picker{w: w, l: l}
		if err := p.fetch(store.Class(class), 0); err != nil {
			return err
		}
		p.learn(store.Class(class))
	}
	return nil
}
