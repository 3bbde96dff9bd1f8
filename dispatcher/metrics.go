package dispatcher

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/profile"
	"paynotify/store"
)

const namespace = "paynotify"

// Buckets, in seconds unless said otherwise.
var (
	attemptBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}
	phaseBuckets   = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15}
	// lagBuckets hold le=5: the promise is that 99.9 % of the sends start within five seconds.
	lagBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	ackBuckets = []float64{
		.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 90000,
	}
	sendBuckets  = []float64{1, 2, 3, 4, 5, 6, 7, 8} // sends, not seconds
	signBuckets  = []float64{1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, .1}
	storeBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5}
)

// metrics are every series that the dispatcher moves, all of them created at zero: an alert on increase()
// never sees a counter whose first sample is 3.
type metrics struct {
	capacity, inflight, lastAck prometheus.Gauge
	recovered, lostWakes        prometheus.Counter
	newerRecords                prometheus.Counter

	throttled  struct{ cap, rate, workers, breaker, retryAfter prometheus.Counter }
	suppressed struct{ staleLease prometheus.Counter }

	attempts   map[attemptLabels]prometheus.Counter
	merchants  *merchantSeries
	durations  map[classLabels]*exampled
	phases     [5]prometheus.Observer
	skipped    prometheus.Counter
	lags       map[bool]*exampled // by "is a retry"
	byProfile  map[string]profileSeries
	signings   map[string]signSeries // by sign_type
	blocked    prometheus.Counter
	resends    *prometheus.CounterVec // kind, result
	operations map[string]operationSeries
}

type (
	attemptLabels struct {
		profile string
		trigger store.Trigger
		verdict store.Verdict
	}
	classLabels   struct{ profile, class string }
	profileSeries struct {
		timeToAck   *exampled
		sendsPerAck prometheus.Observer
		finals      map[store.State]prometheus.Counter
	}
	signSeries struct {
		seconds prometheus.Observer
		errors  prometheus.Counter
	}
)

// algorithms maps a sign_type to the algorithm behind it, the label of the signing metrics.
var algorithms = map[string]string{
	"RSA2": "rsa_sha256", "WECHATPAY2-SHA256-RSA2048": "rsa_sha256", "RSA": "rsa_sha1", "MD5": "md5",
	"HMAC-SHA256": "hmac_sha256", "v1": "hmac_sha256", "v1a": "ed25519",
}

// newMetrics makes the metrics; the first few merchants get series of their own.
func newMetrics(r prometheus.Registerer, s store.Store, merchants int) *metrics {
	f := factory{r}
	m := &metrics{
		capacity:  f.gauge("worker_capacity", "Attempts that this process can have in flight."),
		inflight:  f.gauge("inflight_attempts", "Attempts in flight."),
		lastAck:   f.gauge("last_ack_timestamp_seconds", "When the last acknowledgement came; 0 before the first."),
		recovered: f.counter("leases_recovered_total", "Claims whose lease ran out and that went out again."),
		newerRecords: f.counter("newer_records_total",
			"Times that a due notification was left alone because a newer version of paynotify wrote it."),
		lostWakes: f.counter("lost_wakes_total", "Lanes that the queue was given and nobody ran in time."),
		skipped: f.counter("egress_skipped_addresses_total",
			"Addresses that a merchant's name resolved to and the address rules refused, while others passed."),
		merchants: newMerchantSeries(f, merchants),
	}
	throttled := f.counters("throttled_total", "Times a lane with work had to wait, by cause.", "reason")
	m.throttled.cap = throttled.WithLabelValues("merchant_cap")
	m.throttled.rate = throttled.WithLabelValues("merchant_rate")
	m.throttled.workers = throttled.WithLabelValues("workers")
	m.throttled.breaker = throttled.WithLabelValues("breaker")
	m.throttled.retryAfter = throttled.WithLabelValues("retry_after")
	suppressed := f.counters("suppressed_sends_total", "Claims given up before the first byte.", "reason")
	for _, never := range []string{"spent", "held"} { // the embedded store gives no such claim out
		suppressed.WithLabelValues(never)
	}
	m.suppressed.staleLease = suppressed.WithLabelValues("stale_lease")
	m.blocked = f.counters("blocked_targets_total", "Attempts that the address rules stopped.", "reason").
		WithLabelValues(string(store.AddressBlocked))
	m.resends = f.counters("resends_total", "Sends that a person asked for.", "kind", "result")
	for _, kind := range []store.Trigger{store.Resend, store.Replay} {
		for _, result := range []string{"accepted", "acked", "refused", "error"} {
			m.resends.WithLabelValues(string(kind), result)
		}
	}
	m.attemptSeries(f)
	m.signSeries(f)
	m.operationSeries(f)
	f.collector(&storeCollector{store: s})
	return m
}

func (m *metrics) attemptSeries(f factory) {
	attempts := f.counters("attempts_total", "Attempts, by what came of them.", "profile", "trigger", "verdict")
	duration := f.histograms("attempt_duration_seconds", "How long attempts took.", attemptBuckets,
		"profile", "verdict_class")
	phases := f.histograms("attempt_http_phase_duration_seconds", "Where the time of an attempt went.",
		phaseBuckets, "http_phase")
	for i, phase := range []string{"dns", "connect", "tls", "ttfb", "body"} {
		m.phases[i] = phases.WithLabelValues(phase)
	}
	lag := f.histograms("schedule_lag_seconds", "How long after its instant a send started.", lagBuckets,
		"trigger")
	m.lags = map[bool]*exampled{
		false: newExampled(lag, lagBuckets, "first"), true: newExampled(lag, lagBuckets, "retry"),
	}
	toAck := f.histograms("time_to_ack_seconds", "How long it took from accept to acknowledgement.",
		ackBuckets, "profile")
	sends := f.histograms("sends_per_ack", "Charged sends that an acknowledgement took.", sendBuckets, "profile")
	finals := f.counters("notifications_total", "Notifications that reached a final state.", "profile", "state")

	m.attempts = make(map[attemptLabels]prometheus.Counter)
	m.durations = make(map[classLabels]*exampled)
	m.byProfile = make(map[string]profileSeries)
	for _, p := range profile.All() {
		for _, t := range store.Triggers {
			for _, v := range store.Verdicts {
				m.attempts[attemptLabels{p.Name, t, v}] = attempts.WithLabelValues(p.Name, string(t), string(v))
			}
		}
		for _, class := range verdictClasses {
			m.durations[classLabels{p.Name, class}] = newExampled(duration, attemptBuckets, p.Name, class)
		}
		series := profileSeries{
			timeToAck: newExampled(toAck, ackBuckets, p.Name), sendsPerAck: sends.WithLabelValues(p.Name),
			finals: make(map[store.State]prometheus.Counter),
		}
		for _, s := range store.States {
			if s.Final() {
				series.finals[s] = finals.WithLabelValues(p.Name, string(s))
			}
		}
		m.byProfile[p.Name] = series
	}
}

func (m *metrics) signSeries(f factory) {
	seconds := f.histograms("sign_duration_seconds", "How long encoding and signing took.", signBuckets,
		"algorithm")
	errs := f.counters("sign_errors_total", "Messages that could not be signed.", "algorithm")
	m.signings = make(map[string]signSeries)
	for signType, algorithm := range algorithms {
		m.signings[signType] = signSeries{
			seconds: seconds.WithLabelValues(algorithm), errors: errs.WithLabelValues(algorithm),
		}
	}
}

// signed counts one encoding; unsigned profiles do not count.
func (m *metrics) signed(signType string, took time.Duration, err error) {
	s, ok := m.signings[signType]
	switch {
	case !ok:
	case err != nil:
		s.errors.Inc()
	default:
		s.seconds.Observe(took.Seconds())
	}
}

// lag observes how late a scheduled send starts.
func (m *metrics) lag(h *held, started time.Time) {
	if h.Trigger.Manual() || h.Streak.Count > 0 {
		return // a person's send has no instant; a repeat of ours is late by design
	}
	m.lags[h.Trigger == store.Retry].observe(max(0, started.Sub(h.NextAt)).Seconds(), h.NotifyID, started)
}

// attempt counts one attempt.
func (m *metrics) attempt(h *held, a *store.Attempt) {
	if c, ok := m.attempts[attemptLabels{h.Profile, a.Trigger, a.Verdict}]; ok {
		c.Inc()
	}
	class := a.Verdict.Class()
	m.merchants.count(h.MchID, class)
	if o, ok := m.durations[classLabels{h.Profile, class}]; ok {
		o.observe(a.Duration.Seconds(), h.NotifyID, a.StartedAt.Add(a.Duration))
	}
	for i, took := range [...]time.Duration{
		a.Phases.DNS, a.Phases.Connect, a.Phases.TLS, a.Phases.FirstByte, a.Phases.Body,
	} {
		if took > 0 {
			m.phases[i].Observe(took.Seconds())
		}
	}
	if a.Verdict == store.Blocked {
		m.blocked.Inc()
	}
}

// outcome counts what an attempt changed.
func (m *metrics) outcome(h *held, o store.Outcome) {
	a := &o.Attempt
	if a.Trigger.Manual() && !o.Again {
		m.resends.WithLabelValues(string(a.Trigger), a.Verdict.Class()).Inc()
	}
	switch {
	case a.Verdict == store.Acked:
		at := a.StartedAt.Add(a.Duration)
		m.lastAck.Set(float64(at.UnixMilli()) / 1000)
		if s, ok := m.byProfile[h.Profile]; ok && h.State != store.Spent {
			s.timeToAck.observe(at.Sub(h.CreatedAt).Seconds(), h.NotifyID, at)
			s.sendsPerAck.Observe(float64(max(1, h.NotifyCount+1)))
			m.final(store.Spent, h.Profile)
		}
	case o.State.Final() && !h.State.Final():
		m.final(o.State, h.Profile)
	}
}

// final counts a notification that reached a final state.
func (m *metrics) final(s store.State, profileName string) {
	if c, ok := m.byProfile[profileName].finals[s]; ok {
		c.Inc()
	}
}
