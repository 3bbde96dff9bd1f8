// Package dispatcher makes attempts: it takes accepted notifications in, hands lanes with work to runners,
// signs, POSTs, judges the reply and asks the store to write down what came of it.
//
//	Accept ─▶ store.Accept ─(claimed at once)─┐
//	waker ──▶ queue ──▶ lane runner ─ Claim ──┴▶ attempt: Deliver ─▶ settle
//
// A first send and a retry are the same function, Deliver. It cannot fail: whatever happens is an Outcome.
//
// Start reading at Dispatcher.Run, then Accept in intake.go, runLane in lane.go and Deliver in deliver.go.
package dispatcher
