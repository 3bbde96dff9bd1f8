package dispatcher

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// TestExemplars: the first of a bucket is named at once, then one a second, and every one is counted.
func TestExemplars(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := factory{registry}.histograms("x_seconds", "-", []float64{1, 5}, "trigger")
	e := newExampled(h, []float64{1, 5}, "first")
	began := time.Unix(1_800_000_000, 0)
	for _, o := range []struct {
		id      string
		seconds float64
		at      time.Duration
	}{
		{"a", 1, 0}, // a bound belongs to its bucket
		{"b", .5, 999 * time.Millisecond},
		{"c", 1.01, 999 * time.Millisecond},
		{"d", .5, time.Second},
		{"e", .5, time.Second},
		{"f", 5.01, 0},
		{"g", 9, 0},
		{"h", math.Inf(1), -time.Hour}, // the clock was set back
	} {
		e.observe(o.seconds, o.id, began.Add(o.at))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	histogram := families[0].GetMetric()[0].GetHistogram()
	named := map[float64]string{}
	for _, b := range histogram.GetBucket() {
		for _, l := range b.GetExemplar().GetLabel() {
			named[b.GetUpperBound()] = l.GetName() + "=" + l.GetValue()
		}
	}
	want := map[float64]string{1: "notify_id=d", 5: "notify_id=c", math.Inf(1): "notify_id=h"}
	if diff := cmp.Diff(want, named); diff != "" {
		t.Errorf("exemplars: %s", diff)
	}
	if n := histogram.GetSampleCount(); n != 8 {
		t.Errorf("counted %d, want 8", n)
	}
}
