//go:build faultpoint

package dispatcher

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// A build with -tags faultpoint kills itself with SIGKILL when it passes a named point for the nth time:
// FAULTPOINT=read_reply:8. The points, in order: claimed, wrote_request, read_reply, committed. It exists for
// the crash tests and is never released.
const faultPoints = true

var fault = readFault()

type faultAt struct {
	name string
	left atomic.Int64
}

func readFault() *faultAt {
	name, nth, _ := strings.Cut(os.Getenv("FAULTPOINT"), ":")
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil {
		n = 1
	}
	f := &faultAt{name: name}
	f.left.Store(n)
	return f
}

func point(name string) {
	if name == fault.name && fault.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
