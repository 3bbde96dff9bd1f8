package dispatcher

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/store"
)

const (
	// otherMerchants is the label of those without a series of their own; no mch_id begins like that.
	otherMerchants = "_other"
	// merchantsPage is how many merchants are read from the store at a time.
	merchantsPage = 500
)

// verdictClasses are the values of the label verdict_class; see store.Verdict.Class.
var verdictClasses = [...]string{"acked", "refused", "error"}

// merchantSeries count attempts by merchant, of which the first few have series of their own: each merchant
// costs a scrape 250 bytes, and whoever stores the scrapes much more. It has its series from the start of the
// process or from its registration on, at zero: an alert on increase() never sees a counter whose first
// sample is 3.
type merchantSeries struct {
	most    int // 0 = these metrics are off
	total   *prometheus.CounterVec
	dropped prometheus.Counter

	mu   sync.RWMutex
	own  map[string]classCounters // by mch_id
	rest classCounters
}

// classCounters are in the order of verdictClasses.
type classCounters [len(verdictClasses)]prometheus.Counter

func newMerchantSeries(f factory, most int) *merchantSeries {
	m := &merchantSeries{most: most, own: make(map[string]classCounters)}
	m.dropped = f.counter("merchant_series_dropped_total",
		"Attempts of merchants that found no series of their own and were counted under _other.")
	if most > 0 {
		m.total = f.counters("merchant_attempts_total",
			"Attempts of the first few merchants, by class of verdict; of all others together under _other. "+
				"Only with metrics.merchants.", "merchant", "verdict_class")
		m.rest = m.series(otherMerchants)
	}
	return m
}

func (m *merchantSeries) series(merchant string) (c classCounters) {
	for i, class := range verdictClasses {
		c[i] = m.total.WithLabelValues(merchant, class)
	}
	return c
}

// fill gives the merchants that are there their series, in the order of their mch_id: the same on every node.
func (m *merchantSeries) fill(ctx context.Context, s store.Store) error {
	for cursor, more := "", m.most > 0; more; more = cursor != "" {
		merchants, next, err := s.Merchants(ctx, cursor, min(m.most, merchantsPage))
		if err != nil {
			return err
		}
		for i := range merchants {
			if _, ok := m.admit(merchants[i].MchID); !ok {
				return nil
			}
		}
		cursor = next
	}
	return nil
}

// admit gives a merchant its series, if there is room for them; with ok it has them now.
func (m *merchantSeries) admit(mchID string) (c classCounters, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok = m.own[mchID]
	if !ok && len(m.own) < m.most {
		c, ok = m.series(mchID), true
		m.own[mchID] = c
	}
	return c, ok
}

// remove makes room: the merchant is deleted.
func (m *merchantSeries) remove(mchID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.own[mchID]; ok {
		delete(m.own, mchID)
		m.total.DeletePartialMatch(prometheus.Labels{"merchant": mchID})
	}
}

// count counts one attempt.
func (m *merchantSeries) count(mchID, class string) {
	if m.most == 0 {
		return
	}
	m.mu.RLock()
	c, ok := m.own[mchID]
	full := len(m.own) >= m.most
	m.mu.RUnlock()
	if !ok && !full {
		c, ok = m.admit(mchID)
	}
	if !ok {
		c = m.rest
		m.dropped.Inc()
	}
	for i, name := range verdictClasses {
		if name == class {
			c[i].Inc()
		}
	}
}
