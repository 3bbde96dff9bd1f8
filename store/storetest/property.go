package storetest

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// propertiesFor bounds how long Properties looks for a counter-example; -rapid.checks bounds it as well.
const propertiesFor = 4 * time.Second

// The invariants that every Store keeps under any order of events. They are the messages of failing
// properties, which rapid wants to be the same each time.
const (
	claimedEarly    = "claimed before it was due"
	claimedFinal    = "claimed though nothing is owed"
	claimedTwice    = "claimed while a claim is live"
	claimedOverCap  = "more claims live than the lane's cap"
	claimedOverRate = "more claims than the lane's rate allows"
	claimedHeld     = "claimed in a closed lane"
	claimedWrong    = "claim is not what was accepted and settled so far"
	claimTokens     = "a token was given out twice"
	claimsMissing   = "due, and not claimed though its lane is open, with places and tokens free"
	laneWrong       = "a lane's status is not so"
	wakesWrong      = "a lane without work was named"
	acceptedLost    = "accepted, and lost"
	neverClaimable  = "owed, and never claimable again"
	numbersGap      = "attempt numbers have gaps"
	countsWrong     = "counts are not those of the attempts"
	chargedToCrash  = "a send was charged to a crash"
	leftSpent       = "left spent"
	progressWrong   = "notification is not what the state machine makes of its history"
	interruptWrong  = "interrupted without a reason, or not as the state machine says"
	keyWrong        = "idempotency key answered wrongly"
	auditBroken     = "the audit log has a gap, or its chain is broken"
	accessWrong     = "an API key is not what was made of it"
	markWrong       = "a mark is not what was set"
)

// Properties checks the invariants over random interleavings of everything that can happen to a Store: accept
// (wanted or not, with keys or without), claim, settle (acknowledged, refused, uncharged, late), time, lost
// leases, crashes, restarts, resends, cancels, pauses, the switch, keys, audit and marks. Each history ends
// with a drain that proves that whatever is owed becomes claimable.
func Properties(t *testing.T, open func(t *testing.T) Harness) {
	started, failed := time.Now(), false
	rapid.Check(t, func(rt *rapid.T) {
		if time.Since(started) > propertiesFor && !failed {
			return
		}
		failed = true
		history(rt, open(t))
		failed = false
	})
}

// history is one random history on a fresh Store.
func history(rt *rapid.T, h Harness) {
	m := newModel(rt, h)
	defer m.e.close()
	rt.Repeat(map[string]func(*rapid.T){
		"":        func(*rapid.T) { m.check() }, // after every step
		"accept":  m.accept,
		"claim":   m.claim,
		"claims":  m.claim, // twice, so that it happens twice as often
		"settle":  m.settle,
		"settles": m.settle,
		"late":    m.settleLate,
		"advance": m.advance,
		"wakes":   m.wakes,
		"resend":  m.resend,
		"cancel":  m.cancel,
		"pause":   m.pause,
		"switch":  m.turnSwitch,
		"act":     m.act,
		"crash":   m.crash,
		"reopen":  m.reopen,
	})
	m.drain()
}
