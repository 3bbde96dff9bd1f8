package api

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/profile"
	"paynotify/store"
)

// SLAView is how notifications to one merchant went that were accepted in the window, which ends now. What
// there is nothing to divide by is null.
type SLAView struct {
	MchID           string    `json:"mch_id"`
	Window          string    `json:"window" example:"24h"`
	Accepted        int       `json:"accepted"`
	Spent           int       `json:"spent"`
	AckRate         *float64  `json:"ack_rate" doc:"spent / (accepted − pending)"`
	SendsPerAck     *float64  `json:"sends_per_ack" doc:"Charged sends that an acknowledgement took, on average"`
	Pending         int       `json:"pending"`
	OldestPendingAt *Time     `json:"oldest_pending_at" nullable:"true" doc:"created_at of the oldest"`
	Exhausted       int       `json:"exhausted"`
	NearMissRate    *float64  `json:"near_miss_rate" doc:"Of those sent at least once: last reason a near-miss"`
	TimeToAck       TimeToAck `json:"time_to_ack_seconds"`
	Sampled         bool      `json:"sampled" doc:"Rates of sends and times are of a fair sample of 5,000"`
}

// TimeToAck is how long acknowledgements took, from accept, in seconds.
type TimeToAck struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
	P99 *float64 `json:"p99"`
}

type slaInput struct {
	MchID  string `path:"mch_id" doc:"The merchant"`
	Window string `query:"window" default:"24h" doc:"How far back: 1m to 366d, like 90m, 24h or 7d"`
}

const (
	slaWindowMin = time.Minute
	slaWindowMax = 366 * day // a year, also a long one
	day          = 24 * time.Hour

	// slaSampleMax bounds what percentiles are made of: with 5,000 a p99 lies between the true p98.7 and p99.3.
	slaSampleMax = 5000

	// surveyAnswerMax bounds questions over a merchant's every notification. A store that is down was found out
	// before, in the time that every route promises.
	surveyAnswerMax = 10 * time.Second
)

func (a *API) slaRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "get-sla", Method: "GET", Path: "/v1/merchants/{mch_id}/sla", Tags: tagMerchants,
		Summary: "How notifications to a merchant went lately",
	}, []int{404}, func(ctx context.Context, in *slaInput) (SLAView, error) {
		window, p := parseWindow(in.Window)
		if p != nil {
			return SLAView{}, p
		}
		v, err := s.SLA(ctx, in.MchID, window)
		v.Window = in.Window
		return v, err
	})
}

// SLA looks at what was accepted for a merchant in the window that ends now, 1 minute to 366 days.
func (s *Service) SLA(ctx context.Context, mchID string, window time.Duration) (SLAView, error) {
	v := SLAView{MchID: mchID, Window: windowText(window)}
	if window < slaWindowMin || window > slaWindowMax {
		return SLAView{}, badWindow()
	}
	if _, p := s.merchant(ctx, mchID); p != nil {
		return SLAView{}, p
	}
	ctx, cancel := context.WithTimeout(ctx, surveyAnswerMax)
	defer cancel()
	q := store.Query{MchID: mchID, CreatedFrom: s.Store.Now().Add(-window)}
	var (
		sample []store.Notification
		failed error
		drawn  sync.WaitGroup
	)
	drawn.Go(func() { sample, failed = s.Store.Sample(ctx, q, slaSampleMax) })
	err := s.slaCounts(ctx, q, &v)
	drawn.Wait()
	if err = errors.Join(err, failed); err == nil {
		err = s.slaTimes(ctx, q, sample, &v)
	}
	if err != nil {
		return SLAView{}, fromStore(err)
	}
	return v, nil
}

// slaCounts counts by state. Pending comes last: what leaves it meanwhile is counted nowhere, where the other
// way round it would be counted twice, and the rate rise above 1.
func (s *Service) slaCounts(ctx context.Context, q store.Query, v *SLAView) error {
	final := 0
	for _, state := range []store.State{
		store.Spent, store.Exhausted, store.Canceled, store.Quarantined, store.Pending,
	} {
		q.State = state
		c, err := s.Store.Count(ctx, q, 0)
		if err != nil {
			return err
		}
		switch v.Accepted += c.Total; state {
		case store.Pending:
			v.Pending = c.Total
			continue
		case store.Spent:
			v.Spent = c.Total
		case store.Exhausted:
			v.Exhausted = c.Total
		}
		final += c.Total
	}
	v.AckRate = ratio(v.Spent, final)
	if v.Pending == 0 {
		return nil
	}
	oldest, err := s.Store.Oldest(ctx, q)
	v.OldestPendingAt = timeOrNil(oldest)
	return err
}

// slaTimes looks at the notifications themselves, or at a fair sample of them.
func (s *Service) slaTimes(
	ctx context.Context, q store.Query, all []store.Notification, v *SLAView,
) (err error) {
	v.Sampled = v.Accepted > slaSampleMax
	sent, missed := 0, 0
	for i := range all {
		if all[i].AttemptCount > 0 {
			sent++
		}
		if all[i].LastReason.NearMiss() {
			missed++
		}
	}
	v.NearMissRate = ratio(missed, sent)
	spent := slices.DeleteFunc(all, func(n store.Notification) bool { return n.State != store.Spent })
	if v.Sampled && len(spent) < slaSampleMax/2 && len(spent) < v.Spent {
		// Few of the sample were acknowledged; how long it takes must not rest on a handful.
		q.State = store.Spent
		if spent, err = s.Store.Sample(ctx, q, slaSampleMax); err != nil {
			return err
		}
	}
	sends, times := 0, make([]time.Duration, len(spent))
	for i := range spent {
		n := &spent[i]
		sends += max(1, n.NotifyCount) // a person's send is not charged, and may be the only one
		times[i] = max(0, n.SpentAt.Sub(n.CreatedAt))
	}
	slices.Sort(times)
	v.SendsPerAck = ratio(sends, len(times))
	v.TimeToAck = TimeToAck{P50: percentile(times, 50), P95: percentile(times, 95), P99: percentile(times, 99)}
	return nil
}

// ratio is a / b, to six decimals, nil when there is nothing to divide by.
func ratio(a, b int) *float64 {
	if b == 0 {
		return nil
	}
	return new(math.Round(float64(a)/float64(b)*1e6) / 1e6)
}

// percentile is the nearest rank among sorted times, in seconds; nil when there are none.
func percentile(sorted []time.Duration, p int) *float64 {
	if len(sorted) == 0 {
		return nil
	}
	rank := (len(sorted)*p + 99) / 100
	return new(float64(sorted[rank-1].Microseconds()) / 1e6)
}

// parseWindow reads a duration, or a whole number of days.
func parseWindow(text string) (time.Duration, *Problem) {
	window, err := time.ParseDuration(text)
	if days, whole := strings.CutSuffix(text, "d"); whole {
		var n int
		n, err = strconv.Atoi(days)
		window = time.Duration(min(max(n, 0), 1000)) * day
	}
	if err != nil || window < slaWindowMin || window > slaWindowMax {
		return 0, badWindow()
	}
	return window, nil
}

func badWindow() *Problem {
	return invalid([]profile.Fault{{
		Location: "query.window", Message: "is no duration from 1m to 366d", Cure: "write it like 90m, 24h or 7d",
	}})
}

// windowText writes a window as people do: in the largest unit that it has a whole number of.
func windowText(window time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if window%unit.length == 0 && (unit.length < day || window > day) {
			return itoa(int(window/unit.length)) + unit.name
		}
	}
	return window.String()
}
