package hostile

import (
	"bufio"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/store"
)

// TestReplies is the matrix of replies over real sockets, plain and TLS, through the client and the judge.
func TestReplies(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, over := range []struct {
		name string
		conf *tls.Config
	}{{"plain", nil}, {"TLS", ca.shows(nil)}} {
		t.Run(over.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range slices.Concat(words, statuses(), framing, timing) {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					m := newMerchant(t, over.conf, r.talk)
					check(t, r, m, egress.Options{RootCAs: ca.pool})
				})
			}
		})
	}
}

// TestEndsWithoutFarewell: a reply without a length ends with its connection, also over TLS and also when the
// server closes without the alert that RFC 8446 asks for: many do, and then every send would come to nothing.
// But one that is cut inside a record is not whole.
func TestEndsWithoutFarewell(t *testing.T) {
	ca := newAuthority(t)
	conf := ca.shows(nil)
	for _, tt := range []struct {
		missing int
		want    string
	}{{0, "acked ack_exact"}, {1, "bad_reply truncated"}} {
		m := newMerchant(t, nil, func(c conn) {
			short := &shortened{Conn: c.raw}
			secure := tls.Server(short, conf)
			c.br = bufio.NewReader(secure)
			if c.request() != nil {
				_, _ = secure.Write([]byte(head("") + "suc"))
				short.missing = tt.missing
				_, _ = secure.Write([]byte("cess"))
			}
			c.raw.Close()
		})
		m.url = strings.Replace(m.url, "http:", "https:", 1)
		check(t, row{want: tt.want}, m, egress.Options{RootCAs: ca.pool})
	}
}

// shortened loses the last bytes of what is written.
type shortened struct {
	net.Conn

	missing int
}

func (s *shortened) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p[:len(p)-s.missing])
	return n + s.missing, err
}

// talk is what the merchant does with a connection.
func (r row) talk(c conn) {
	switch {
	case r.unasked != nil:
		if secure, ok := c.Conn.(*tls.Conn); ok && secure.Handshake() != nil {
			return
		}
		r.unasked(c)
	case c.request() == nil:
	case r.act != nil:
		r.act(c)
	default:
		c.say(r.raw)
	}
	c.Close()
}

// check sends one request and looks at what came of it, and at what is left of the connection.
func check(t *testing.T, r row, m *merchant, o egress.Options) {
	t.Helper()
	o.Rules.Dev = true
	c := egress.New(o)
	defer c.Close()
	j, res := send(t, c, r, m.url, "m1", "a=1")
	if got := outcome(j); got != r.want && (r.or == "" || got != r.or) {
		t.Errorf("got %s (%s; %s), want %s", got, j.Detail, res.Detail, r.want)
	}
	if len(res.Body) > egress.ReplyBytesMax {
		t.Errorf("%d bytes of the body were kept", len(res.Body))
	}
	c.Close() // now nothing is idle either, so nothing may be left
	if !until(func() bool { return m.open.Load() == 0 }) {
		t.Errorf("%d connections are open in the end", m.open.Load())
	}
}

// outcome is a judgement in the words of a row.
func outcome(j profile.Judgement) string { return string(j.Verdict) + " " + string(j.Reason) }

// send makes one exchange and has it judged.
func send(t *testing.T, c *egress.Client, r row, url, pool, body string) (profile.Judgement, egress.Result) {
	t.Helper()
	target, refused := (&egress.Rules{Dev: true}).CheckURL(url)
	if refused != nil {
		t.Fatal(refused)
	}
	ack, limit := r.ack, r.limit
	if ack.Match == "" {
		ack = trimAck
	}
	if limit == 0 {
		limit = patience
	}
	res := c.Do(t.Context(), &egress.Request{
		Pool: pool, Target: target, Body: []byte(body), Deadline: time.Now().Add(limit),
	})
	return profile.Judge(ack, profile.Reply{
		Status: res.Status, ContentType: res.ContentType, ContentEncoding: res.ContentEncoding, Body: res.Body,
		Fault: store.Reason(res.Fault),
	}), res
}
