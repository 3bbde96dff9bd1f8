// Package retry says when to send again: named schedules of the payment providers, and lists of waits.
//
// It reads no clock: instants come in and go out. A schedule is capped by the number of its sends, never by
// the time that has passed, so a late send costs a merchant nothing.
//
// Start reading at Schedule, then at Schedule.Next.
package retry
