package localqueue_test

import (
	"testing"

	"go.uber.org/goleak"

	"paynotify/queue"
	"paynotify/queue/localqueue"
	"paynotify/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	queuetest.Run(t, func(*testing.T) queue.Queue { return localqueue.New() })
}
