package hostile

import (
	"crypto/tls"
	"strconv"
	"strings"
	"sync"
	"testing"

	"paynotify/dispatcher/egress"
	"paynotify/store"
)

// TestOneHostTwentyMerchants: a platform hosts twenty merchants behind one address. Some say yes, some say
// no, and behind the replies to some stand bytes that look like the reply to somebody's next request: the
// word that the others do not say. Whatever of it the client ever reads, it never decides about another
// merchant.
func TestOneHostTwentyMerchants(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, over := range []struct {
		name string
		conf *tls.Config
	}{{"plain", nil}, {"TLS", ca.shows(nil)}} {
		t.Run(over.name, func(t *testing.T) {
			t.Parallel()
			host := newMerchant(t, over.conf, platform)
			c := egress.New(egress.Options{Rules: egress.Rules{Dev: true}, RootCAs: ca.pool})
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() { sendMany(t, c, host.url, i) })
			}
			all.Wait()
			// What is open belongs to the pool, and ends with it.
			if !until(func() bool { return host.open.Load() <= 20 }) {
				t.Errorf("%d connections stay open for 20 merchants that send one after the other", host.open.Load())
			}
			c.Close()
			if !until(func() bool { return host.open.Load() == 0 }) {
				t.Errorf("%d connections are open in the end", host.open.Load())
			}
		})
	}
}

// kinds of merchants: what they answer, and what stands behind it.
var kinds = []struct{ says, behind, when string }{
	{"success", "", ""},
	{"fail", "", ""},
	{"success", "fail", "together"},
	{"fail", "success", "together"},
	{"success", "fail", "late"},
	{"fail", "success", "late"},
}

// platform answers as the request's path asks, and tells the request by its body.
func platform(c conn) {
	for req := c.request(); req != nil; req = c.request() {
		kind, err := strconv.Atoi(req.URL.RawQuery)
		if err != nil {
			return
		}
		k := kinds[kind]
		reply, stray := body(k.says), ""
		if k.behind != "" {
			stray = body(k.behind)
		}
		if k.when == "together" {
			reply, stray = reply+stray, ""
		}
		if !c.say(reply) || stray != "" && !c.say(stray) {
			return
		}
	}
}

// sendMany is one merchant's notifications, one after the other on its kept-alive connections.
func sendMany(t *testing.T, c *egress.Client, url string, merchant int) {
	kind := merchant % len(kinds)
	k := kinds[kind]
	want := store.Acked
	if k.says == "fail" {
		want = store.Refused
	}
	reused := 0
	for i := range 60 {
		j, res := send(t, c, row{}, url+"?"+itoa(kind), "m"+itoa(merchant), "n="+itoa(i))
		if res.Reused {
			reused++
		}
		// Bytes that arrive between the look at a connection and the write cannot be told from a reply. They may
		// cost, or spare, the merchant whose server sends them a repeat; nobody else.
		if k.when != "late" && j.Verdict != want {
			t.Errorf("merchant %d (%+v): got %s/%s (%s)", merchant, k, j.Verdict, j.Reason, res.Detail)
		}
		if k.when == "late" && res.Fault == "" && !strings.Contains("success fail", string(res.Body)) {
			t.Errorf("merchant %d (%+v): read %q", merchant, k, res.Body)
		}
	}
	switch {
	case k.behind == "" && reused != 59:
		t.Errorf("merchant %d (%+v): %d of 60 sends reused a connection, want 59", merchant, k, reused)
	case k.when == "together" && reused != 0:
		t.Errorf("merchant %d (%+v): %d sends reused a connection with bytes behind a reply", merchant, k, reused)
	}
}
