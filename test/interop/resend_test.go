package interop

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"testing"
)

// TestResend sends twice: the first send is not acknowledged. Both verify, and the second keeps what the
// provider keeps, so that merchants can tell a repetition.
func TestResend(t *testing.T) {
	for _, c := range []struct {
		dialect string
		body    bool     // it stays, byte for byte
		keeps   []string // headers that stay
		renews  []string // headers that do not
	}{
		{dialect: "alipay"}, // a later notify_time, signed again; notify_id is compared below
		{dialect: "wechat_v2-md5", body: true},
		{dialect: "wechat_v2-refund", body: true},
		{
			dialect: "wechat_v3-certificate", body: true, keeps: []string{"Wechatpay-Serial"},
			renews: []string{"Wechatpay-Nonce", "Wechatpay-Signature"},
		},
		{dialect: "standard", body: true, keeps: []string{"Webhook-Id"}},
		{dialect: "stripe", body: true},
	} {
		t.Run(c.dialect, func(t *testing.T) {
			t.Parallel()
			d := dialectOf(t, c.dialect)
			m := register(t, d.settings)
			j := newJury(t, d, m)
			var sends atomic.Int64
			shop.serve(m, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if sends.Add(1) == 1 {
					w.WriteHeader(http.StatusInternalServerError)
					return
				}
				j.ServeHTTP(w, r)
			}))
			id := send(t, m, d.notification)
			attempts(t, id, 1)
			var answer object
			call(t, http.MethodPost, "/v1/notifications/"+id+"/resend", object{"reason": "the shop was down"}, &answer)
			if n := attempts(t, id, 2); n.State != "spent" {
				t.Fatalf("%s after the second send: %v", n.State, j.refusals(randomShown))
			}
			requests := shop.of(m)
			first, second := requests[0], requests[1]
			if status, reply := first.replay(j); !d.acked(status, reply) {
				t.Errorf("the first send: %v", j.refusals(randomShown))
			}
			if c.body && !bytes.Equal(first.body, second.body) {
				t.Errorf("the body was\n%s\nand is\n%s", first.body, second.body)
			}
			for _, name := range c.keeps {
				if was, is := first.header.Get(name), second.header.Get(name); was != is || was == "" {
					t.Errorf("header %s was %q and is %q", name, was, is)
				}
			}
			for _, name := range c.renews {
				if first.header.Get(name) == second.header.Get(name) {
					t.Errorf("header %s stays %q", name, first.header.Get(name))
				}
			}
			sameNotifyID(t, first, second)
		})
	}
}

// sameNotifyID compares the notify_id of forms.
func sameNotifyID(t *testing.T, first, second received) {
	t.Helper()
	before, _ := formContent(known{}, first)
	after, _ := formContent(known{}, second)
	if before["notify_id"] != after["notify_id"] {
		t.Errorf("notify_id was %v and is %v", before["notify_id"], after["notify_id"])
	}
}
