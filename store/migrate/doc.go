// Package migrate moves everything from one store to another of any kind, while nobody serves either:
// merchants, notifications with their attempts and idempotency keys, the switch, API keys, the audit log,
// marks, and the texts of Meta.
//
// At every instant exactly one of the two stores may be served, and the stores say so themselves by marks
// (see store.CheckMarks): the target is marked before anything is written to it, the source when the target
// has been read again and has the same counts and the same checksum, and only then the target's mark comes
// off. Whenever it is killed, Run goes on when it is called again; if the source was served meanwhile, it
// starts over.
//
// Start reading at Run.
package migrate
