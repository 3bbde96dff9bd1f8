package hostile

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"paynotify/dispatcher/egress"
	"paynotify/sandbox"
)

// verdicts of the sandbox merchant's replies, in the words of "paynotify listen --reply".
var sandboxRows = map[string]row{
	"success":    {want: "acked ack_exact"},
	"fail":       {want: "refused ack_mismatch"},
	"bom":        {want: "acked ack_trimmed"},
	"newline":    {want: "acked ack_trimmed"},
	"upper":      {want: "refused ack_case"},
	"quoted":     {want: "refused ack_quoted"},
	"json":       {want: "refused ack_json"},
	"html":       {want: "refused ack_html"},
	"php-notice": {want: "refused ack_php_notice"},
	"empty":      {want: "refused ack_empty"},
	"slow":       {want: "timeout timeout_headers", limit: soon},
	"drip":       {want: "timeout timeout_body", limit: soon},
	"endless":    {want: "bad_reply too_large"},
	"gzip-bomb":  {want: "bad_reply too_large"},
	"redirect":   {want: "http_3xx redirect"},
	"201":        {want: "refused ack_status"},
	"204":        {want: "refused ack_empty"},
	"500":        {want: "http_5xx http_status"},
	"101":        {want: "bad_reply upgrade"},
	"reset":      {want: "connect_error conn_reset"},
	"truncated":  {want: "bad_reply truncated"},
	"flaky:2":    {want: "refused ack_mismatch"},
}

// TestSandboxReplies: each gets its verdict, plain and TLS; a reply that is added needs a row here.
func TestSandboxReplies(t *testing.T) {
	t.Parallel()
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
				if got := outcome(j); got != r.want {
					t.Errorf("got %s (%s; %s), want %s", got, j.Detail, res.Detail, r.want)
				}
			})
		}
	}
}
