package sqlitestore

import "time"

// Now is the clock that decides when something is due.
func (s *Store) Now() time.Time { return s.opts.Now() }
