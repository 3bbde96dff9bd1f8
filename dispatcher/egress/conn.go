package egress

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// conn is one connection to a merchant's server.
type conn struct {
	links // in the pool; only while idle

	key    poolKey
	raw    net.Conn   // the socket
	stream net.Conn   // raw, or TLS over it
	tls    *tlsState  // nil without TLS
	remote string     // ip:port
	peek   *peeker    // nil where raw is no socket
	cancel func()     // interrupt as a func value, made once
	mu     sync.Mutex // orders limit and interrupt
	cut    bool       // interrupted: no deadline may be moved any more
}

func newConn(key poolKey, raw net.Conn) *conn {
	c := &conn{key: key, raw: raw, stream: raw, remote: raw.RemoteAddr().String(), peek: newPeeker(raw)}
	c.cancel = c.interrupt
	return c
}

func (c *conn) close() { _ = c.raw.Close() } // nothing can be done about an error, and nothing is buffered

// limit sets the deadline of everything on the connection from now on.
func (c *conn) limit(t time.Time) {
	c.mu.Lock()
	if !c.cut {
		_ = c.raw.SetDeadline(t)
	}
	c.mu.Unlock()
}

// interrupt ends whatever the connection waits for. Moving the deadline needs no goroutine that watches.
func (c *conn) interrupt() {
	c.mu.Lock()
	c.cut = true
	_ = c.raw.SetDeadline(time.Unix(1, 0))
	c.mu.Unlock()
}

// silent reports whether an idle connection may carry another request: it is open, and not one byte has come
// that nobody asked for. It never blocks.
func (c *conn) silent() bool {
	return (c.tls == nil || c.tls.silent()) && (c.peek == nil || c.peek.silent())
}

// peeker looks at a socket without reading from it.
type peeker struct {
	sys  syscall.RawConn
	look func(fd uintptr)
	buf  [1]byte
	ok   bool
}

// newPeeker returns nil for what is no socket, as the pipes of tests are: such a connection counts as silent.
func newPeeker(raw net.Conn) *peeker {
	sc, ok := raw.(syscall.Conn)
	if !ok {
		return nil
	}
	sys, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	p := &peeker{sys: sys}
	p.look = func(fd uintptr) { p.ok = nothingToRead(fd, p.buf[:]) }
	return p
}

// silent uses Control and not Read, which would refuse once the deadline of the last exchange has passed.
func (p *peeker) silent() bool {
	p.ok = false
	return p.sys.Control(p.look) == nil && p.ok
}
