package sqlitestore

import (
	"context"
	"errors"
	"fmt"
)

// What lies on disk.
//
// n is the narrow table: one small row a notification with everything that changes. Lists filter it, claims
// and settlements rewrite it, forty rows lie on a page. body holds what is frozen at accept, written once.
// Both have the microsecond of acceptance as their key, which the notify_id carries, so a look-up by
// notify_id needs no index. (Notifications that were moved in may lie a little behind it: see moved.go.)
//
// A list by merchant goes along n_mch, which has every row but those that are claimed by the write that
// accepts them (they are in the live row) and those held for their own address (n_held); see parts.go.
//
// due and class say when the notification wants its next attempt (see store.Notification.Due) and are NULL
// when it wants none. A fresh notification that is claimed in the write that accepts it is never in the due
// index. Every index below that the way pending → spent need not touch is partial and leaves it out.
//
// A notification points to its last attempt (in prog), each attempt to the one before it: the timeline needs
// no index either. attempts.seq is the order of settlement.
//
// live is one row, written once a commit: the claims that are out, and the counters of Stats.
const schema = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE live (one INTEGER PRIMARY KEY CHECK (one = 1), claims BLOB NOT NULL, counters BLOB NOT NULL);
CREATE TABLE said (id INTEGER PRIMARY KEY, verdict TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE merchants (
  num INTEGER PRIMARY KEY,
  mch_id TEXT NOT NULL UNIQUE,
  lane BLOB,                      -- NULL: deleted; its notifications keep its name
  data BLOB
);
CREATE TABLE n (
  id INTEGER PRIMARY KEY,         -- microsecond of acceptance
  mch INTEGER NOT NULL,           -- merchants.num
  state INTEGER NOT NULL,         -- 0 pending, 1 spent, 2 exhausted, 3 canceled, 4 quarantined
  class INTEGER,                  -- store.Class of the next attempt
  due INTEGER,                    -- microsecond of the next attempt
  said INTEGER NOT NULL,          -- said.id of the last verdict and reason; 0 none, 1 acked/ack_exact
  held INTEGER,                   -- 1: its own address was refused
  otn TEXT,                       -- out_trade_no
  idem TEXT,                      -- idempotency key
  prog BLOB NOT NULL              -- the rest of its progress, and checksums; see codec.go
);
CREATE INDEX n_due ON n(mch, class, due) WHERE due IS NOT NULL;
CREATE INDEX n_mch ON n(mch, state) WHERE state <> 0 OR due IS NOT NULL;
CREATE INDEX n_otn ON n(otn) WHERE otn IS NOT NULL;
CREATE UNIQUE INDEX n_idem ON n(mch, idem) WHERE idem IS NOT NULL;
CREATE INDEX n_final ON n(state) WHERE state > 1;
CREATE INDEX n_said ON n(said) WHERE said > 1;
CREATE INDEX n_mch_said ON n(mch, said) WHERE said > 1;
CREATE INDEX n_held ON n(mch) WHERE held = 1;
CREATE TABLE body (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE attempts (seq INTEGER PRIMARY KEY, nid INTEGER NOT NULL, data BLOB NOT NULL);
INSERT INTO said VALUES (1, 'acked', 'ack_exact');
INSERT INTO live VALUES (1, x'', x'');
`

// access came with schema version 2: API keys, as JSON sealed with a checksum, and the audit log, in columns
// so that whoever audits it reads it without us. Marks lie in meta.
const access = `
CREATE TABLE keys (id TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,            -- microsecond
  actor TEXT NOT NULL,
  source TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  before TEXT NOT NULL,           -- JSON
  after TEXT NOT NULL,            -- JSON
  request TEXT NOT NULL,
  result TEXT NOT NULL,
  sum BLOB NOT NULL               -- see store.AuditEntry.Chain
);
`

// partition came with schema version 3: lists and counts by state and by what was said last, each in one
// range of an index.
const partition = `
DROP INDEX n_mch;
DROP INDEX n_mch_said;
DROP INDEX n_said;
CREATE INDEX n_mch ON n(mch, state, said) WHERE state <> 0 OR due IS NOT NULL;
CREATE INDEX n_said ON n(said, state) WHERE said > 1;
`

// migrations lead from a schema version to the next; the first one makes an empty file ours. Once released,
// an entry never changes.
var migrations = []string{schema, access, partition}

// applicationID stands in the header of every database of ours ("payn").
const applicationID = 0x7061796e

// ErrNewerSchema says that the file was written by a newer paynotify; see NewerSchemaError.
var ErrNewerSchema = errors.New("the database has a newer schema")

// NewerSchemaError names the schema versions of the file and of this program. It is an ErrNewerSchema.
type NewerSchemaError struct {
	Path       string
	Have, Know int
}

// Error tells what to do about it.
func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("%s has schema version %d, this paynotify knows up to %d: start the newer version, "+
		"or restore a backup from before the upgrade", e.Path, e.Have, e.Know)
}

// Unwrap returns ErrNewerSchema.
func (e *NewerSchemaError) Unwrap() error { return ErrNewerSchema }

// pragmaInt reads a pragma that is one number.
func (c *conn) pragmaInt(name string) (n int, err error) {
	_, err = c.query(context.Background(), "PRAGMA "+name).one(func(r *rows) { n = int(r.int(0)) })
	return n, err
}

// checkVersion tells the schema version of an open file and refuses foreign and newer ones.
func checkVersion(c *conn, path string) (int, error) {
	version, err := c.pragmaInt("user_version")
	if err != nil {
		return 0, err
	}
	app, err := c.pragmaInt("application_id")
	if err != nil {
		return 0, err
	}
	var tables int64
	_, err = c.query(context.Background(), "SELECT count(*) FROM sqlite_schema").
		one(func(r *rows) { tables = r.int(0) })
	switch {
	case err != nil:
		return 0, err
	case app != applicationID && (app != 0 || tables > 0 || version != 0):
		return 0, fmt.Errorf("%s is an SQLite database, but not one of paynotify: name another file", path)
	case version > len(migrations):
		return 0, &NewerSchemaError{Path: path, Have: version, Know: len(migrations)}
	}
	return version, nil
}

// migrate brings the schema up to date in one transaction: killed halfway it never happened. point is
// called before each step and before the commit; tests die there.
func migrate(c *conn, path string, point func(string)) (err error) {
	version, err := checkVersion(c, path)
	if err != nil || version == len(migrations) {
		return err
	}
	if err := c.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("migrating %s: %w", path, err), c.run("ROLLBACK"))
		}
	}()
	for ; version < len(migrations); version++ {
		point("migrate")
		if err := c.run(migrations[version]); err != nil {
			return err
		}
	}
	marks := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version)
	if err := c.run(marks); err != nil {
		return err
	}
	point("migrate")
	return c.run("COMMIT")
}
