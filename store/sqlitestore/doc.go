// Package sqlitestore is the embedded default Store: one SQLite file, one process, durable commits.
//
// One writer goroutine owns the writing connection and everything about lanes that is kept in memory. It
// takes whatever operations wait, runs them in one transaction, commits once and answers them all; a lone
// one is committed at once. Readers have connections of their own, a checkpointer has another one, and
// neither ever runs inside a caller's commit. A lock file keeps a second process out, so that at start
// every recorded claim is known to be dead.
//
// Start reading at Open in store.go, then at writer.loop in writer.go; schema.go shows what lies on disk.
package sqlitestore
