package egress

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A stub resolver that asks one server and reads no file, because net.Resolver always reads /etc/hosts
// first. It asks for A and AAAA over UDP, and again over TCP for what does not fit (RFC 1035, RFC 7766).

const (
	dnsTypeA      = 1
	dnsTypeAAAA   = 28
	dnsClassIN    = 1
	dnsHeaderLen  = 12
	dnsUDPMax     = 1232            // what our buffer takes; without EDNS a server sends at most 512
	dnsRetryAfter = 2 * time.Second // a lost datagram is asked again after this
	dnsTries      = 3
	dnsRcodeOK    = 0
	dnsRcodeName  = 3 // NXDOMAIN
)

var errDNS = errors.New("not an answer to our question")

// dnsAnswer is what a server said to one question.
type dnsAnswer struct {
	rcode int
	cut   bool // ask again over TCP
	addrs []netip.Addr
}

// lookupAt asks server (HOST:PORT) for the addresses of name.
func lookupAt(ctx context.Context, server, name string) ([]netip.Addr, error) {
	var a4, a6 dnsAnswer
	var err4, err6 error
	var both sync.WaitGroup
	both.Go(func() { a4, err4 = askBoth(ctx, server, name, dnsTypeA) })
	both.Go(func() { a6, err6 = askBoth(ctx, server, name, dnsTypeAAAA) })
	both.Wait()
	addrs := append(a4.addrs, a6.addrs...)
	if len(addrs) > 0 {
		return addrs, nil
	}
	failed := &net.DNSError{Name: name, Server: server}
	for _, err := range []error{err4, err6} {
		if err != nil {
			failed.Err, failed.IsTimeout, failed.IsTemporary = err.Error(), isTimeout(err), true
			return nil, failed
		}
	}
	for _, a := range []dnsAnswer{a4, a6} {
		if a.rcode != dnsRcodeOK && a.rcode != dnsRcodeName {
			failed.Err, failed.IsTemporary = "server misbehaving", true
			return nil, failed
		}
	}
	failed.Err, failed.IsNotFound = "no such host", true
	return nil, failed
}

// askBoth asks over UDP, and over TCP where the answer was cut.
func askBoth(ctx context.Context, server, name string, qtype uint16) (dnsAnswer, error) {
	a, err := ask(ctx, "udp", server, name, qtype)
	if err == nil && a.cut {
		a, err = ask(ctx, "tcp", server, name, qtype)
	}
	return a, err
}

func ask(ctx context.Context, network, server, name string, qtype uint16) (dnsAnswer, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server)
	if err != nil {
		return dnsAnswer{}, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var id [2]byte // nobody on the path but the server may guess it
	_, _ = rand.Read(id[:])
	question := appendQuestion(nil, id, name, qtype)
	if network == "tcp" {
		return askTCP(ctx, c, question)
	}
	for range dnsTries {
		var a dnsAnswer
		if a, err = askUDP(ctx, c, question); err == nil || !isTimeout(err) || ctx.Err() != nil {
			return a, err
		}
	}
	return dnsAnswer{}, err
}

// dnsDeadline is the end of one try: never later than the context's.
func dnsDeadline(ctx context.Context) time.Time {
	end := time.Now().Add(dnsRetryAfter)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		return d
	}
	return end
}

// askUDP sends the question once and waits for its answer; datagrams that answer something else are dropped.
func askUDP(ctx context.Context, c net.Conn, question []byte) (dnsAnswer, error) {
	_ = c.SetDeadline(dnsDeadline(ctx))
	if ctx.Err() != nil { // the deadline just set may have undone the cancellation's
		return dnsAnswer{}, ctx.Err()
	}
	if _, err := c.Write(question); err != nil {
		return dnsAnswer{}, err
	}
	buf := make([]byte, dnsUDPMax)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return dnsAnswer{}, err
		}
		if a, err := parseAnswer(buf[:n], question); err == nil {
			return a, nil
		}
	}
}

func askTCP(ctx context.Context, c net.Conn, question []byte) (dnsAnswer, error) {
	_ = c.SetDeadline(dnsDeadline(ctx))
	if ctx.Err() != nil {
		return dnsAnswer{}, ctx.Err()
	}
	//nolint:gosec // a question has at most 271 bytes: CheckURL bounds the name
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(question)))
	if _, err := c.Write(append(framed, question...)); err != nil {
		return dnsAnswer{}, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return dnsAnswer{}, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return dnsAnswer{}, err
	}
	return parseAnswer(buf, question)
}

// appendQuestion writes a query with recursion desired. The name is one that CheckURL passed.
func appendQuestion(b []byte, id [2]byte, name string, qtype uint16) []byte {
	b = append(b, id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range strings.SplitSeq(name, ".") {
		b = append(b, byte(len(label))) //nolint:gosec // at most labelCharsMax, of a name that CheckURL passed
		b = append(b, label...)
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, qtype)
	return binary.BigEndian.AppendUint16(b, dnsClassIN)
}

// parseAnswer reads the answer to our question. Addresses count whatever name they stand under: they are the
// end of a CNAME chain that the server has followed, and every one of them is judged before it is dialled.
func parseAnswer(m, question []byte) (dnsAnswer, error) {
	var a dnsAnswer
	if len(m) < len(question) || m[0] != question[0] || m[1] != question[1] || m[2]&0x80 == 0 ||
		binary.BigEndian.Uint16(m[4:]) != 1 || !sameQuestion(m, question) {
		return a, errDNS
	}
	a.cut, a.rcode = m[2]&2 != 0, int(m[3]&15)
	qtype := binary.BigEndian.Uint16(question[len(question)-4:])
	off := len(question)
	for range binary.BigEndian.Uint16(m[6:]) {
		off = skipName(m, off)
		if off < 0 || off+10 > len(m) {
			return a, cutOr(a, errDNS)
		}
		rtype, class := binary.BigEndian.Uint16(m[off:]), binary.BigEndian.Uint16(m[off+2:])
		end := off + 10 + int(binary.BigEndian.Uint16(m[off+8:]))
		if end > len(m) {
			return a, cutOr(a, errDNS)
		}
		if rtype == qtype && class == dnsClassIN {
			if ip, ok := netip.AddrFromSlice(m[off+10 : end]); ok && ip.Is4() == (qtype == dnsTypeA) {
				a.addrs = append(a.addrs, ip)
			}
		}
		off = end
	}
	return a, nil
}

// cutOr forgives an incomplete record where the server itself says that the message was cut.
func cutOr(a dnsAnswer, err error) error {
	if a.cut {
		return nil
	}
	return err
}

// sameQuestion compares the question sections; servers may change the case of the name.
func sameQuestion(m, question []byte) bool {
	name := len(question) - 4 // where the name ends; behind it stand type and class
	return bytes.EqualFold(m[dnsHeaderLen:name], question[dnsHeaderLen:name]) &&
		bytes.Equal(m[name:len(question)], question[name:])
}

// skipName returns the offset behind a name, or -1. A compression pointer ends a name, so it need not be
// followed.
func skipName(m []byte, off int) int {
	for off < len(m) {
		switch n := int(m[off]); {
		case n == 0:
			return off + 1
		case n&0xc0 == 0xc0:
			return off + 2
		case n&0xc0 != 0:
			return -1
		default:
			off += 1 + n
		}
	}
	return -1
}
