package console

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strconv"

	"paynotify/api"
	"paynotify/store"
)

// The rights that replays take.
const (
	needsReplay       = "POST /v1/notifications/replay"
	needsReplays      = "GET /v1/replays"
	needsOneReplay    = "GET /v1/replays/{replay_id}"
	needsCancelReplay = "POST /v1/replays/{replay_id}/cancel"
)

func (c *Console) exhaustedRoutes() []route {
	return []route{
		{pattern: "GET /console/exhausted", needs: needsList, show: c.exhausted},
		{pattern: "POST /console/exhausted/replay", needs: needsReplay, do: c.startReplay},
		{pattern: "GET /console/replays/{replay_id}", needs: needsOneReplay, show: c.replay},
		{pattern: "POST /console/replays/{replay_id}/cancel", needs: needsCancelReplay, do: c.cancelReplay},
	}
}

// exhaustedData is what is not sent any more, or not now, and what can be done about it.
type exhaustedData struct {
	Bound     bool
	Grouped   bool // with the next two, which a plan does without
	Exhausted groupTable
	Held      groupTable
	Form      replayForm // Shown only to who may
	Plan      planData
	Replays   []replayRow
}

// groupTable counts notifications by merchant and by why.
type groupTable struct {
	Total, Href string
	Newest      int // that many were looked at; 0 = there are none
	Groups      []group
}

// group is a merchant's notifications with one reason.
type group struct {
	MchID, MchHref string
	Why            chip
	Count          int
	Href           string // the list of them
}

// replayForm is the form that plans a replay.
type replayForm struct {
	Shown        bool
	MchID        string
	States       []option
	From, To     string
	Rate, Reason string
}

const (
	groupsMost  = 20  // rows of a table of groups
	groupedMost = 500 // notifications that are looked at for them
)

// replayableStates are those that a replay may be about, the usual one first.
var replayableStates = []string{
	string(store.Exhausted), string(store.Quarantined), string(store.Canceled), string(store.Pending),
}

// exhausted shows what has ended without an acknowledgement and what is held. With plan in the address it
// also tells what a replay would do.
func (c *Console) exhausted(r *request) (page, error) {
	d := exhaustedData{Bound: r.who.MchID != ""}
	parts := []func() error{
		func() error { return c.plan(r, &d) },
		func() error { return c.replays(r, &d) },
	}
	if r.URL.Query().Get("plan") == "" || !r.may(needsReplay) { // a plan stands alone: it counts enough
		d.Grouped = true
		parts = append(parts,
			func() error {
				counts, err := c.service.Counts(r.Context(), store.Query{State: store.Exhausted}, countMost)
				d.Exhausted.Total = countText(counts.Total, counts.More)
				return err
			},
			func() error { return c.group(r, &d.Exhausted, store.Query{State: store.Exhausted}) },
			func() error { return c.group(r, &d.Held, store.Query{Held: "true"}) })
	}
	err := together(parts...)
	if err != nil {
		return page{}, err
	}
	return page{name: "exhausted", title: r.t("Exhausted and held"), data: d}, nil
}

const replaysShown = 20

// replays lists the last replays, for those who may see them.
func (c *Console) replays(r *request, d *exhaustedData) error {
	if !r.may(needsReplays) {
		return nil
	}
	replays, err := c.service.Replays(r.Context())
	for i := range replays[:min(len(replays), replaysShown)] {
		d.Replays = append(d.Replays, replayRowOf(&replays[i]))
	}
	return err
}

// group looks at the newest that match and counts them by merchant and by why they are there.
func (c *Console) group(r *request, t *groupTable, q store.Query) error {
	f := filters{Query: q}
	t.Href = root + "notifications" + f.address("")
	q.Limit = groupedMost
	found, err := c.service.Notifications(r.Context(), q)
	if err != nil {
		return err
	}
	t.Newest = len(found.Notifications)
	counts := map[group]int{}
	for i := range found.Notifications {
		n := &found.Notifications[i]
		g, own := group{MchID: n.MchID}, filters{Query: store.Query{MchID: n.MchID, State: q.State, Held: q.Held}}
		switch {
		case n.HeldReason != nil:
			g.Why, own.Held = heldChip(n.HeldReason), *n.HeldReason
		case n.LastVerdict != nil && n.LastReason != nil:
			g.Why, own.Reason = judgedChip(*n.LastVerdict, *n.LastReason), *n.LastReason
		}
		g.MchHref = root + "merchants/" + url.PathEscape(n.MchID)
		g.Href = root + "notifications" + own.address("")
		counts[g]++
	}
	for g, n := range counts {
		g.Count = n
		t.Groups = append(t.Groups, g)
	}
	sort.Slice(t.Groups, func(i, j int) bool {
		a, b := &t.Groups[i], &t.Groups[j]
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Href, b.Href)) < 0
	})
	t.Groups = t.Groups[:min(len(t.Groups), groupsMost)]
	return nil
}

// planData is what a replay would do.
type planData struct {
	Shown                  bool
	Matched                int
	Skipped                string
	Merchants              []counted
	More                   int // merchants that are not named
	Amounts                []amountRow
	Estimated              bool
	MchID, State, From, To string // as the form that starts it sends them
	Rate, Reason           string
	StateChip              chip
	Wait                   string // how long it takes at that rate, at least
}

// amountRow is a sum of money.
type amountRow struct{ Field, Sum string }

// plan fills in the form, for those who may replay, and what a replay would do when the address asks for it.
func (c *Console) plan(r *request, d *exhaustedData) error {
	if !r.may(needsReplay) {
		return nil
	}
	v := r.URL.Query()
	f, err := rangeOf(v)
	if err != nil {
		return err
	}
	state := cmp.Or(string(f.State), string(store.Exhausted))
	shown := f.form(r)
	d.Form = replayForm{
		Shown: true, MchID: f.MchID, States: options("", replayableStates, state)[1:], From: shown.CreatedFrom,
		To: shown.CreatedTo, Rate: v.Get("rate_per_second"), Reason: v.Get("reason"),
	}
	if v.Get("plan") == "" {
		return nil
	}
	req, err := replayRequestOf(v)
	if err != nil {
		return err
	}
	plan, err := c.service.PlanReplay(r.Context(), req)
	if err != nil {
		return err
	}
	p := planData{
		Shown: true, Matched: plan.Matched, Skipped: countText(plan.SkippedSpent, plan.SkippedSpentMore),
		Estimated: plan.AmountsEstimated, MchID: f.MchID, State: state, From: instantText(f.CreatedFrom),
		To: instantText(f.CreatedTo), Rate: d.Form.Rate, Reason: d.Form.Reason,
		StateChip: stateChip(store.State(state)),
	}
	if req.RatePerSecond > 0 {
		p.Wait = r.span(seconds(float64(plan.Matched) / req.RatePerSecond))
	}
	for _, mchID := range mostCounted(plan.Merchants) {
		p.Merchants = append(p.Merchants, counted{
			MchID: mchID, Count: strconv.Itoa(plan.Merchants[mchID]),
			Href: root + "merchants/" + url.PathEscape(mchID),
		})
	}
	p.More = len(plan.Merchants) - len(p.Merchants)
	for _, field := range slices.Sorted(maps.Keys(plan.Amounts)) {
		p.Amounts = append(p.Amounts, amountRow{field, plan.Amounts[field]})
	}
	d.Plan = p
	return nil
}

// rangeOf reads which notifications a replay is to be about. The reason of such a form is a person's.
func rangeOf(v url.Values) (filters, error) {
	named := url.Values{}
	for _, name := range []string{"mch_id", "notify_state", "created_from", "created_to"} {
		named[name] = v[name]
	}
	return filtersOf(named)
}

// replayRequestOf reads what a form says a replay is to be about.
func replayRequestOf(v url.Values) (req api.ReplayRequest, err error) {
	f, err := rangeOf(v)
	if err != nil {
		return req, err
	}
	req = api.ReplayRequest{
		MchID: f.MchID, NotifyState: cmp.Or(f.State, store.Exhausted), Reason: v.Get("reason"),
	}
	if !f.CreatedFrom.IsZero() {
		req.CreatedFrom = &f.CreatedFrom
	}
	if !f.CreatedTo.IsZero() {
		req.CreatedTo = &f.CreatedTo
	}
	if text := v.Get("rate_per_second"); text != "" {
		if req.RatePerSecond, err = strconv.ParseFloat(text, 64); err != nil {
			p := api.NewProblem(api.SlugInvalid, "The rate cannot be read.")
			p.Errors = []api.FieldError{{
				Location: "body.rate_per_second", Message: "is no number", Cure: "Write it like 50, or leave it empty.",
			}}
			return req, p
		}
	}
	return req, nil
}
