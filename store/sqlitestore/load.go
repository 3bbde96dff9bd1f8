package sqlitestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"

	"paynotify/store"
	"paynotify/store/packed"
)

// counters are what Stats tells without looking: written with every commit, in the live row.
type counters struct {
	states [5]int
	sends  sendCounts // pending notifications by the place of their next send
}

// sendCounts counts by place; index 0 is not used.
type sendCounts []int

const sendsMax = 128 // places that are told apart; schedules have at most 64

func (sc *sendCounts) add(send, d int) {
	send = min(max(send, 1), sendsMax)
	for len(*sc) <= send {
		*sc = append(*sc, 0)
	}
	(*sc)[send] += d
}

// writeLive writes the live row.
func (w *writer) writeLive() error {
	if err := w.begin(); err != nil {
		return err
	}
	e := packed.Writer{B: w.buf[:0]}
	e.Byte(liveVersion)
	e.Uint(uint64(len(w.claims.list)))
	for _, c := range w.claims.list {
		packClaim(&e, &liveClaim{c.r.id, c.Send, c.Trigger, c.ScheduledAt, c.ClaimedAt})
	}
	w.buf = packed.Seal(e.B)
	claims := w.buf

	var space [256]byte
	e = packed.Writer{B: space[:0]}
	e.Byte(liveVersion)
	e.Uint(uint64(w.lastID))  //nolint:gosec // never negative
	e.Uint(uint64(w.lastSeq)) //nolint:gosec // never negative
	for _, n := range w.counters.states {
		e.Int(int64(n))
	}
	e.Uint(uint64(len(w.counters.sends)))
	for _, n := range w.counters.sends {
		e.Int(int64(n))
	}
	return w.st.live.do(claims, packed.Seal(e.B))
}

// readLive reads the live row: the claims on record and the counters. An empty database has an empty row.
func (w *writer) readLive() (dead []liveClaim, err error) {
	var claims, counts []byte
	_, err = w.c.query(context.Background(), "SELECT claims, counters FROM live").
		one(func(r *rows) { claims, counts = r.blob(0), r.blob(1) })
	if err != nil {
		return nil, err
	}
	w.counters = counters{}
	if len(claims) == 0 && len(counts) == 0 {
		return nil, nil
	}
	if claims, err = opened(claims); err != nil {
		return nil, err
	}
	if counts, err = opened(counts); err != nil {
		return nil, err
	}
	d := packed.Reader{B: claims}
	d.Byte()
	for range d.Count() {
		dead = append(dead, readClaim(&d))
		if d.Bad {
			return nil, errDamaged
		}
	}
	d = packed.Reader{B: counts}
	d.Byte()
	w.lastID, w.lastSeq = int64(d.Uint()), int64(d.Uint()) //nolint:gosec // checked by the sum
	for i := range w.counters.states {
		w.counters.states[i] = int(d.Int())
	}
	for send := range d.Count() {
		if n := int(d.Int()); n != 0 {
			w.counters.sends.add(send, n)
		}
	}
	if d.Bad {
		return nil, errDamaged
	}
	return dead, nil
}

// load builds what is kept in memory from what is on disk: at start, and after a transaction was taken back.
// Live claims stay; their notifications are read again. It walks over the due index, never over
// notifications.
func (w *writer) load() (err error) {
	if w.st.begin == nil {
		if err := w.st.prepare(w.c); err != nil {
			return err
		}
		w.token = rand.Uint64() //nolint:gosec // no secret: tokens of different processes differ
	}
	w.tick()
	if err := w.words.load(w.c); err != nil {
		return err
	}
	if err := errors.Join(w.loadSending(), w.loadAudited()); err != nil {
		return err
	}
	if err := w.loadLanes(); err != nil {
		return err
	}
	dead, err := w.readLive()
	if err == errDamaged { //nolint:errorlint // ours, unwrapped
		dead, err = w.recount()
	}
	if err != nil {
		return err
	}
	if w.loaded {
		dead = nil // ours, and alive
	} else if err := w.loadTokens(); err != nil {
		return err
	}
	w.loaded = true
	w.dead = dead
	if err := w.loadHighest(); err != nil {
		return err
	}
	if err := w.loadBacklog(); err != nil {
		return err
	}
	if err := w.loadClaimed(); err != nil {
		return err
	}
	w.timers, w.ready = nil, laneQueue{}
	for _, l := range w.lanes {
		l.inHeap, l.isReady = 0, false
		w.touch(l)
	}
	return nil
}

func (w *writer) loadHighest() error {
	for _, q := range []struct {
		text string
		into *int64
	}{{"SELECT max(id) FROM n", &w.lastID}, {"SELECT max(seq) FROM attempts", &w.lastSeq}} {
		_, err := w.c.query(context.Background(), q.text).
			one(func(r *rows) { *q.into = max(*q.into, r.int(0)) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) loadSending() error {
	text, err := readMeta(context.Background(), w.c, metaSending)
	if err != nil {
		return err
	}
	w.sending = store.Sending{}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &w.sending); err != nil {
			return fmt.Errorf("reading the sending switch: %w", err)
		}
	}
	sending := w.sending
	w.s.fast.sending.Store(&sending)
	return nil
}

// loadLanes reads the lane part of every merchant. A lane that is known keeps its tokens and who is awake.
func (w *writer) loadLanes() error {
	var fresh []*lane
	old := w.byNum
	w.lanes, w.byNum = make(map[string]*lane), make(map[int64]*lane)
	rs := w.c.query(context.Background(), "SELECT num, mch_id, lane FROM merchants")
	for rs.next() {
		l := old[rs.int(0)]
		if l == nil {
			l = &lane{num: rs.int(0), id: rs.text(1), coming: never}
		}
		if err := l.unpack(rs.blob(2)); err != nil {
			w.s.log.Error("damaged merchant: its lane is held, see paynotify fsck", "mch_id", l.id)
			l.blocked = true
		}
		l.pending, l.held, l.inflight = 0, 0, 0
		l.waiting, l.next, l.loose = [store.Classes]int{}, [store.Classes]int64{}, [store.Classes]bool{}
		l.overdue, l.mark, l.coming = 0, 0, never
		l.awake = 0            // to be woken twice does no harm
		if old[l.num] == nil { // a restart makes no burst; see loadTokens
			l.tokens, l.tokensAt = 0, w.now
			fresh = append(fresh, l)
		}
		w.lanes[l.id], w.byNum[l.num] = l, l
		w.highest = max(w.highest, l.num)
	}
	if err := rs.close(); err != nil {
		return err
	}
	for _, l := range fresh {
		if err := l.loadParts(w.c); err != nil {
			return err
		}
	}
	return nil
}

// tokensLeft is what a lane's bucket holds, kept over a clean restart. After a crash every bucket is empty:
// nobody knows what was sent in the last second.
type tokensLeft struct {
	Tokens float64 `json:"tokens"`
	At     int64   `json:"at"`
}

func (w *writer) loadTokens() error {
	text, err := readMeta(context.Background(), w.c, metaTokens)
	if err != nil || text == "" {
		return err
	}
	var left map[string]tokensLeft
	if err := json.Unmarshal([]byte(text), &left); err != nil {
		return nil //nolint:nilerr // then they are empty
	}
	for id, t := range left {
		if l := w.lanes[id]; l != nil {
			l.tokens, l.tokensAt = t.Tokens, t.At
		}
	}
	if err := w.begin(); err != nil {
		return err
	}
	return w.c.do("DELETE FROM meta WHERE key = ?", metaTokens)
}

func (w *writer) saveTokens() error {
	left := make(map[string]tokensLeft)
	for id, l := range w.lanes {
		if l.rate > 0 && !l.deleted {
			left[id] = tokensLeft{l.tokens, l.tokensAt}
		}
	}
	if len(left) == 0 {
		return nil
	}
	text, err := json.Marshal(left)
	if err != nil {
		return err
	}
	return writeMeta(w.c, metaTokens, string(text))
}

// loadBacklog counts each lane's share of the due index and finds when it is due next.
func (w *writer) loadBacklog() error {
	rs := w.c.query(context.Background(), "SELECT mch, class, count(*), min(due) FROM n INDEXED BY n_due "+
		"WHERE due IS NOT NULL GROUP BY mch, class")
	for rs.next() {
		l, class := w.byNum[rs.int(0)], rs.int(1)
		if l == nil || class < 0 || class >= store.Classes {
			continue // damage; a claim or fsck will say so
		}
		l.waiting[class], l.next[class] = int(rs.int(2)), rs.int(3)
		l.coming, l.loose[class] = min(l.coming, rs.int(3)), true // claimed ones are counted in
		if store.Class(class) != store.ClassResend {
			l.pending += int(rs.int(2))
			l.failing = l.failing || store.Class(class) == store.ClassRetry
		}
	}
	if err := rs.close(); err != nil {
		return err
	}
	for _, l := range w.byNum {
		if l.waiting[store.ClassResend] == 0 {
			continue
		}
		_, err := w.c.query(context.Background(), "SELECT count(*) FROM n WHERE mch = ? AND class = ? "+
			"AND due IS NOT NULL AND state = 0", l.num, int64(store.ClassResend)).
			one(func(r *rows) { l.pending += int(r.int(0)) })
		if err != nil {
			return err
		}
	}
	rs = w.c.query(context.Background(), "SELECT mch, count(*) FROM n INDEXED BY n_held WHERE held = 1 "+
		"AND state = 0 GROUP BY mch")
	for rs.next() {
		if l := w.byNum[rs.int(0)]; l != nil {
			l.held, l.owns = int(rs.int(1)), true
			l.pending += l.held
		}
	}
	return rs.close()
}

// loadClaimed reads the notifications of live claims again, and counts those of dead ones, which lie
// outside the due index.
func (w *writer) loadClaimed() error {
	for _, c := range w.claims.list {
		r, err := w.loadWhole(c.r.id)
		if err != nil {
			return err
		}
		if r != nil {
			r.n.InFlight = true
			c.r = r
		}
		c.l.inflight++
		c.l.countClaimed(c.r, true)
	}
	for i := range w.dead {
		r, err := w.loadWhole(w.dead[i].id)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		if l := w.byNum[r.mch]; l != nil {
			l.countClaimed(r, false)
		}
	}
	return w.commit() // the reads opened a transaction
}

// countClaimed corrects what loadBacklog could not know of a claimed row.
func (l *lane) countClaimed(r *row, alive bool) {
	switch {
	case r.due == 0 && r.n.State == store.Pending && !r.n.Blocked:
		l.pending++
	case r.due != 0 && alive:
		l.waiting[r.class]--
	}
}

// recount finds claims and counters by looking at every notification, because the live row is damaged. A
// claim that left no mark on its notification is simply due again.
func (w *writer) recount() (dead []liveClaim, err error) {
	w.s.log.Warn("the live row is damaged: counting every notification")
	w.counters = counters{}
	rs := w.c.query(context.Background(), "SELECT "+rowColumns+" FROM n")
	for rs.next() {
		var r row
		bad := r.scan(rs, w.mchID, w.words)
		w.counters.states[number(states, r.n.State)]++
		if r.n.State != store.Pending || bad != nil {
			continue
		}
		w.counters.sends.add(r.n.Send(), 1)
		if at, _ := r.n.Due(); r.due == 0 && !at.IsZero() {
			c := r.n.Claimed(0, 0, w.s.opts.Now().UTC(), 0)
			dead = append(dead, liveClaim{r.id, c.Send, c.Trigger, c.ScheduledAt, c.ClaimedAt})
		}
	}
	w.dirty = true
	return dead, rs.close()
}
