package sandbox

import (
	"net"
	"sync"
)

// limit makes a listener that serves at most n connections at once: a sender without a cap of its own must
// not be able to grow a test receiver without end.
func limit(ln net.Listener, n int) net.Listener {
	return &limited{Listener: ln, places: make(chan struct{}, n), closed: make(chan struct{})}
}

type limited struct {
	net.Listener

	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept waits for a place, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{Conn: c, leave: func() { <-l.places }}, nil
}

// Close ends the listener and an Accept that waits for a place.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// placed is a connection that gives its place back once.
type placed struct {
	net.Conn

	leave func()
	once  sync.Once
}

// Close closes the connection and gives its place back.
func (c *placed) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}

// Reset closes the socket with a TCP reset, without the farewell that TLS would send. Without TCP it is an
// ordinary close.
func (c *placed) Reset() error {
	socket := c.Conn
	if secure, ok := socket.(interface{ NetConn() net.Conn }); ok {
		socket = secure.NetConn()
	}
	if tcp, ok := socket.(*net.TCPConn); ok {
		tcp.SetLinger(0) //nolint:errcheck // then it is an ordinary close
	}
	return socket.Close()
}
