package sqlitestore

import (
	"testing"

	"paynotify/store/storetest"
)

func TestMover(t *testing.T) {
	storetest.RunMover(t, func(t *testing.T) storetest.Harness { return harness(t) })
}
