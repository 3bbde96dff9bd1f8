package console

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"paynotify/api"
	"paynotify/store"
)

func (c *Console) overviewRoutes() []route {
	return []route{{pattern: "GET /console/{$}", needs: needsList, show: c.overview}}
}

// needsStats is the right to see counts over everything.
const needsStats = "GET /v1/stats"

const (
	newestMost  = 200 // notifications that shares and percentiles are taken of
	failingMost = 10  // merchants named
	sendsShown  = 8   // sends told apart; more are counted with the last
)

// overviewData is what the first page shows.
type overviewData struct {
	States  []stateCard
	Cards   []numberCard
	Stopped string // why all sending is stopped; empty when it is not
	Newest  newestData
}

// stateCard is how many notifications have a state.
type stateCard struct {
	State chip
	Count string
	Href  string
}

// numberCard is one number.
type numberCard struct{ Tone, Name, Number, Note, Href string }

// newestData is what the newest notifications tell.
type newestData struct {
	Count       int // how many they are
	FirstAcked  string
	HalfWithin  string // time to acknowledgement
	MostWithin  string
	Sends       []sendsRow
	Failing     []failingRow
	NearMissing int // merchants whose last reply was a near-miss
}

// sendsRow is how many were acknowledged by that send.
type sendsRow struct {
	Send, Count string
	Share       bar
}

// failingRow is a merchant whose last sends failed.
type failingRow struct {
	MchID, Href   string
	Failed, Of    int
	Last          chip
	LastHref      string
	FailedOfShare bar
}

// overview shows how everything stands.
func (c *Console) overview(r *request) (page, error) {
	d := overviewData{}
	err := together(
		func() error { return c.stateCards(r, &d) },
		func() error { return c.engineCards(r, &d) },
		func() error {
			newest, err := c.service.Notifications(r.Context(), store.Query{Limit: newestMost})
			d.Newest = r.newest(newest.Notifications)
			return err
		},
	)
	if err != nil {
		return page{}, err
	}
	return page{name: "overview", title: r.t("Overview"), data: d}, nil
}

// stateCards counts notifications by state: all of them, or those of the merchant that is shown.
func (c *Console) stateCards(r *request, d *overviewData) error {
	counts := map[store.State]string{}
	if r.may(needsStats) && r.who.MchID == "" {
		stats, err := c.service.Stats(r.Context())
		if err != nil {
			return err
		}
		for state, n := range stats.States {
			counts[store.State(state)] = strconv.Itoa(n)
		}
		d.Cards = append(d.Cards, r.queueCards(&stats)...)
	} else {
		for _, state := range store.States {
			n, err := c.service.Counts(r.Context(), store.Query{State: state}, countMost)
			if err != nil {
				return err
			}
			counts[state] = countText(n.Total, n.More)
		}
	}
	for _, state := range store.States {
		d.States = append(d.States, stateCard{
			State: stateChip(state), Count: counts[state],
			Href: root + "notifications?notify_state=" + url.QueryEscape(string(state)),
		})
	}
	return nil
}

// queueCards are the numbers about what is to be sent now, and about merchants.
func (r *request) queueCards(s *api.StatsView) []numberCard {
	late := time.Duration(s.OldestOverdueSeconds * float64(time.Second))
	tone, note := "ok", ""
	if s.Due > 0 {
		note = r.t("the oldest for %s", r.span(late))
	}
	if late > 5*time.Second { // what the alerts call late
		tone = "warn"
	}
	cards := []numberCard{
		{Tone: "info", Name: r.t("In flight"), Number: strconv.Itoa(s.InFlight)},
		{Tone: tone, Name: r.t("Due and not started"), Number: strconv.Itoa(s.Due), Note: note},
		{Name: r.t("Held"), Number: strconv.Itoa(s.Held), Href: root + "notifications?held=true"},
	}
	m := s.Merchants
	failing := numberCard{
		Tone: "ok", Name: r.t("Merchants failing"), Number: strconv.Itoa(m.Failing + m.BreakerOpen),
		Note: r.t("%d active, %d paused, %d with an open breaker", m.Active, m.Paused, m.BreakerOpen),
		Href: root + "merchants",
	}
	if m.Failing+m.BreakerOpen > 0 {
		failing.Tone = "warn"
	}
	return append(cards, failing)
}

// engineCards says whether all sending is stopped.
func (c *Console) engineCards(r *request, d *overviewData) error {
	if !r.may(needsStats) || r.who.MchID != "" {
		return nil
	}
	sending, err := c.service.Sending(r.Context())
	if err != nil || !sending.Paused {
		return err
	}
	d.Stopped = r.t("no reason was given")
	if sending.Reason != nil && *sending.Reason != "" {
		d.Stopped = *sending.Reason
	}
	return nil
}

// newest is what notifications tell, newest first.
func (r *request) newest(ns []api.NotificationSummary) newestData {
	d := newestData{Count: len(ns)}
	var took []time.Duration
	bySend := make([]int, sendsShown+1)
	sent, first, merchants := 0, 0, map[string]*tally{}
	for i := range ns {
		n := &ns[i]
		if n.LastVerdict == nil {
			continue // nothing has come of it yet
		}
		m := merchants[n.MchID]
		if m == nil {
			m = &tally{last: n}
			merchants[n.MchID] = m
		}
		m.see(n)
		sent++
		if n.NotifyState == store.Spent && n.SpentAt != nil {
			took = append(took, n.SpentAt.Sub(n.CreatedAt.Time))
			bySend[min(max(n.NotifyCount, 1), sendsShown)]++
			if n.NotifyCount <= 1 {
				first++
			}
		}
	}
	slices.Sort(took)
	d.FirstAcked, d.HalfWithin, d.MostWithin = share(first, sent), "–", "–"
	if len(took) > 0 {
		d.HalfWithin = r.within(took[len(took)/2])
		d.MostWithin = r.within(took[len(took)*95/100])
	}
	for send := 1; send <= sendsShown; send++ {
		d.Sends = append(d.Sends, r.sends(send, bySend[send], len(took)))
	}
	d.Failing, d.NearMissing = r.failing(merchants)
	return d
}

// tally counts what came of a merchant's notifications.
type tally struct {
	failed, of int
	last       *api.NotificationSummary // the newest that was sent
	nearMiss   bool
}

func (m *tally) see(n *api.NotificationSummary) {
	m.of++
	if *n.LastVerdict != store.Acked {
		m.failed++
	}
	m.nearMiss = m.nearMiss || *n.LastVerdict != store.Acked && n.LastReason != nil && n.LastReason.NearMiss()
}

func (r *request) sends(send, n, of int) sendsRow {
	row := sendsRow{Send: strconv.Itoa(send), Count: strconv.Itoa(n)}
	if send == sendsShown {
		row.Send += "+"
	}
	row.Share = shareBar("ok", n, of)
	return row
}

// failing lists the merchants of which most failed, and counts those that almost acknowledge.
func (r *request) failing(merchants map[string]*tally) (rows []failingRow, nearMissing int) {
	ids := slices.SortedFunc(maps.Keys(merchants), func(a, b string) int {
		return cmp.Or(cmp.Compare(merchants[b].failed, merchants[a].failed), cmp.Compare(a, b))
	})
	for _, id := range ids {
		m := merchants[id]
		if m.nearMiss {
			nearMissing++
		}
		if m.failed == 0 || len(rows) == failingMost {
			continue
		}
		rows = append(rows, failingRow{
			MchID: id, Href: root + "merchants/" + url.PathEscape(id), Failed: m.failed, Of: m.of,
			Last:          judgedChip(*m.last.LastVerdict, *m.last.LastReason),
			LastHref:      root + "notifications/" + url.PathEscape(m.last.NotifyID),
			FailedOfShare: shareBar("bad", m.failed, m.of),
		})
	}
	return rows, nearMissing
}

// share is a part in per cent.
func share(n, of int) string {
	if of == 0 {
		return "–"
	}
	return strconv.FormatFloat(float64(n)*100/float64(of), 'f', 1, 64) + " %"
}

// shareBar draws a part of a whole.
func shareBar(tone string, n, of int) bar {
	b := bar{Label: share(n, of)}
	if of > 0 && n > 0 {
		b.Parts = []barPart{{Tone: tone, X: 0, W: max(1, n*1000/of)}}
	}
	return b
}

// within is how long an acknowledgement took.
func (r *request) within(d time.Duration) string {
	if d < time.Minute {
		return took(float64(d) / float64(time.Millisecond))
	}
	return r.span(d)
}
