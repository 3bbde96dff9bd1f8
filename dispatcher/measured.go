package dispatcher

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/dispatcher/egress"
	"paynotify/store"
)

// measured is a store that counts and times its operations. Stores themselves know no metrics.
type measured struct {
	store.Store

	metrics *metrics
}

type operationSeries struct {
	seconds    prometheus.Observer
	ok, failed prometheus.Counter
}

func (m *metrics) operationSeries(f factory) {
	seconds := f.histograms("store_operation_duration_seconds", "How long the store took.", storeBuckets,
		"operation")
	total := f.counters("store_operations_total", "What the store was asked to do.", "operation", "result")
	m.operations = make(map[string]operationSeries)
	for _, operation := range []string{"accept", "claim", "settle", "wakes", "get", "list"} {
		m.operations[operation] = operationSeries{
			seconds: seconds.WithLabelValues(operation),
			ok:      total.WithLabelValues(operation, "ok"), failed: total.WithLabelValues(operation, "error"),
		}
	}
}

// timed counts an operation that began at the given instant. A plain "not found" is an answer, not an error.
func (m measured) timed(operation string, began time.Time, err error) {
	s := m.metrics.operations[operation]
	s.seconds.Observe(time.Since(began).Seconds())
	if err != nil && errors.Is(err, store.ErrUnavailable) {
		s.failed.Inc()
		return
	}
	s.ok.Inc()
}

func (m measured) Accept(
	ctx context.Context, items []store.Incoming, lease time.Duration,
) ([]store.Accepted, error) {
	began := time.Now()
	answers, err := m.Store.Accept(ctx, items, lease)
	m.timed("accept", began, err)
	return answers, err
}

func (m measured) Claim(
	ctx context.Context, lane string, most int, lease time.Duration,
) (store.Claims, error) {
	began := time.Now()
	claims, err := m.Store.Claim(ctx, lane, most, lease)
	m.timed("claim", began, err)
	return claims, err
}

func (m measured) Settle(ctx context.Context, ss []store.Settlement) ([]string, error) {
	began := time.Now()
	ready, err := m.Store.Settle(ctx, ss)
	m.timed("settle", began, err)
	return ready, err
}

func (m measured) Wakes(ctx context.Context, most int) (store.Wakes, error) {
	began := time.Now()
	wakes, err := m.Store.Wakes(ctx, most)
	m.timed("wakes", began, err)
	return wakes, err
}

func (m measured) Get(ctx context.Context, id string) (store.Notification, []store.Attempt, error) {
	began := time.Now()
	n, attempts, err := m.Store.Get(ctx, id)
	m.timed("get", began, err)
	return n, attempts, err
}

func (m measured) List(ctx context.Context, q store.Query) ([]store.Notification, string, error) {
	began := time.Now()
	ns, next, err := m.Store.List(ctx, q)
	m.timed("list", began, err)
	return ns, next, err
}

func (m measured) Resend(
	ctx context.Context, id string, t store.Trigger, force bool,
) (store.Notification, error) {
	n, err := m.Store.Resend(ctx, id, t, force)
	if err == nil {
		m.metrics.resends.WithLabelValues(string(t), "accepted").Inc()
	}
	return n, err
}

func (m measured) Cancel(ctx context.Context, id string) (store.Notification, error) {
	before, _, err := m.Store.Get(ctx, id)
	if err != nil {
		return before, err
	}
	n, err := m.Store.Cancel(ctx, id)
	if err == nil && before.State == store.Pending { // a second cancel succeeds too, and changes nothing
		m.metrics.final(store.Canceled, n.Profile)
	}
	return n, err
}

func (m measured) CreateMerchant(ctx context.Context, merchant store.Merchant) (store.Merchant, error) {
	created, err := m.Store.CreateMerchant(ctx, merchant)
	if err == nil {
		m.metrics.merchants.admit(created.MchID)
	}
	return created, err
}

func (m measured) DeleteMerchant(ctx context.Context, mchID string) error {
	err := m.Store.DeleteMerchant(ctx, mchID)
	if err == nil {
		m.metrics.merchants.remove(mchID)
	}
	return err
}

// Backup copies the store, if it is one that can be copied.
func (m measured) Backup(ctx context.Context, w io.Writer) error {
	if b, ok := m.Store.(store.Backuper); ok {
		return b.Backup(ctx, w)
	}
	return errors.ErrUnsupported
}

// measuredPoster is a Poster that counts what only it knows.
type measuredPoster struct {
	Poster

	metrics *metrics
}

func (p measuredPoster) Do(ctx context.Context, r *egress.Request) egress.Result {
	result := p.Poster.Do(ctx, r)
	if result.Skipped > 0 {
		p.metrics.skipped.Add(float64(result.Skipped))
	}
	return result
}

// scrapeTimeout bounds what one scrape may ask of the store.
const scrapeTimeout = 2 * time.Second

// storeCollector reads, at every scrape, what only the store knows.
type storeCollector struct{ store store.Store }

var (
	pendingDesc = prometheus.NewDesc(namespace+"_pending_notifications",
		"Pending notifications of the whole store, by the number of the send that comes next.",
		[]string{"next_send"}, nil)
	overdueDesc = prometheus.NewDesc(namespace+"_overdue_notifications",
		"Notifications of the whole store that are due, not held and not in flight.", nil, nil)
	oldestDesc = prometheus.NewDesc(namespace+"_oldest_overdue_seconds",
		"How long the oldest overdue notification of the whole store has been due.", nil, nil)
	merchantsDesc = prometheus.NewDesc(namespace+"_merchants",
		"Merchants of the whole store, by state.", []string{"state"}, nil)
	durableDesc = prometheus.NewDesc(namespace+"_store_durable",
		"1 when what was accepted survives a restart of the store, else 0.", nil, nil)
	fsyncDesc = prometheus.NewDesc(namespace+"_store_fsync_always",
		"1 when what was accepted survives a power failure, else 0.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *storeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		pendingDesc, overdueDesc, oldestDesc, merchantsDesc, durableDesc, fsyncDesc,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector. When the store does not answer, the gauges that need it are absent
// from the scrape rather than wrong.
func (c *storeCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	h := c.store.Health(ctx)
	gauge(durableDesc, boolGauge(h.Durable))
	gauge(fsyncDesc, boolGauge(h.FsyncAlways))
	s, err := c.store.Stats(ctx)
	if err != nil {
		return
	}
	var bySend [pendingSends + 1]float64
	for send, n := range s.PendingBySend {
		bySend[min(max(send, 1), pendingSends+1)-1] += float64(n)
	}
	for i, n := range bySend[:pendingSends] {
		gauge(pendingDesc, n, strconv.Itoa(i+1))
	}
	gauge(pendingDesc, bySend[pendingSends], strconv.Itoa(pendingSends+1)+"+")
	gauge(overdueDesc, float64(s.Due))
	oldest := 0.0
	if !s.OldestDue.IsZero() {
		oldest = max(0, time.Since(s.OldestDue).Seconds())
	}
	gauge(oldestDesc, oldest)
	gauge(merchantsDesc, float64(s.Merchants.Active), "active")
	gauge(merchantsDesc, float64(s.Merchants.Failing), "failing")
	gauge(merchantsDesc, float64(s.Merchants.Paused), "paused")
	gauge(merchantsDesc, float64(s.Merchants.BreakerOpen), "breaker_open")
}

// pendingSends have a series of their own; the sends after them share one.
const pendingSends = 8

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
