package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/store"
)

const statementHead = "record,notify_id,out_trade_no,notify_type,notify_state,amount_field,amount," +
	"created_at,spent_at,notify_count,last_verdict,last_reason,count,sha256"

// day21 is a day of a merchant with all that there can be in a statement; it returns the ids, oldest first.
func day21(w *world, clock *storeClock) (ids []string) {
	w.t.Helper()
	w.mapi("m1")
	w.mapi("m2")
	add := func(order, params string, outcome func(c store.Claim) store.Outcome) {
		v := w.call("POST", "/v1/notifications", `{"mch_id":"m1","notify_type":"t","out_trade_no":"`+order+
			`","params":`+params+`}`).want(202)
		if outcome != nil {
			w.settle("m1", outcome)
		}
		ids = append(ids, v["notify_id"].(string))
		clock.add(time.Second)
	}
	exhausted := func(c store.Claim) store.Outcome {
		o := refused(c)
		o.State = store.Exhausted
		return o
	}
	add("1", `{"total_fee":"0.10"}`, acked)
	add("=1+2", `{"total_fee":"0.20"}`, after(90*time.Second, acked))
	add(`a,\"b\" 中`, `{"total_fee":"100","refund_fee":"-3.5"}`, acked)
	add("-4", `{}`, acked)
	add("", `{"total_fee":"1"}`, exhausted)
	add("6", `{"total_fee":"2"}`, nil)
	w.send("m2", "theirs")
	return ids
}

// TestStatementCSV holds a whole statement against what it must be, byte for byte.
func TestStatementCSV(t *testing.T) {
	w, clock := newClockedWorld(t)
	ids := day21(w, clock)
	clock.set(noonOfTest.Add(24 * time.Hour))
	w.send("m1", "the next day")
	r := w.call("GET", "/v1/merchants/m1/statement?date=2026-11-21", "")
	if r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	for name, want := range map[string]string{
		"Content-Type":        "text/csv; charset=utf-8; header=present",
		"Content-Disposition": `attachment; filename="statement-m1-2026-11-21.csv"`,
		"Cache-Control":       "no-store",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	const at = "2026-11-21T12:00:0"
	want := strings.Join([]string{
		statementHead,
		"notification," + ids[5] + ",6,t,pending,total_fee,2," + at + "5.000000Z,,0,,,,",
		"notification," + ids[4] + ",,t,exhausted,total_fee,1," + at + "4.000000Z,,1,refused,ack_html,,",
		"notification," + ids[3] + ",'-4,t,spent,,," + at + "3.000000Z," + at + "3.012345Z,1,acked,ack_exact,,",
		"notification," + ids[2] + `,"a,""b"" 中",t,spent,refund_fee,-3.5,` + at + "2.000000Z," + at +
			"2.012345Z,1,acked,ack_exact,,",
		"notification," + ids[1] + ",'=1+2,t,spent,total_fee,0.20," + at +
			"1.000000Z,2026-11-21T12:01:31.000000Z,1,acked,ack_exact,,",
		"notification," + ids[0] + ",1,t,spent,total_fee,0.10," + at + "0.000000Z," + at +
			"0.012345Z,1,acked,ack_exact,,",
		"total,,,,pending,total_fee,2,,,0,,,1,",
		"total,,,,spent,,,,,1,,,1,",
		"total,,,,spent,refund_fee,-3.5,,,1,,,1,",
		"total,,,,spent,total_fee,0.30,,,2,,,2,",
		"total,,,,exhausted,total_fee,1,,,1,,,1,",
		"total,,,,canceled,,,,,0,,,0,",
		"total,,,,quarantined,,,,,0,,,0,",
		"",
	}, "\r\n")
	want += "checksum,,,,,,,,,,,,," + sum256(want) + "\r\n"
	if diff := cmp.Diff(strings.Split(want, "\r\n"), strings.Split(r.body, "\r\n")); diff != "" {
		t.Error(diff)
	}
}

func sum256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestStatementFormatsAgree: the lines of one format say what the rows of the other do.
func TestStatementFormatsAgree(t *testing.T) {
	w, clock := newClockedWorld(t)
	day21(w, clock)
	asCSV := w.call("GET", "/v1/merchants/m1/statement?date=2026-11-21&format=csv", "")
	asJSON := w.call("GET", "/v1/merchants/m1/statement?date=2026-11-21&format=jsonl", "")
	if got := asJSON.header.Get("Content-Type"); got != "application/jsonl" {
		t.Errorf("content type %q", got)
	}
	if got := asJSON.header.Get("Content-Disposition"); !strings.HasSuffix(got, `.jsonl"`) {
		t.Errorf("content disposition %q", got)
	}
	rows, err := csv.NewReader(strings.NewReader(asCSV.body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(asJSON.body, "\n"), "\n")
	if len(lines) != len(rows)-1 {
		t.Fatalf("%d lines, %d rows", len(lines), len(rows)-1)
	}
	for i, line := range lines {
		var members map[string]any
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		row := map[string]any{}
		for k, name := range rows[0] {
			cell := rows[i+1][k]
			if value, there := members[name]; !there {
				if cell != "" {
					t.Errorf("line %d has no %s", i, name)
				}
				continue
			} else if value == nil {
				value = ""
				members[name] = value
			} else if number, is := value.(float64); is {
				members[name] = fmt.Sprint(number)
			}
			row[name] = strings.TrimPrefix(cell, "'")
		}
		if i == len(lines)-1 {
			row["sha256"] = sum256(strings.TrimSuffix(asJSON.body, line+"\n"))
		}
		if diff := cmp.Diff(row, members); diff != "" {
			t.Errorf("line %d:\n%s", i, diff)
		}
	}
}

// TestStatementDay: a day begins and ends where the offset says.
func TestStatementDay(t *testing.T) {
	w, clock := newClockedWorld(t)
	w.mapi("m1")
	for _, at := range []string{"15:59:59.999999", "16:00:00", "23:59:59.999999"} {
		instant, err := time.Parse(time.DateTime, "2026-11-21 "+at)
		if err != nil {
			t.Fatal(err)
		}
		clock.set(instant)
		w.send("m1", at)
	}
	clock.set(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
	w.send("m1", "midnight")
	for query, want := range map[string]string{
		"date=2026-11-21":                     "23:59:59.999999 16:00:00 15:59:59.999999",
		"date=2026-11-22":                     "midnight",
		"date=2026-11-22&utc_offset=Z":        "midnight",
		"date=2026-11-21&utc_offset=%2B08:00": "15:59:59.999999",
		"date=2026-11-22&utc_offset=%2B08:00": "midnight 23:59:59.999999 16:00:00",
		"date=2026-11-22&utc_offset=+08:00":   "midnight 23:59:59.999999 16:00:00", // which is a blank
		"date=2026-11-21&utc_offset=-05:00":   "midnight 23:59:59.999999 16:00:00 15:59:59.999999",
		"date=2026-11-20":                     "",
		"date=1999-01-01":                     "",
	} {
		r := w.call("GET", "/v1/merchants/m1/statement?format=jsonl&"+query, "")
		var orders []string
		for line := range strings.Lines(r.body) {
			var n api.StatementNotification
			if err := json.Unmarshal([]byte(line), &n); err != nil {
				t.Fatalf("%s: %v: %s", query, err, r.body)
			}
			if n.Record == "notification" {
				orders = append(orders, n.OutTradeNo)
			}
		}
		if got := strings.Join(orders, " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

func TestStatementRefuses(t *testing.T) {
	w, clock := newClockedWorld(t)
	w.mapi("m1")
	clock.set(time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC))
	w.call("GET", "/v1/merchants/m1/statement?date=2026-11-22&utc_offset=%2B08:00", "") // it has begun there
	for query, location := range map[string]string{
		"": "query.date", "date=": "query.date", "date=21.11.2026": "query.date", "date=2026-11-31": "query.date",
		"date=2026-11-22": "query.date", "date=2026-11-22&utc_offset=%2B07:59": "query.date",
		"date=0001-01-01": "query.date", "date=2026-11-21T00:00:00Z": "query.date",
		"date=2026-11-21&format=xml":           "query.format",
		"date=2026-11-21&utc_offset=8":         "query.utc_offset",
		"date=2026-11-21&utc_offset=CST":       "query.utc_offset",
		"date=2026-11-21&utc_offset=%2B14:01":  "query.utc_offset",
		"date=2026-11-21&utc_offset=-23:00":    "query.utc_offset",
		"date=2026-11-21&utc_offset=Asia/Oslo": "query.utc_offset",
		"date=2026-11-21&day=1":                "query.day",
	} {
		p := w.call("GET", "/v1/merchants/m1/statement?"+query, "").problem(422, "validation-failed")
		at(t, p, location)
	}
	w.call("GET", "/v1/merchants/m9/statement?date=2026-11-21", "").problem(404, "merchant-not-found")
	w.call("GET", "/v1/merchants/_notices/statement?date=2026-11-21", "").problem(404, "merchant-not-found")
}

// shrinking is a store whose notifications with an order number have been shrunk.
type shrinking struct{ store.Store }

func (s shrinking) List(ctx context.Context, q store.Query) ([]store.Notification, string, error) {
	ns, next, err := s.Store.List(ctx, q)
	for i := range ns {
		if n := &ns[i]; n.OutTradeNo != "" {
			n.Shrunk, n.Params = true, nil
		}
	}
	return ns, next, err
}

// TestStatementOfShrunk: a sum that lacks amounts says of how many.
func TestStatementOfShrunk(t *testing.T) {
	w, _ := newClockedWorld(t, func(o *api.Options) { o.Store = shrinking{o.Store} })
	w.mapi("m1")
	w.send("m1", "1")
	w.send("m1", "2")
	w.send("m1", "")
	r := w.call("GET", "/v1/merchants/m1/statement?date=2026-11-21", "")
	for _, want := range []string{
		"total,,,,pending,shrunk,,,,0,,,2,\r\n", "total,,,,pending,total_fee,1.00,,,0,,,1,\r\n",
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("no %q in %s", want, r.body)
		}
	}
}

// TestStatementOfAStoreThatFails: before the first byte it is a problem, after it the answer breaks off.
func TestStatementOfAStoreThatFails(t *testing.T) {
	f := &failing{}
	w, _ := newClockedWorld(t, func(o *api.Options) {
		f.Store = o.Store
		o.Store = f
	})
	w.mapi("m1")
	var many []store.Notification
	for i := range 1100 {
		many = append(many, store.Notification{
			MchID: "m1", Profile: "form", OutTradeNo: fmt.Sprint(i), Params: json.RawMessage(`{}`),
		})
	}
	w.accept(many...)
	const target = "/v1/merchants/m1/statement?date=2026-11-21"
	w.call("GET", target, "").problem(503, "storage-unavailable")

	server := httptest.NewServer(w.api)
	defer server.Close()
	ask := func(good int) (whole bool, body string) {
		f.good = good
		req, err := http.NewRequest("GET", server.URL+target, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+adminKey)
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
		text, err := io.ReadAll(resp.Body)
		return err == nil, string(text)
	}
	if whole, body := ask(2); whole || strings.Contains(body, "total") {
		t.Errorf("two of three pages: whole %v, with totals %v", whole, strings.Contains(body, "total"))
	}
	whole, body := ask(10)
	if !whole || strings.Count(body, "\r\nnotification,") != 1100 || !strings.Contains(body, "\r\nchecksum,") {
		t.Errorf("whole %v, %d rows", whole, strings.Count(body, "\r\nnotification,"))
	}
}
