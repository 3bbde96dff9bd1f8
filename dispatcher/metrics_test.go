package dispatcher_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"paynotify/dispatcher"
	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// catalogue is what operators build on: names of series that must be there before anything has happened.
var catalogue = []string{
	`attempts_total{profile="alipay",trigger="first",verdict="acked"}`,
	`attempts_total{profile="form",trigger="replay",verdict="internal_error"}`,
	`attempt_duration_seconds{profile="alipay_mapi",verdict_class="refused"}`,
	`attempt_http_phase_duration_seconds{http_phase="ttfb"}`,
	`schedule_lag_seconds{trigger="retry"}`,
	`time_to_ack_seconds{profile="alipay"}`,
	`sends_per_ack{profile="alipay"}`,
	`notifications_total{profile="alipay",state="exhausted"}`,
	`pending_notifications{next_send="1"}`, `pending_notifications{next_send="9+"}`,
	`overdue_notifications`, `oldest_overdue_seconds`, `inflight_attempts`, `worker_capacity`,
	`merchants{state="breaker_open"}`,
	`throttled_total{reason="retry_after"}`,
	`suppressed_sends_total{reason="stale_lease"}`,
	`leases_recovered_total`,
	`lost_wakes_total`, `newer_records_total`,
	`store_operations_total{operation="settle",result="error"}`,
	`store_operation_duration_seconds{operation="wakes"}`,
	`store_durable`, `store_fsync_always`,
	`sign_errors_total{algorithm="rsa_sha256"}`, `sign_duration_seconds{algorithm="md5"}`,
	`blocked_targets_total{reason="address_blocked"}`,
	`resends_total{kind="resend",result="accepted"}`,
	`last_ack_timestamp_seconds`, `egress_skipped_addresses_total`, `merchant_series_dropped_total`,
}

func TestMetricsAreThereFromTheStart(t *testing.T) {
	s, err := sqlitestore.Open(context.Background(), sqlitestore.Options{
		Path: filepath.Join(t.TempDir(), "metrics.db"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	registry := prometheus.NewRegistry()
	dispatcher.New(dispatcher.Options{Store: s, Registerer: registry})
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	have := series(t, registry)
	for _, want := range catalogue {
		if !slices.Contains(have, "paynotify_"+want) {
			t.Errorf("no series %s", want)
		}
	}
}

// series are the names of all series, as Prometheus writes them.
func series(t *testing.T, g prometheus.Gatherer) []string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+`="`+l.GetValue()+`"`)
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			names = append(names, name)
		}
	}
	return names
}

func TestACancelCountsOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, w *world) {
		w.merchant(store.Merchant{MchID: "m1", Paused: true})
		id := w.accept("m1", "1")[0]
		for range 2 {
			if _, err := w.d.Store.Cancel(context.Background(), id); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.counter("paynotify_notifications_total", "canceled"); got != 1 {
			t.Errorf("counted %v times, want once", got)
		}
	})
}
