// Package examples runs the receivers of examples/merchant, each in its own runtime, against the running
// binary: what is sent to them is acknowledged and booked once, and what is forged, replayed or not theirs is
// refused. A receiver whose runtime is not on the machine is skipped.
//
// It has tests only. Start reading at TestReceivers in receivers_test.go, then at examples/merchant.
package examples
