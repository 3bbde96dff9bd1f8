package main

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/queue/asynqqueue"
)

const (
	// figuresTimeout bounds how long a scrape waits for the queue: what else it has to tell is worth more.
	figuresTimeout = time.Second
	// figuresFor is how long an answer is good, so that many scrapes are no load for Redis. So is none: while
	// Redis is away, only one scrape a second waits.
	figuresFor = time.Second
)

// queueCollector tells at every scrape how asynq's queues are. Why not asynq's own collector: its names break
// the rules for names, and it waits for Redis as long as that takes.
type queueCollector struct {
	figures func(ctx context.Context) (asynqqueue.Figures, error)

	mu   sync.Mutex
	at   time.Time // of the answer
	last asynqqueue.Figures
	err  error
}

func queueDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("paynotify_queue_"+name, help+" Only on Redis.", labels, nil)
}

var (
	queueTasks = queueDesc("tasks", "Turns of lanes in the queues of all processes, by asynq's word for where "+
		"they are.", "state")
	queueLatency = queueDesc("latency_seconds", "How long the oldest lane has waited for its turn.")
	queueDone    = queueDesc("processed_total", "Turns that lanes have had by way of the queues.")
	queueFailed  = queueDesc("failed_total", "Turns that a process died in, or could not give to another.")
	queueMemory  = queueDesc("memory_bytes", "What the queues occupy in Redis, as asynq estimates it.")
	queuePaused  = queueDesc("paused", "Queues that somebody paused with asynq's tools: their lanes wait.")
)

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		queueTasks, queueLatency, queueDone, queueFailed, queueMemory, queuePaused,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector. While Redis does not answer, nothing is told rather than something
// old.
func (c *queueCollector) Collect(out chan<- prometheus.Metric) {
	f, err := c.ask()
	if err != nil {
		return
	}
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	for _, tasks := range []struct {
		state string
		n     int
	}{
		{"pending", f.Pending},
		{"active", f.Active},
		{"scheduled", f.Scheduled},
		{"retry", f.Retry},
		{"archived", f.Archived},
		{"completed", f.Completed},
	} {
		tell(queueTasks, prometheus.GaugeValue, float64(tasks.n), tasks.state)
	}
	tell(queueLatency, prometheus.GaugeValue, max(0, f.Latency.Seconds()))
	tell(queueDone, prometheus.CounterValue, float64(f.Processed))
	tell(queueFailed, prometheus.CounterValue, float64(f.Failed))
	tell(queueMemory, prometheus.GaugeValue, float64(f.MemoryBytes))
	tell(queuePaused, prometheus.GaugeValue, float64(f.Paused))
}

// ask returns what is known, at most figuresFor old. Scrapes at the same time ask once.
func (c *queueCollector) ask() (asynqqueue.Figures, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) >= figuresFor {
		ctx, cancel := context.WithTimeout(context.Background(), figuresTimeout)
		defer cancel()
		c.last, c.err = c.figures(ctx)
		c.at = time.Now()
	}
	return c.last, c.err
}
