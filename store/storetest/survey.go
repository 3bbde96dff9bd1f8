package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paynotify/store"
)

// Survey answers questions about many notifications at once: as if it had read all of them.
var surveyCases = []testCase{
	{"Survey/every kind", surveyZoo},
	{"Survey/while sending is stopped", surveyStopped},
	{"Survey/the engine's own merchants", surveyReserved},
	{"Survey/refuses what it does not read", surveyRefuses},
	{"Sample/each is as likely as any other", surveyFair},
}

// surveysFor bounds how long surveys looks for a counter-example; -rapid.checks bounds it as well.
const surveysFor = 3 * time.Second

// surveyMerchants are those of a random history; the last is never there.
var surveyMerchants = []string{"m1", "m2", "m3", store.CallbackMerchant, "nobody"}

// surveys compares Survey with reading everything, after random histories of accepts, sends, changes by
// persons, retention, deleted merchants and restarts. Where prepare is not nil it comes before each.
func surveys(t *testing.T, open func(t *testing.T) Harness, prepare func(e *env)) {
	started, failed := time.Now(), false
	rapid.Check(t, func(rt *rapid.T) {
		if time.Since(started) > surveysFor && !failed {
			return
		}
		failed = true
		e := newEnv(rt, open(t))
		defer e.close()
		if prepare != nil {
			prepare(e)
		}
		h := &surveyed{e: e}
		for _, name := range surveyMerchants[:len(surveyMerchants)-1] {
			if _, err := e.Store.Merchant(e.ctx, name); err != nil {
				e.merchant(name, nil)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"accept": h.accept, "accepts": h.accept, "claim": h.claim, "settle": h.settle, "settles": h.settle,
			"person": h.person, "advance": h.advance, "retain": h.retain, "delete": h.remove, "reopen": h.reopen,
			"": func(*rapid.T) {},
		})
		h.compare(rt)
		failed = false
	})
}

// surveyed is one random history.
type surveyed struct {
	e    *env
	ids  []string
	live []store.Claim
}

func (h *surveyed) accept(rt *rapid.T) {
	in := incoming(rapid.SampledFrom(surveyMerchants[:4]).Draw(rt, "merchant"))
	in.Want = rapid.Bool().Draw(rt, "want")
	if rapid.Bool().Draw(rt, "own address") {
		in.NotifyURL = "https://own.example/n"
	}
	for _, a := range h.e.accept(slices.Repeat([]store.Incoming{in}, rapid.IntRange(1, 9).Draw(rt, "n"))...) {
		if a.Status == store.New {
			h.ids = append(h.ids, a.NotifyID)
		}
		if a.Claim != nil {
			h.live = append(h.live, *a.Claim)
		}
	}
}

func (h *surveyed) claim(rt *rapid.T) {
	lane := rapid.SampledFrom(surveyMerchants[:4]).Draw(rt, "lane")
	h.live = append(h.live, h.e.claim(lane, rapid.IntRange(1, 9).Draw(rt, "max")).Items...)
}

func (h *surveyed) settle(rt *rapid.T) {
	if len(h.live) == 0 {
		rt.Skip("nothing is claimed")
	}
	i := rapid.IntRange(0, len(h.live)-1).Draw(rt, "claim")
	c := h.live[i]
	h.live = slices.Delete(h.live, i, i+1)
	next := h.e.in(rapid.SampledFrom([]time.Duration{time.Second, time.Hour, 20 * time.Hour}).Draw(rt, "wait"))
	h.e.settle(c, rapid.SampledFrom([]func() store.Outcome{
		func() store.Outcome { return acked(c) },
		func() store.Outcome { return acked(c) },
		func() store.Outcome { return refused(c, next) },
		func() store.Outcome { return uncharged(c, next) },
		func() store.Outcome { return blocked(c, next) },
		func() store.Outcome { return exhausted(c) },
		func() store.Outcome {
			o := acked(c)
			o.Attempt.Reason = store.AckTrimmed
			return o
		},
	}).Draw(rt, "outcome")())
}

func (h *surveyed) person(rt *rapid.T) {
	if len(h.ids) == 0 {
		rt.Skip("there is none")
	}
	id := rapid.SampledFrom(h.ids).Draw(rt, "notification")
	if rapid.Bool().Draw(rt, "cancel") {
		_, _ = h.e.Store.Cancel(h.e.ctx, id) // refused or not
	} else {
		_, _ = h.e.Store.Resend(h.e.ctx, id, store.Resend, rapid.Bool().Draw(rt, "force")) // likewise
	}
}

func (h *surveyed) advance(rt *rapid.T) {
	h.e.Advance(rapid.SampledFrom([]time.Duration{tick, time.Second, lease + time.Second, 2 * time.Hour}).
		Draw(rt, "by"))
	h.e.wakes(plenty)
}

func (h *surveyed) retain(rt *rapid.T) {
	before := h.e.Now().Add(-rapid.SampledFrom([]time.Duration{0, time.Minute, 3 * time.Hour}).Draw(rt, "age"))
	most := rapid.IntRange(1, 20).Draw(rt, "max")
	s, ok := h.e.Store.(store.Shrinker)
	var err error
	if ok && rapid.Bool().Draw(rt, "shrink") {
		_, err = s.Shrink(h.e.ctx, before, most)
	} else {
		_, err = h.e.Store.Prune(h.e.ctx, before, before, most)
	}
	h.e.must("retention", err)
}

func (h *surveyed) remove(rt *rapid.T) {
	mch := rapid.SampledFrom([]string{"m2", "m3"}).Draw(rt, "merchant")
	_ = h.e.Store.DeleteMerchant(h.e.ctx, mch) // or it owes something
}

func (h *surveyed) reopen(*rapid.T) { h.e.Store = h.e.Reopen() }

// compare asks some of all questions.
func (h *surveyed) compare(rt *rapid.T) {
	all, _, err := h.e.Store.List(h.e.ctx, store.Query{Limit: 500})
	h.e.must("List", err)
	instants := []time.Time{{}, h.e.Now()}
	for i := range all {
		instants = append(instants, all[i].CreatedAt)
	}
	for range 12 {
		q := store.Query{
			MchID:       rapid.SampledFrom(append([]string{"", "gone"}, surveyMerchants...)).Draw(rt, "mch_id"),
			CreatedFrom: rapid.SampledFrom(instants).Draw(rt, "from"),
			CreatedTo:   rapid.SampledFrom(instants).Draw(rt, "to"),
		}
		switch rapid.IntRange(0, 4).Draw(rt, "filter") {
		case 0:
			q.State = rapid.SampledFrom(store.States).Draw(rt, "state")
		case 1:
			q.Verdict = rapid.SampledFrom(store.Verdicts).Draw(rt, "verdict")
		case 2:
			q.Reason = rapid.SampledFrom(store.Reasons).Draw(rt, "reason")
		case 3:
			q.State = rapid.SampledFrom(store.States).Draw(rt, "state")
			some := []store.Verdict{store.Acked, store.Refused, store.Timeout}
			q.Verdict = rapid.SampledFrom(some).Draw(rt, "verdict")
		}
		h.e.surveyAs(q, rapid.IntRange(1, 30).Draw(rt, "most"))
	}
	h.e.outlooks()
}

// surveyAs compares the answers about a query.
func (e *env) surveyAs(q store.Query, most int) {
	e.Helper()
	oracle := surveyor{e.Store}
	want, err := oracle.Count(e.ctx, q, 0)
	e.must("counting", err)
	for _, limit := range []int{0, most} {
		got, err := e.Store.Count(e.ctx, q, limit)
		e.must("Count", err)
		total := 0
		for mch, n := range got.ByMerchant {
			total += n
			if n > want.ByMerchant[mch] || n == 0 {
				e.Fatalf("Count(%+v, %d): %d of %s, want %d", q, limit, n, mch, want.ByMerchant[mch])
			}
		}
		enough := got.More && limit > 0 && got.Total >= limit
		if total != got.Total || got.More && !enough || !got.More && got.Total != want.Total {
			e.Fatalf("Count(%+v, %d): %+v, want %+v", q, limit, got, want)
		}
	}
	oldest, err := e.Store.Oldest(e.ctx, q)
	e.must("Oldest", err)
	wantOldest, err := oracle.Oldest(e.ctx, q)
	e.must("the oldest", err)
	if !oldest.Equal(wantOldest) {
		e.Fatalf("Oldest(%+v): %v, want %v", q, oldest, wantOldest)
	}
	all := map[string]store.Notification{}
	e.must("reading all", oracle.each(e.ctx, q, func(n *store.Notification) { all[n.NotifyID] = *n }))
	for _, limit := range []int{most, len(all), plenty} {
		e.sampleOf(q, all, limit)
	}
}

// sampleOf checks one sample of all that match.
func (e *env) sampleOf(q store.Query, all map[string]store.Notification, most int) {
	e.Helper()
	sample, err := e.Store.Sample(e.ctx, q, most)
	e.must("Sample", err)
	if len(sample) != min(most, len(all)) {
		e.Fatalf("Sample(%+v, %d) of %d has %d", q, most, len(all), len(sample))
	}
	seen := map[string]bool{}
	for _, n := range sample {
		if seen[n.NotifyID] {
			e.Fatalf("Sample(%+v, %d) has %s twice", q, most, n.NotifyID)
		}
		seen[n.NotifyID] = true
		e.diff("sampled", all[n.NotifyID], n)
	}
}

// outlooks compares the outlooks.
func (e *env) outlooks() {
	e.Helper()
	now := e.Now()
	for _, mch := range append([]string{""}, surveyMerchants...) {
		for _, from := range []time.Time{now, now.Add(-time.Hour), now.Add(3 * time.Hour)} {
			for step, steps := range map[time.Duration]int{time.Minute: 90, 5 * time.Hour: 3, 24 * time.Hour: 1} {
				got, err := e.Store.Outlook(e.ctx, mch, from, step, steps)
				e.must("Outlook", err)
				want, err := surveyor{e.Store}.Outlook(e.ctx, mch, from, step, steps)
				e.must("looking", err)
				if got.At.IsZero() || got.At.After(e.Now()) {
					e.Fatalf("Outlook of %v, and it is %v", got.At, e.Now())
				}
				want.At = got.At
				if d := gocmp.Diff(want, got); d != "" {
					e.Fatalf("Outlook(%q, %v, %v, %d) (-want +got):\n%s", mch, from.Sub(now), step, steps, d)
				}
			}
		}
	}
}

// surveyAll asks everything about what the zoo has.
func (e *env) surveyAll(ids []string) {
	e.Helper()
	ns := make([]store.Notification, len(ids))
	for i, id := range ids {
		ns[i], _ = e.get(id)
	}
	slices.SortFunc(ns, newestFirst)
	for _, q := range e.queries(ns) {
		if q.Held != "" || q.OutTradeNo != "" {
			continue
		}
		for _, mch := range []string{"", "open", "paused", "blocked", "nobody"} {
			q.MchID = mch
			e.surveyAs(q, 3)
		}
	}
	e.outlooks()
}

func surveyZoo(e *env) {
	ids := e.zoo()
	e.surveyAll(ids)
	e.Store = e.Reopen()
	e.surveyAll(ids)
	e.drop("open")
	e.surveyAll(ids)
}

func surveyStopped(e *env) {
	ids := e.zoo()
	e.setSending(true, "test")
	e.surveyAll(ids)
}

func surveyReserved(e *env) {
	for _, mch := range []string{"m1", store.CallbackMerchant, store.NoticesMerchant} {
		e.merchant(mch, nil)
		e.add(mch, 2)
	}
	for mch, want := range map[string]int{"": 2, "m1": 2, store.CallbackMerchant: 2} {
		c, err := e.Store.Count(e.ctx, store.Query{MchID: mch}, 0)
		e.must("Count", err)
		s, err := e.Store.Sample(e.ctx, store.Query{MchID: mch}, plenty)
		e.must("Sample", err)
		o, err := e.Store.Outlook(e.ctx, mch, e.Now(), time.Minute, 1)
		e.must("Outlook", err)
		if c.Total != want || len(s) != want || o.Overdue != want {
			e.Fatalf("%q: counted %+v, sampled %d, overdue %d, want %d", mch, c, len(s), o.Overdue, want)
		}
	}
}

func surveyRefuses(e *env) {
	for _, q := range []store.Query{{Held: "true"}, {OutTradeNo: "1"}, {Cursor: "x"}} {
		_, countErr := e.Store.Count(e.ctx, q, 0)
		_, sampleErr := e.Store.Sample(e.ctx, q, 1)
		_, oldestErr := e.Store.Oldest(e.ctx, q)
		if countErr == nil || sampleErr == nil || oldestErr == nil {
			e.Fatalf("%+v: %v, %v, %v, want errors", q, countErr, sampleErr, oldestErr)
		}
	}
}

// surveyFair draws many samples of 60 notifications, of which some were accepted close together and some far
// apart, of two merchants, in several states.
func surveyFair(e *env) {
	const draws, most, perMost = 300, 12, 20
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	var ids []string
	for i := range perMost {
		ids = append(ids, e.add([]string{"m1", "m2"}[cmp.Compare(i, 15)&1], 3)...)
		if i > perMost/2 {
			e.Advance(time.Hour)
		}
	}
	for _, id := range ids[:20] {
		e.cancel(id)
	}
	taken := map[string]int{}
	for range draws {
		sample, err := e.Store.Sample(e.ctx, store.Query{}, most)
		e.must("Sample", err)
		for _, n := range sample {
			taken[n.NotifyID]++
		}
	}
	for i, id := range ids { // 60 of 300 expected; 7 standard deviations on either side
		if n := taken[id]; n < 12 || n > 108 {
			e.Fatalf("#%d was taken %d times in %d draws of %d out of %d", i, n, draws, most, len(ids))
		}
	}
	if len(taken) > len(ids) {
		e.Fatal(fmt.Sprint(len(taken), " were sampled of ", len(ids)))
	}
}
