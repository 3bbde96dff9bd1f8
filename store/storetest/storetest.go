// Package storetest checks that a store.Store keeps its promises, one case per promise, in the order in which
// the interface states them, and measures what every Store has to do often.
//
// A backend calls Run, Properties and Benchmarks from its own tests. The suite knows nothing of the backend:
// it reads the clock only through the Harness, allows that clock to tick on by itself, expects times to be
// kept to the millisecond or finer, and takes tokens and cursors as they come.
//
// Start reading at Harness, then at Run.
package storetest

import (
	"slices"
	"testing"
	"time"

	"paynotify/store"
)

// MaxInflightDefault is the cap that the Store under test is to use for merchants without one.
const MaxInflightDefault = 16

// Harness is one fresh, empty Store under test, and power over it.
//
// The function that makes it registers what has to be cleaned up with the test it was given, and fails that
// test when one of its steps fails. The suite closes the Store when it has no more use for it; closing it
// again must do no harm. After Reopen and Crash the old Store is not used any more.
type Harness struct {
	// Store is open, has no merchants, and MaxInflightDefault as its default cap.
	Store store.Store
	// Now reads the store's clock.
	Now func() time.Time
	// Advance moves the store's clock forward, also while the Store is in use. The clock survives Reopen and
	// Crash.
	Advance func(d time.Duration)
	// Reopen closes the Store cleanly and opens what it left behind.
	Reopen func() store.Store
	// Crash opens what is left when the process dies now, without a chance to close or flush (kill -9).
	Crash func() store.Store
	// Damage spoils the frozen part of a stored record behind the Store's back. Nil skips what needs it.
	Damage func(notifyID string)
}

// testCase is one promise.
type testCase struct {
	name string
	run  func(e *env)
}

// cases follow the comments of store.Store.
func cases() []testCase {
	return slices.Concat(acceptCases, wantCases, claimCases, limitCases, breakerCases, settleCases, lateCases,
		readyCases, wakesCases, recoverCases, getCases, listCases, followCases, personCases, surveyCases,
		statsCases, pruneCases, merchantCases, sendingCases, keyCases, auditCases, markCases, crashCases)
}

// Run checks every promise on a Store of its own, and then the properties (see Properties and surveys).
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, open(t))
			defer e.close()
			c.run(e)
		})
	}
	t.Run("Properties", func(t *testing.T) { Properties(t, open) })
	t.Run("Surveys", func(t *testing.T) { surveys(t, open, nil) })
}
