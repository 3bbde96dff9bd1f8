package redis

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Below the range from which Linux takes the ports of outgoing connections (32768 on): a server that is
// restarted on its port must not find it taken by one of the thousands of connections of a test under load.
const (
	portFirst = 20000
	portCount = 10000
)

// FreePort is a port of loopback on which nobody listens at this moment and which no outgoing connection
// gets.
func FreePort(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		port := strconv.Itoa(portFirst + rand.IntN(portCount))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		return port
	}
	tb.Fatal("no free port between 20000 and 29999")
	return ""
}
