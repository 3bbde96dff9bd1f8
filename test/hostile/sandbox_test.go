package hostile

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"paynotify/dispatcher/egress"
	"paynotify/sandbox"
	"paynotify/store"
)

// verdicts of the sandbox merchant's replies, in the words of "paynotify listen --reply".
var sandboxRows = map[string]row{
	"success":    {verdict: store.Acked, reason: store.AckExact},
	"fail":       {verdict: store.Refused, reason: store.AckMismatch},
	"bom":        {verdict: store.Acked, reason: store.AckTrimmed},
	"newline":    {verdict: store.Acked, reason: store.AckTrimmed},
	"upper":      {verdict: store.Refused, reason: store.AckCase},
	"quoted":     {verdict: store.Refused, reason: store.AckQuoted},
	"json":       {verdict: store.Refused, reason: store.AckJSON},
	"html":       {verdict: store.Refused, reason: store.AckHTML},
	"php-notice": {verdict: store.Refused, reason: store.AckPHPNotice},
	"empty":      {verdict: store.Refused, reason: store.AckEmpty},
	"slow":       {verdict: store.Timeout, reason: store.TimeoutHeaders, limit: soon},
	"drip":       {verdict: store.Timeout, reason: store.TimeoutBody, limit: soon},
	"endless":    {verdict: store.BadReply, reason: store.TooLarge},
	"gzip-bomb":  {verdict: store.BadReply, reason: store.TooLarge},
	"redirect":   {verdict: store.HTTP3xx, reason: store.Redirect},
	"201":        {verdict: store.Refused, reason: store.AckStatus},
	"204":        {verdict: store.Refused, reason: store.AckEmpty},
	"500":        {verdict: store.HTTP5xx, reason: store.HTTPStatus},
	"101":        {verdict: store.BadReply, reason: store.Upgrade},
	"reset":      {verdict: store.ConnectError, reason: store.ConnReset},
	"truncated":  {verdict: store.BadReply, reason: store.Truncated},
	"flaky:2":    {verdict: store.Refused, reason: store.AckMismatch},
}

// TestSandboxReplies: each gets its verdict, plain and TLS; a reply that is added needs a row here.
func TestSandboxReplies(t *testing.T) {
	ca := newAuthority(t)
	for _, over := range []struct {
		scheme string
		conf   *tls.Config
	}{{"http", nil}, {"https", ca.shows(nil)}} {
		for _, reply := range sandbox.Replies() {
			name := strings.Replace(reply.Name, ":N", ":2", 1)
			t.Run(over.scheme+" "+name, func(t *testing.T) {
				t.Parallel()
				r, ok := sandboxRows[name]
				if !ok {
					t.Fatalf("the reply %s has no row here", name)
				}
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				if over.conf != nil {
					l = tls.NewListener(l, over.conf)
				}
				m := &sandbox.Merchant{Reply: name}
				if err := m.Start(l); err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				c := egress.New(egress.Options{Rules: egress.Rules{Dev: true}, RootCAs: ca.pool})
				defer c.Close()
				j, res := send(t, c, r, over.scheme+"://"+l.Addr().String()+"/", "m1", "out_trade_no=1")
				if j.Verdict != r.verdict || j.Reason != r.reason {
					t.Errorf("got %s/%s (%s; %s), want %s/%s", j.Verdict, j.Reason, j.Detail, res.Detail, r.verdict, r.reason)
				}
			})
		}
	}
}
