package api_test

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/store"
)

// after is an outcome whose attempt took so long that it ended that long after the notification was accepted.
func after(d time.Duration, outcome func(c store.Claim) store.Outcome) func(c store.Claim) store.Outcome {
	return func(c store.Claim) store.Outcome {
		o := outcome(c)
		o.Attempt.Duration = d - o.Attempt.StartedAt.Sub(c.CreatedAt)
		return o
	}
}

func TestSLA(t *testing.T) {
	w, clock := newClockedWorld(t)
	w.mapi("m1")
	w.mapi("m2")
	wantSLA(t, w, "/v1/merchants/m1/sla", `{"mch_id":"m1","window":"24h","accepted":0,"spent":0,"ack_rate":null,
		"sends_per_ack":null,"pending":0,"oldest_pending_at":null,"exhausted":0,"near_miss_rate":null,
		"time_to_ack_seconds":{"p50":null,"p95":null,"p99":null},"sampled":false}`)

	w.send("m1", "old") // a day ago
	w.settle("m1", acked)
	clock.add(24 * time.Hour)
	w.send("m2", "another's")
	w.settle("m2", acked)

	w.send("m1", "first at once")
	w.settle("m1", after(2*time.Second, acked))
	clock.add(time.Minute)
	w.send("m1", "with the second send")
	w.settle("m1", refused)
	clock.add(4 * time.Minute)
	w.settle("m1", after(250500*time.Millisecond, acked))
	clock.add(time.Minute)
	w.send("m1", "given up")
	w.settle("m1", func(c store.Claim) store.Outcome {
		o := refused(c)
		o.State, o.NextAt, o.PlannedAt = store.Exhausted, time.Time{}, time.Time{}
		return o
	})
	clock.add(time.Minute)
	w.send("m1", "refused, goes on")
	oldest := clock.Now()
	w.settle("m1", refused)
	clock.add(time.Minute)
	w.call("POST", "/v1/notifications/"+w.send("m1", "taken back")+"/cancel", "").want(200)
	w.send("m1", "not sent yet")

	want := `{"mch_id":"m1","window":"1h","accepted":6,"spent":2,"ack_rate":0.5,"sends_per_ack":1.5,"pending":2,
		"oldest_pending_at":"` + oldest.Format("2006-01-02T15:04:05.000000Z") + `","exhausted":1,
		"near_miss_rate":0.5,"time_to_ack_seconds":{"p50":2,"p95":250.5,"p99":250.5},"sampled":false}`
	wantSLA(t, w, "/v1/merchants/m1/sla?window=1h", want)
	v, err := w.api.Service.SLA(t.Context(), "m1", 2*24*time.Hour)
	if err != nil || v.Accepted != 7 || v.Window != "2d" {
		t.Errorf("two days: %+v, error %v", v, err)
	}
	wantSLA(t, w, "/v1/merchants/m1/sla?window=90s", `{"mch_id":"m1","window":"90s","accepted":3,"spent":0,
		"ack_rate":0,"sends_per_ack":null,"pending":2,
		"oldest_pending_at":"`+oldest.Format("2006-01-02T15:04:05.000000Z")+`","exhausted":0,"near_miss_rate":1,
		"time_to_ack_seconds":{"p50":null,"p95":null,"p99":null},"sampled":false}`)
}

func wantSLA(t *testing.T, w *world, target, want string) {
	t.Helper()
	var wanted map[string]any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	r := w.call("GET", target, "")
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 {
		t.Fatalf("status %d, %v: %s", r.status, err, r.body)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", target, diff)
	}
}

func TestSLARefuses(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	for _, window := range []string{
		"59s", "367d", "8785h", "-24h", "0d", "24", "d", "1.5d", "99999999999999999999d", "1e3d", "x",
	} {
		p := w.call("GET", "/v1/merchants/m1/sla?window="+window, "").problem(422, "validation-failed")
		at(t, p, "query.window")
	}
	for _, window := range []string{"1m", "366d", "90m30s"} {
		w.call("GET", "/v1/merchants/m1/sla?window="+window, "").want(200)
	}
	w.call("GET", "/v1/merchants/m1/sla?windows=1h", "").problem(422, "validation-failed")
	w.call("GET", "/v1/merchants/m9/sla", "").problem(404, "merchant-not-found")
	w.call("GET", "/v1/merchants/_notices/sla", "").problem(404, "merchant-not-found")
	if _, err := w.api.Service.SLA(t.Context(), "m1", time.Second); err == nil {
		t.Error("a window of a second is taken")
	}
}

// busy is a store in which something goes on between the questions that are asked.
type busy struct {
	store.Store
	between func()
}

func (b *busy) Count(ctx context.Context, q store.Query, most int) (store.Counts, error) {
	c, err := b.Store.Count(ctx, q, most)
	if b.between != nil {
		b.between()
	}
	return c, err
}

// TestSLARateWhileSending: what is acknowledged between the counts must not make the rate exceed 1.
func TestSLARateWhileSending(t *testing.T) {
	b := &busy{}
	w := newWorld(t, func(o *api.Options) {
		b.Store = o.Store
		o.Store = b
	})
	w.mapi("m1")
	for i := range 12 {
		w.send("m1", strconv.Itoa(i))
	}
	w.settle("m1", acked)
	left := 5
	b.between = func() {
		if left--; left >= 0 {
			w.settle("m1", acked)
		}
	}
	v, err := w.api.Service.SLA(t.Context(), "m1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if left > 0 {
		t.Errorf("the counts were not interrupted")
	}
	if v.AckRate == nil || *v.AckRate != 1 || v.Spent+v.Pending != v.Accepted {
		t.Errorf("counts do not agree: %+v", v)
	}
}

// TestSLAOfMany: of so many that only a sample is looked at, the few acknowledged ones are all found.
func TestSLAOfMany(t *testing.T) {
	w, _ := newClockedWorld(t)
	w.mapi("m1")
	many := make([]store.Notification, 10_005)
	for i := range many {
		many[i] = store.Notification{MchID: "m1", Profile: "alipay_mapi", Params: json.RawMessage(`{}`)}
	}
	w.accept(many...)
	for i := range 5 {
		w.settle("m1", after(time.Duration(i+1)*time.Second, acked))
	}
	v, err := w.api.Service.SLA(t.Context(), "m1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Sampled || v.Accepted != 10_005 || v.Spent != 5 || *v.AckRate != 1 {
		t.Errorf("counts %+v", v)
	}
	if p := v.TimeToAck; *p.P50 != 3 || *p.P95 != 5 {
		t.Errorf("times %v %v", *p.P50, *p.P95)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Second
	}
	for _, c := range []struct {
		n, p int
		want float64
	}{
		{1, 50, 1},
		{1, 99, 1},
		{2, 50, 1},
		{2, 95, 2},
		{3, 50, 2},
		{99, 99, 99},
		{100, 50, 50},
		{100, 95, 95},
		{100, 99, 99},
	} {
		if got := api.Percentile(hundred[:c.n], c.p); got == nil || *got != c.want {
			t.Errorf("p%d of %d: %v, want %v", c.p, c.n, got, c.want)
		}
	}
}

func TestWindowText(t *testing.T) {
	for window, want := range map[time.Duration]string{
		24 * time.Hour: "24h", 48 * time.Hour: "2d", 366 * 24 * time.Hour: "366d", 90 * time.Minute: "90m",
		time.Hour: "1h", 90 * time.Second: "1m30s",
	} {
		if got := api.WindowText(window); got != want {
			t.Errorf("%s: %q, want %q", window, got, want)
		}
	}
}
