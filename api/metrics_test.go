package api_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"paynotify/api"
	"paynotify/store"
)

func TestIngestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	w := newWorld(t, func(o *api.Options) { o.Registerer = registry })
	check := func(accepted, duplicate, rejected, failed string) {
		t.Helper()
		want := `# HELP paynotify_ingest_requests_total Notifications that callers brought, by result: accepted, ` +
			`duplicate (same idempotency key and content), rejected (4xx), error (5xx).
# TYPE paynotify_ingest_requests_total counter
paynotify_ingest_requests_total{result="accepted"} ` + accepted + `
paynotify_ingest_requests_total{result="duplicate"} ` + duplicate + `
paynotify_ingest_requests_total{result="error"} ` + failed + `
paynotify_ingest_requests_total{result="rejected"} ` + rejected + "\n"
		err := testutil.GatherAndCompare(registry, strings.NewReader(want), "paynotify_ingest_requests_total")
		if err != nil {
			t.Error(err)
		}
	}
	check("0", "0", "0", "0") // every series is there before anything happens
	w.mapi("m1")
	w.call("POST", "/v1/notifications", payment, "Idempotency-Key: k").want(202)
	w.call("POST", "/v1/notifications", payment, "Idempotency-Key: k").want(200)
	w.call("POST", "/v1/notifications", `{`).problem(400, "malformed-json")
	w.call("POST", "/v1/notifications/batch", `{"notifications":[`+payment+`,{},`+payment+`]}`).want(200)
	err := store.ErrUnavailable
	w.intake.fail.Store(&err)
	w.call("POST", "/v1/notifications", payment).problem(503, "storage-unavailable")
	check("3", "1", "2", "1")
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
