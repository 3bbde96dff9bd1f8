package sqlitestore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"

	"modernc.org/sqlite"
)

// conn is one SQLite connection. It uses the driver below database/sql: the writer's statements run a
// hundred thousand times a second, and there is nothing for a pool to do with a connection that one
// goroutine owns. Not safe for concurrent use.
type conn struct {
	raw   driver.Conn
	stmts map[string]*stmt // prepared once, by their text
}

// stmt is a prepared statement with its argument list, which is used again at every run.
type stmt struct {
	text string
	exec driver.StmtExecContext
	read driver.StmtQueryContext
	end  func() error
	args []driver.NamedValue
}

// rows walks over a result. After the last row, or an error, close it and look at its error.
type rows struct {
	raw driver.Rows
	row []driver.Value
	end func() error // of a statement that is not kept
	err error
}

// dsn is the URI of a database file. Errors are to name what failed, not what happened before.
func dsn(path string) string {
	u := url.URL{Path: path}
	return "file:" + u.EscapedPath() + "?_error_rc=1"
}

func openConn(uri string, pragmas ...string) (*conn, error) {
	raw, err := (&sqlite.Driver{}).Open(uri)
	if err != nil {
		return nil, err
	}
	c := &conn{raw: raw, stmts: make(map[string]*stmt)}
	for _, p := range pragmas {
		if err := c.run("PRAGMA " + p); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.end())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

// prepare returns the statement of that text, which stays prepared as long as the connection is open.
func (c *conn) prepare(text string) (*stmt, error) {
	if s, ok := c.stmts[text]; ok {
		return s, nil
	}
	raw, err := c.raw.Prepare(text)
	if err != nil {
		return nil, fmt.Errorf("%w in %q", err, text)
	}
	s := &stmt{text: text, end: raw.Close}
	s.exec, _ = raw.(driver.StmtExecContext)
	s.read, _ = raw.(driver.StmtQueryContext)
	if s.exec == nil || s.read == nil {
		return nil, errors.New("the SQLite driver lost its statement interfaces")
	}
	c.stmts[text] = s
	return s, nil
}

// run executes a statement once, without keeping it.
func (c *conn) run(text string) error {
	raw, err := c.raw.Prepare(text)
	if err != nil {
		return fmt.Errorf("%w in %q", err, text)
	}
	s := &stmt{text: text, exec: raw.(driver.StmtExecContext)} //nolint:forcetypeassert // prepare checks it
	return errors.Join(s.do(), raw.Close())
}

// do executes a prepared statement of the given text.
func (c *conn) do(text string, args ...any) error {
	s, err := c.prepare(text)
	if err != nil {
		return err
	}
	return s.do(args...)
}

// query starts a prepared query of the given text.
func (c *conn) query(ctx context.Context, text string, args ...any) *rows {
	s, err := c.prepare(text)
	if err != nil {
		return &rows{err: err}
	}
	return s.query(ctx, args...)
}

// queryOnce starts a query that is not worth keeping prepared: its text varies.
func (c *conn) queryOnce(ctx context.Context, text string, args ...any) *rows {
	raw, err := c.raw.Prepare(text)
	if err != nil {
		return &rows{err: fmt.Errorf("%w in %q", err, text)}
	}
	s := &stmt{text: text, read: raw.(driver.StmtQueryContext)} //nolint:forcetypeassert // prepare checks it
	rs := s.query(ctx, args...)
	rs.end = raw.Close
	return rs
}

func (s *stmt) bind(args []any) []driver.NamedValue {
	s.args = s.args[:0]
	for i, a := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return s.args
}

// do runs the statement. Arguments are nil, int64, float64, string or []byte.
func (s *stmt) do(args ...any) error {
	_, err := s.exec.ExecContext(context.Background(), s.bind(args))
	return err
}

func (s *stmt) query(ctx context.Context, args ...any) *rows {
	raw, err := s.read.QueryContext(ctx, s.bind(args))
	if err != nil {
		return &rows{err: err}
	}
	return &rows{raw: raw, row: make([]driver.Value, len(raw.Columns()))}
}

// next goes to the next row and reports whether there is one.
func (r *rows) next() bool {
	if r.err != nil || r.raw == nil {
		return false
	}
	err := r.raw.Next(r.row)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return err == nil
}

// close ends the query and returns its first error.
func (r *rows) close() error {
	if r.raw != nil {
		r.err = errors.Join(r.err, r.raw.Close())
		r.raw = nil
	}
	if r.end != nil {
		r.err = errors.Join(r.err, r.end())
		r.end = nil
	}
	return r.err
}

// one reads a query of at most one row: into(r) is called if there is one.
func (r *rows) one(into func(*rows)) (found bool, err error) {
	if found = r.next(); found {
		into(r)
	}
	return found, r.close()
}

func (r *rows) null(i int) bool { return r.row[i] == nil }

func (r *rows) int(i int) int64 {
	n, _ := r.row[i].(int64)
	return n
}

func (r *rows) text(i int) string {
	s, _ := r.row[i].(string)
	return s
}

func (r *rows) blob(i int) []byte {
	b, _ := r.row[i].([]byte)
	return b
}
