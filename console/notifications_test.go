package console

import (
	"encoding/csv"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"paynotify/store"
)

func TestNotifications(t *testing.T) {
	w := newWorld(t)
	w.get("notifications").want(200, "There are no notifications yet", `data-copy`,
		"curl http://127.0.0.1/v1/merchants")
	w.mapi("m1")
	w.mapi("m2")
	first := w.send("m1", "order-1")
	w.settle("m1", refused(store.AckHTML, "<html>success</html>"))
	second := w.send("m2", "order-2")
	w.settle("m2", acked)
	third := w.send("m2", "order-3")
	w.get("notifications").want(200, "pending", third, "order-3", "spent", second, "order-2",
		"acked ack_exact", first, "order-1", "refused ack_html", "1 / 8")
	w.get("notifications", "Accept-Language: zh").want(200, "<h1>通知</h1>", "商户订单号", third)
	for query, want := range map[string][]string{
		"mch_id=m1": {first}, "out_trade_no=order-2": {second}, "notify_state=pending": {third, first},
		"verdict=refused": {first}, "reason=ack_html": {first}, "held=true": nil,
		"held=false":                   {third, second, first},
		"mch_id=m2&notify_state=spent": {second}, "created_from=2030-01-01T00:00:00Z": nil,
		"created_to=2030-01-01T00%3A00": {third, second, first}, "mch_id=&verdict=": {third, second, first},
	} {
		page := w.get("notifications?"+query).want(200, want...)
		for _, id := range []string{first, second, third} {
			if !slices.Contains(want, id) {
				page.wantNone(id)
			}
		}
		if len(want) == 0 {
			page.want(200, "There are none.").wantNone("There are no notifications yet")
		}
	}
	w.get("notifications?verdict=refused&created_from=2026-01-01").want(200, `<details class="panel" open>`,
		`value="refused" selected`, `value="2026-01-01T00:00:00"`,
		`notifications.csv?created_from=2026-01-01T00%3A00%3A00Z&amp;verdict=refused`)
	w.get("notifications?verdict=none").want(422, "query.verdict")
	w.get("notifications?created_to=tomorrow").want(422, "query.created_to")
	w.get("notifications?cursor=x").want(400)
	w.get("notifications?limit=1&mch_id=m2").want(200, third, `limit=1&amp;mch_id=m2"`).wantNone(second)
	w.get("notifications?limit=501").want(422, "query.limit")
}

func TestSearchBox(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	one := w.send("m1", "order-1")
	w.send("m1", "order-2")
	w.send("m1", "order-2")
	for sought, to := range map[string]string{
		one: "notifications/" + one, " " + strings.ToUpper(one) + " ": "notifications/" + one,
		"order-1": "notifications/" + one, "order-2": "notifications?out_trade_no=order-2",
		"m1": "notifications?mch_id=m1",
	} {
		r := w.get("notifications?q=" + url.QueryEscape(sought)).want(303)
		if got := r.header.Get("Location"); got != root+to {
			t.Errorf("%q leads to %s, want %s", sought, got, to)
		}
	}
	w.get("notifications?q=%3Cb%3Enobody").want(200, "Nothing is known of &lt;b&gt;nobody.", "order-2")
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	var ids []string
	for range 120 {
		ids = append(ids, w.send("m1", "order"))
	}
	slices.Reverse(ids)
	next, seen := root+"notifications?mch_id=m1", []string{}
	for next != "" {
		page := w.do("GET", next, "", nil).want(200)
		for _, id := range ids {
			if strings.Contains(page.body, ">"+id+"<") {
				seen = append(seen, id)
			}
		}
		_, rest, more := strings.Cut(page.body, `rel="next"`)
		next = ""
		if more {
			before := page.body[:len(page.body)-len(rest)]
			next = before[strings.LastIndex(before, `href="`)+len(`href="`):]
			next = strings.ReplaceAll(next[:strings.Index(next, `"`)], "&amp;", "&")
			if !strings.Contains(next, "mch_id=m1") {
				t.Fatalf("the next page %s has lost the filter", next)
			}
		}
	}
	if !slices.Equal(seen, ids) {
		t.Errorf("the pages show %d of %d notifications, or in another order", len(seen), len(ids))
	}
}

func TestExport(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"form","notify_url":"https://shop.example.com/n"}`)
	w.mapi("m2")
	w.send("m2", "elsewhere")
	hostile := []string{"=1+1", "+1", "-1", "a,b", `say "x"`, "plain"}
	for _, name := range hostile {
		body, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		w.call("POST", "/v1/notifications", `{"mch_id":"m1","out_trade_no":`+string(body)+`,"params":{}}`)
	}
	for range 600 - len(hostile) { // more than one page of the store
		w.send("m1", "more")
	}
	r := w.get("notifications.csv?mch_id=m1").want(200)
	if got := r.header.Get("Content-Disposition"); got != `attachment; filename="notifications.csv"` {
		t.Errorf("disposition %q", got)
	}
	rows, err := csv.NewReader(strings.NewReader(r.body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 601 || !slices.Equal(rows[0], exportColumns) {
		t.Fatalf("%d rows, the first is %v", len(rows), rows[0])
	}
	for i, name := range hostile {
		got := rows[600-i][2]
		if strings.ContainsAny(name[:1], "=+-") {
			name = "'" + name
		}
		if got != name {
			t.Errorf("out_trade_no %q, want %q", got, name)
		}
	}
	lines := strings.Split(strings.TrimSpace(w.get("notifications.jsonl?mch_id=m1").want(200).body), "\n")
	var last struct {
		OutTradeNo string `json:"out_trade_no"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != 600 ||
		last.OutTradeNo != "=1+1" {
		t.Errorf("%d lines, the last is %+v, error %v", len(lines), last, err)
	}
	w.get("notifications.csv?verdict=none").want(422, "query.verdict")
}
