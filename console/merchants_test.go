package console

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"paynotify/api"
	"paynotify/store"
)

func TestMerchants(t *testing.T) {
	w := newWorld(t)
	w.get("merchants").want(200, "There are no merchants yet.")
	w.mapi("m1", `"name":"Shop <b>1</b>"`)
	w.mapi("m2")
	w.send("m1", "order-1")
	w.settle("m1", acked)
	w.send("m1", "order-2")
	w.settle("m1", refused(store.AckHTML, "<html>success</html>"))
	w.send("m1", "order-3")
	w.call("POST", "/v1/merchants/m2/pause", `{"reason":"moving <b>house</b>"}`)
	w.get("merchants").want(200, `href="/console/merchants/m1"`, "Shop &lt;b&gt;1&lt;/b&gt;", "active",
		"1 acknowledged, 1 near-misses, 0 failed, 0 unclear, 1 not sent yet",
		`<rect class="idle" x="990" y="0" width="10" height="10">`, `<rect class="warn" x="980"`,
		`<rect class="ok" x="970"`, "50.0 %", "refused ack_html", "alipay_mapi", "https://shop.example.com/n",
		`href="/console/merchants/m2"`, "paused", "moving &lt;b&gt;house&lt;/b&gt;", "–").
		wantNone("merchant_paused", "Next page", "From the beginning")
	w.get("merchants", "Accept-Language: zh").want(200, "<h1>商户</h1>", "健康状况")
	w.call("PUT", "/v1/sending", `{"paused":true}`)
	w.get("merchants").want(200, "active", "sending_paused", "paused", "sending_paused")
	w.get("merchants?cursor=x").want(400)
}

func TestMerchantPages(t *testing.T) {
	w := newWorld(t)
	const count = 2*merchantsMost + 3
	for i := range count {
		w.mapi(fmt.Sprintf("shop-%02d", i))
	}
	next, seen := root+"merchants", 0
	for pages := 0; next != ""; pages++ {
		r := w.do("GET", next, "", nil).want(200)
		seen += strings.Count(r.body, "<tr data-row>")
		if strings.Contains(r.body, "From the beginning") != (pages > 0) {
			t.Errorf("page %d offers to begin again, or does not", pages)
		}
		before, _, more := strings.Cut(r.body, `" rel="next"`)
		if next = ""; more {
			next = before[strings.LastIndex(before, `"`)+1:]
		}
		if pages > count {
			t.Fatal("the pages do not end")
		}
	}
	if seen != count {
		t.Errorf("the pages show %d merchants of %d", seen, count)
	}
	if got := w.get("merchants?q=+shop-07+").want(303).header.Get("Location"); got != root+"merchants/shop-07" {
		t.Errorf("the search leads to %s", got)
	}
	w.get("merchants?q=shop-3").want(200, `value="shop-3"`, "No merchant is called shop-3;", ">shop-30</a>",
		">shop-42</a>").wantNone(">shop-29</a>")
	for _, text := range hostile {
		inert(t, w.get("merchants?q="+url.QueryEscape(text)).want(200, "No merchant is called"))
	}
}

func TestHealth(t *testing.T) {
	of := func(v store.Verdict, reason store.Reason) api.NotificationSummary {
		return api.NotificationSummary{LastVerdict: &v, LastReason: &reason}
	}
	h := (&request{words: english}).health([]api.NotificationSummary{
		{},
		of(store.Interrupted, store.Crash), of(store.Timeout, store.TimeoutHeaders),
		of(store.Refused, store.AckCase), of(store.Refused, store.AckCase), of(store.Acked, store.AckExact),
	})
	want := []barPart{{"idle", 980, 20}, {"bad", 970, 10}, {"warn", 950, 20}, {"ok", 940, 10}}
	if fmt.Sprint(h.Bar.Parts) != fmt.Sprint(want) {
		t.Errorf("parts %v, want %v", h.Bar.Parts, want)
	}
	if h.Acked != "20.0 %" || h.Last.Text != "interrupted crash" || len(h.missed) != 3 ||
		h.missed["refused ack_case"] != 2 {
		t.Errorf("health %+v", h)
	}
	if none := (&request{words: english}).health(nil); none.Acked != "–" || none.Bar.Parts != nil {
		t.Errorf("the health of a merchant without notifications is %+v", none)
	}
}
