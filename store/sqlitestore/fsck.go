package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"paynotify/store"
	"paynotify/store/packed"
)

// damagedListed is how many damaged records a Report names; it counts all.
const damagedListed = 1000

// Report is what Fsck found. The zero lists mean a sound database.
type Report struct {
	Merchants     int      // looked at
	Notifications int      // looked at
	Attempts      int      // looked at
	Keys          int      // API keys looked at
	Audit         int      // entries of the audit log looked at
	Integrity     []string // what SQLite's integrity_check says, at most 100 lines; empty when it says ok
	Damaged       []string // records that are not what was written: notify_ids, or what is left of their names
	DamagedTotal  int
}

// Sound reports whether nothing was found.
func (r *Report) Sound() bool { return len(r.Integrity) == 0 && r.DamagedTotal == 0 }

// Fsck checks a database that nobody serves: SQLite's integrity check, the checksum of every merchant,
// notification, attempt and API key, and the chain of the audit log. It changes nothing. It fails with an
// InUseError when the database is served, with a NewerSchemaError, or when it cannot be read at all.
func Fsck(path string) (rep Report, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return rep, err
	}
	if _, err := os.Stat(path); err != nil {
		return rep, fmt.Errorf("fsck: %w", err)
	}
	l, err := lock(path)
	if err != nil {
		return rep, fmt.Errorf("fsck: %w", err)
	}
	defer func() { err = errors.Join(err, l.unlock()) }()
	c, err := openConn(dsn(path), "query_only=1", "cache_size=-16384")
	if err != nil {
		return rep, fmt.Errorf("fsck: %w", err)
	}
	defer func() { err = errors.Join(err, c.close()) }()
	version, err := checkVersion(c, path)
	switch {
	case err != nil:
		return rep, fmt.Errorf("fsck: %w", err)
	case version != len(migrations):
		return rep, fmt.Errorf("fsck: %s has schema version %d and not %d: start the server on it once",
			path, version, len(migrations))
	}
	k := checker{c: c, rep: &rep, words: &words{}, names: map[int64]string{}}
	for _, step := range []func() error{
		k.integrity, k.dictionary, k.merchants, k.notifications, k.attempts, k.live, k.keys, k.audit,
	} {
		if err := step(); err != nil {
			// What SQLite cannot even read is a finding, the last one.
			rep.Integrity = append(rep.Integrity, err.Error())
			break
		}
	}
	return rep, nil
}

type checker struct {
	c     *conn
	rep   *Report
	words *words
	names map[int64]string
}

func (k *checker) damaged(format string, args ...any) {
	k.rep.DamagedTotal++
	if len(k.rep.Damaged) < damagedListed {
		k.rep.Damaged = append(k.rep.Damaged, fmt.Sprintf(format, args...))
	}
}

func (k *checker) integrity() error {
	rs := k.c.query(context.Background(), "PRAGMA integrity_check")
	for rs.next() {
		if line := rs.text(0); line != "ok" {
			k.rep.Integrity = append(k.rep.Integrity, line)
		}
	}
	return rs.close()
}

func (k *checker) dictionary() error { return k.words.load(k.c) }

func (k *checker) merchants() error {
	rs := k.c.query(context.Background(), "SELECT num, mch_id, lane, data FROM merchants")
	for rs.next() {
		k.rep.Merchants++
		k.names[rs.int(0)] = rs.text(1)
		if rs.null(3) {
			continue
		}
		m, err := unpackMerchant(rs.blob(3))
		if err == nil && m.MchID != rs.text(1) {
			err = errDamaged
		}
		if err = errors.Join(err, (&lane{}).unpack(rs.blob(2))); err != nil {
			k.damaged("merchant %s", rs.text(1))
		}
	}
	return rs.close()
}

func (k *checker) notifications() error {
	rs := k.c.query(context.Background(),
		"SELECT n.id, mch, state, class, due, said, otn, idem, prog, data FROM n LEFT JOIN body ON body.id = n.id")
	name := func(num int64) string { return k.names[num] }
	for rs.next() {
		k.rep.Notifications++
		var r row
		err := r.scan(rs, name, k.words)
		body := rs.blob(9)
		if err == nil && bodySum(packed.Sum(body), &r.n) != r.bodySum {
			err = errDamaged
		}
		if err == nil {
			err = unpackBody(body, &r.n)
		}
		if err != nil {
			k.damaged("%s", named(&r))
		}
	}
	if err := rs.close(); err != nil {
		return err
	}
	rs = k.c.query(context.Background(), "SELECT id FROM body WHERE id NOT IN (SELECT id FROM n)")
	for rs.next() {
		k.damaged("the body %d of no notification", rs.int(0))
	}
	return rs.close()
}

// named is the notify_id of a row that may be damaged.
func named(r *row) string {
	if r.n.NotifyID != "" {
		return r.n.NotifyID
	}
	return fmt.Sprintf("the notification accepted at microsecond %d", r.id)
}

func (k *checker) attempts() error {
	rs := k.c.query(context.Background(), "SELECT seq, nid, data FROM attempts")
	for rs.next() {
		k.rep.Attempts++
		if _, err := unpackRecord(rs.blob(2), rs.int(1), k.words); err != nil {
			k.damaged("attempt %d, of the notification accepted at microsecond %d", rs.int(0), rs.int(1))
		}
	}
	return rs.close()
}

func (k *checker) live() error {
	_, err := k.c.query(context.Background(), "SELECT claims, counters FROM live").one(func(r *rows) {
		for i := range 2 {
			if b := r.blob(i); len(b) > 0 {
				if _, err := opened(b); err != nil {
					k.damaged("the row of claims and counters (the next start counts anew)")
				}
			}
		}
	})
	return err
}

func (k *checker) keys() error {
	rs := k.c.query(context.Background(), "SELECT id, data FROM keys")
	for rs.next() {
		k.rep.Keys++
		if _, err := unpackKey(rs.text(0), rs.blob(1)); err != nil {
			k.damaged("API key %s", rs.text(0))
		}
	}
	return rs.close()
}

// audit follows the chain. It names every place where it breaks: behind it the chain goes on from what stands
// there.
func (k *checker) audit() error {
	last := store.AuditEntry{}
	rs := k.c.query(context.Background(), "SELECT "+auditColumns+" FROM audit ORDER BY seq")
	for rs.next() {
		k.rep.Audit++
		e := scanAudit(rs)
		switch {
		case e.Seq != last.Seq+1:
			k.damaged("the audit log between entries %d and %d", last.Seq, e.Seq)
		case e.Sum != e.Chain(last.Sum):
			k.damaged("audit entry %d: it is not what was written, or the one before it is not", e.Seq)
		}
		last = e
	}
	return rs.close()
}
