package sqlitestore

import (
	"context"
	"time"
)

// The write-ahead log is folded into the database by a goroutine with a connection of its own, while the
// writer goes on. Under steady load such a checkpoint never reaches the end of the log, so the log could
// never start over; when it is long, the writer lets the checkpointer finish between two commits: what is
// left by then is short.

// noteLog counts what the log may have grown by and wakes the checkpointer. The writer calls it.
func (w *writer) noteLog() {
	if w.written++; w.written < checkEvery {
		return
	}
	w.written = 0
	select {
	case w.s.check <- struct{}{}:
	default:
	}
}

const (
	checkEvery = 512              // rows and commits between two looks at the log
	idleCheck  = 30 * time.Second // and at the latest
)

// logState is how many pages the log has, and how many of them have been folded in.
type logState struct{ busy, pages, done int64 }

func (s *Store) checkpointer(c *conn) {
	defer s.done.Done()
	defer func() {
		if err := c.close(); err != nil {
			s.log.Warn("closing the checkpointer's connection", "error", err)
		}
	}()
	tick := time.NewTicker(idleCheck)
	defer tick.Stop()
	for {
		select {
		case <-s.check:
		case <-tick.C:
		case <-s.quit:
			return
		case <-s.failed:
			return
		}
		s.checkpoint(c)
	}
}

// checkpoint folds the log in when it is long enough, and makes it start over when it is too long.
func (s *Store) checkpoint(c *conn) {
	st, err := runCheckpoint(c, "NOOP")
	if err == nil && st.pages-st.done >= walPagesSoft || st.pages >= walPagesHard {
		st, err = runCheckpoint(c, "PASSIVE")
	}
	if err == nil && st.pages >= walPagesHard {
		done := make(chan struct{})
		finish := func() {
			_, err = runCheckpoint(c, "PASSIVE")
			close(done)
		}
		select {
		case s.gate <- finish: // the next commit starts the log over
			<-done
		case <-s.gone:
		}
	}
	switch {
	case err == nil:
	case isFatal(err):
		s.w.fail(err)
	default:
		s.log.Warn("checkpoint", "error", err)
	}
}

func runCheckpoint(c *conn, mode string) (st logState, err error) {
	_, err = c.query(context.Background(), "PRAGMA wal_checkpoint("+mode+")").one(func(r *rows) {
		st = logState{r.int(0), r.int(1), r.int(2)}
	})
	return st, err
}
