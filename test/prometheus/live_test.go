package prometheus

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	dataMax  = 60 * time.Second // until every panel has data
	alertMax = 30 * time.Second // until an alert has fired, been told of, or cleared
	poll     = 250 * time.Millisecond
)

// TestLive runs everything at once, as an operator would: two kinds of processes, merchants that misbehave,
// the rules with their waits shortened to seconds, and the sample of Alertmanager's configuration.
func TestLive(t *testing.T) {
	w := newWorld(t)
	w.await("the first scrape", alertMax, func() string {
		if n := w.prometheus.value(t, `sum(up)`); n != 2 {
			return fmt.Sprintf("%v of 2 targets are up", n)
		}
		return ""
	})
	stop := w.traffic()
	misbehaviour(t, w)
	everyPanel(t, w)
	exemplars(t, w)
	w.fires("PaynotifyExhausted")
	w.told("/ticket", "PaynotifyExhausted")
	for name, fault := range w.prometheus.ruleErrors(t) {
		t.Errorf("the rule %s cannot be evaluated: %s", name, fault)
	}
	stop()

	w.server.Kill()
	w.fires("PaynotifyDown")
	w.told("/page", "PaynotifyDown")
	w.await("PaynotifyDown inhibits PaynotifyExhausted", alertMax, func() string {
		if by := w.alertmanager.inhibited(t, "PaynotifyExhausted"); by == 0 {
			return "it is not inhibited"
		}
		return ""
	})
	w.serve()
	w.await("PaynotifyDown clears", alertMax, func() string {
		if slices.Contains(w.prometheus.firing(t), "PaynotifyDown") {
			return "it fires"
		}
		return ""
	})
}

// misbehaviour: what the boards are about to show has really happened.
func misbehaviour(t *testing.T, w *world) {
	t.Helper()
	for _, something := range []string{
		`attempts_total{verdict="acked"}`, `attempts_total{verdict="refused"}`,
		`attempts_total{verdict="http_3xx"}`,
		`attempts_total{verdict="http_5xx"}`, `attempts_total{verdict="connect_error"}`,
		`attempts_total{verdict="timeout"}`, `attempts_total{trigger="retry"}`,
		`attempt_http_phase_duration_seconds_count{http_phase="tls"}`,
		`sign_duration_seconds_count{algorithm="rsa_sha256"}`, `queue_processed_total`,
		`merchant_attempts_total{merchant="_other"}`, `merchant_series_dropped_total`,
	} {
		w.await(something, dataMax, func() string {
			if w.prometheus.numbers(t, "sum(paynotify_"+something+") > 0") == 0 {
				return "it has not happened"
			}
			return ""
		})
	}
}

// everyPanel waits until the query of every panel returns a number.
func everyPanel(t *testing.T, w *world) {
	t.Helper()
	silent := map[string]string{} // the query by its place
	for _, q := range queries(t) {
		if !strings.Contains(q.expr, "offset 1d") { // there was no yesterday
			silent[q.where] = q.expr
		}
	}
	if len(silent) < 40 {
		t.Fatalf("only %d queries: the boards are not read", len(silent))
	}
	w.await("every panel has data", dataMax, func() string {
		for where, expr := range silent {
			if w.prometheus.numbers(t, expr) > 0 {
				delete(silent, where)
			}
		}
		var rest strings.Builder
		for where, expr := range silent {
			fmt.Fprintf(&rest, "%s:\n\t%s\n", where, expr)
		}
		return rest.String()
	})
}

// exemplars: from a slow bucket it is one step to a notification.
func exemplars(t *testing.T, w *world) {
	t.Helper()
	id := regexp.MustCompile(`^[0-9a-z]{26}$`)
	for _, family := range []string{
		"paynotify_attempt_duration_seconds", "paynotify_time_to_ack_seconds", "paynotify_schedule_lag_seconds",
	} {
		w.await("exemplars of "+family, alertMax, func() string {
			found := w.prometheus.exemplars(t, family+"_bucket")
			if len(found) == 0 {
				return "there are none"
			}
			for _, labels := range found {
				if !id.MatchString(labels["notify_id"]) {
					t.Fatalf("an exemplar of %s has the labels %v", family, labels)
				}
			}
			return ""
		})
	}
}
