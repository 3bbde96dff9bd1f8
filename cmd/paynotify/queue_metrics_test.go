package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"paynotify/queue/asynqqueue"
)

// TestQueueMetricsAskSparingly: many scrapes ask Redis once a second; while it is away one of them waits, no
// longer than a second, and there are no figures rather than old ones.
func TestQueueMetricsAskSparingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		away := false
		c := &queueCollector{figures: func(ctx context.Context) (asynqqueue.Figures, error) {
			asked++
			if away {
				<-ctx.Done()
				return asynqqueue.Figures{}, errors.New("away")
			}
			return asynqqueue.Figures{Pending: asked}, nil
		}}
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(c)
		scrape := func(series, question int) {
			t.Helper()
			began := time.Now()
			for range 3 {
				if n, err := testutil.GatherAndCount(registry); err != nil || n != series {
					t.Errorf("%d series, %v; want %d", n, err, series)
				}
			}
			if took := time.Since(began); asked != question || took > figuresTimeout {
				t.Errorf("asked %d times after %s, want %d", asked, took, question)
			}
		}
		const all = 11 // six states and five figures
		scrape(all, 1)
		time.Sleep(figuresFor)
		scrape(all, 2)
		away = true
		scrape(all, 2) // nobody knows yet
		time.Sleep(figuresFor)
		scrape(0, 3)
		away = false
		time.Sleep(figuresFor)
		scrape(all, 4)
	})
}
