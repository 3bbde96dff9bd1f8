package sqlitestore

import (
	"context"

	"paynotify/store"
	"paynotify/store/packed"
)

// statements are those of the hot path, prepared at start.
type statements struct {
	begin, commit                     *stmt
	insertN, insertBody, updateN      *stmt
	insertAttempt, live               *stmt
	byIdem, row, bodyOf, dueOf, whole *stmt
}

const (
	rowColumns = "id, mch, state, class, due, said, otn, idem, prog"
	selectRow  = "SELECT " + rowColumns + " FROM n WHERE id = ?"
	selectBody = "SELECT data FROM body WHERE id = ?"

	// selectWhole has the body as its last column.
	selectWhole = "SELECT n.id, mch, state, class, due, said, otn, idem, prog, body.data " +
		"FROM n LEFT JOIN body ON body.id = n.id WHERE n.id = ?"

	// selectMany is the same for a list of ids; its end is missing.
	selectMany = "SELECT n.id, mch, state, class, due, said, otn, idem, prog, body.data " +
		"FROM n LEFT JOIN body ON body.id = n.id WHERE n.id IN (?"
)

func (st *statements) prepare(c *conn) error {
	for _, p := range []struct {
		into **stmt
		text string
	}{
		{&st.begin, "BEGIN IMMEDIATE"},
		{&st.commit, "COMMIT"},
		{&st.insertN, "INSERT INTO n VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&st.insertBody, "INSERT INTO body VALUES (?, ?)"},
		{&st.updateN, "UPDATE n SET state = ?, class = ?, due = ?, said = ?, held = ?, prog = ? WHERE id = ?"},
		{&st.insertAttempt, "INSERT INTO attempts VALUES (?, ?, ?)"},
		{&st.live, "UPDATE live SET claims = ?, counters = ?"},
		{&st.byIdem, "SELECT id FROM n WHERE mch = ? AND idem = ?"},
		{&st.row, selectRow},
		{&st.bodyOf, selectBody},
		{&st.whole, selectWhole},
		{&st.dueOf, "SELECT id, due FROM n WHERE mch = ? AND class = ? AND due IS NOT NULL " +
			"ORDER BY due, id LIMIT ?"},
	} {
		s, err := c.prepare(p.text)
		if err != nil {
			return err
		}
		*p.into = s
	}
	return nil
}

func nullText(v string) any {
	if v == "" {
		return nil
	}
	return v
}

// indexed is what stands in the class and due columns.
func (r *row) indexed() (class, due any) {
	if r.due == 0 {
		return nil, nil
	}
	return int64(r.class), r.due
}

func heldColumn(blocked bool) any {
	if blocked {
		return int64(1)
	}
	return nil
}

// insert writes a new notification.
func (w *writer) insert(r *row, body []byte) error {
	if err := w.begin(); err != nil {
		return err
	}
	r.said = w.words.id(r.n.LastVerdict, r.n.LastReason)
	r.setDue()
	w.note(r)
	class, due := r.indexed()
	w.buf = r.prog(w.buf, w.words)
	err := w.st.insertN.do(r.id, r.mch, int64(number(states, r.n.State)), class, due, r.said,
		heldColumn(r.n.Blocked), nullText(r.n.OutTradeNo), nullText(r.n.IdempotencyKey), w.buf)
	if err != nil {
		return err
	}
	return w.st.insertBody.do(r.id, body)
}

// update writes what has changed of a notification.
func (w *writer) update(r *row) error {
	if err := w.begin(); err != nil {
		return err
	}
	r.said = w.words.id(r.n.LastVerdict, r.n.LastReason)
	r.setDue()
	w.note(r)
	class, due := r.indexed()
	w.buf = r.prog(w.buf, w.words)
	return w.st.updateN.do(int64(number(states, r.n.State)), class, due, r.said, heldColumn(r.n.Blocked),
		w.buf, r.id)
}

// scan reads a row of rowColumns, without its body. A damaged one is errDamaged.
func (r *row) scan(rs *rows, mchID func(int64) string, w *words) error {
	r.id, r.mch = rs.int(0), rs.int(1)
	state := rs.int(2)
	r.n.State = store.Quarantined
	if state >= 0 && state < int64(len(states)) {
		r.n.State = states[state]
	}
	r.class, r.due, r.said = store.Class(rs.int(3)), rs.int(4), rs.int(5)
	r.n.OutTradeNo, r.n.IdempotencyKey = rs.text(6), rs.text(7)
	r.n.MchID = mchID(r.mch)
	return r.unpack(rs.blob(8), w)
}

// loadRow reads a notification without its body, or reports that there is none. A damaged one is errDamaged
// with what could be read.
func (w *writer) loadRow(id int64) (*row, error) {
	return w.readRow(w.st.row, id, func(r *row, rs *rows) error { return r.scan(rs, w.mchID, w.words) })
}

// loadVerified reads a notification with its body and verifies that it is what was accepted. A damaged one
// is errDamaged with what could be read.
func (w *writer) loadVerified(id int64) (*row, error) {
	return w.readRow(w.st.whole, id, func(r *row, rs *rows) error {
		bad := r.scan(rs, w.mchID, w.words)
		body := rs.blob(9)
		if bad == nil && bodySum(packed.Sum(body), &r.n) != r.bodySum {
			bad = errDamaged
		}
		if unpacked := unpackBody(body, &r.n); bad == nil {
			bad = unpacked
		}
		return bad
	})
}

// readRow reads one row by its id with a statement; scan takes it apart and tells whether it is damaged.
func (w *writer) readRow(st *stmt, id int64, scan func(r *row, rs *rows) error) (r *row, err error) {
	if err := w.begin(); err != nil {
		return nil, err
	}
	var bad error
	_, err = st.query(context.Background(), id).one(func(rs *rows) {
		r = &row{}
		bad = scan(r, rs)
	})
	if err != nil {
		return nil, err
	}
	return r, bad
}

func (w *writer) mchID(num int64) string {
	if l := w.byNum[num]; l != nil {
		return l.id
	}
	return ""
}
