package console

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

func (c *Console) nearMissRoutes() []route {
	return []route{{pattern: "GET /console/near-misses", needs: needsList, show: c.nearMisses}}
}

// Bounds of what a page looks at.
const (
	countMost     = 10_000 // of a count that is for orientation; more are shown as "10000+"
	namedMost     = 10     // merchants named
	nearMissSince = 7 * 24 * time.Hour
)

// nearMissesData is what merchants answered that were meant as acknowledgements.
type nearMissesData struct {
	Since   string
	Reasons []nearMissRow
}

// nearMissRow is one way to miss.
type nearMissRow struct {
	Reason, Count string
	Cause, Cure   string // in the API's words
	CauseHere     string // translated; empty when it is the same
	CureHere      string
	Setting       string // of a merchant, that would accept it
	Href          string // the list of them
	Merchants     []counted
	Example       nearMissExample
}

// counted is a merchant with a number.
type counted struct{ MchID, Count, Href string }

// nearMissExample is the newest reply of a kind, of the merchant with the most of them.
type nearMissExample struct{ NotifyID, MchID, Href, Reply string }

// nearMisses shows which replies were almost acknowledgements, the most common first.
func (c *Console) nearMisses(r *request) (page, error) {
	since := r.now.Add(-nearMissSince).UTC().Truncate(time.Second)
	d := nearMissesData{Since: since.Format("2006-01-02 15:04:05")}
	type found struct {
		row   nearMissRow
		total int
	}
	var rows []found
	for _, reason := range store.Reasons {
		if !reason.NearMiss() {
			continue
		}
		q := store.Query{Reason: reason, CreatedFrom: since}
		counts, err := c.service.Counts(r.Context(), q, countMost)
		if err != nil {
			return page{}, err
		}
		if counts.Total == 0 {
			continue
		}
		row, err := c.nearMiss(r, q, counts)
		if err != nil {
			return page{}, err
		}
		rows = append(rows, found{row, counts.Total})
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].total > rows[j].total })
	for _, f := range rows {
		d.Reasons = append(d.Reasons, f.row)
	}
	return page{name: "near-misses", title: r.t("Near-misses"), data: d}, nil
}

// nearMiss tells of one reason.
func (c *Console) nearMiss(r *request, q store.Query, counts store.Counts) (nearMissRow, error) {
	explained := profile.Explain(q.Reason)
	values := url.Values{
		"reason": {string(q.Reason)}, "created_from": {q.CreatedFrom.Format(time.RFC3339)},
	}
	row := nearMissRow{
		Reason: string(q.Reason), Count: countText(counts.Total, counts.More),
		Cause: explained.Cause, Cure: explained.Cure, Href: root + "notifications?" + values.Encode(),
		Setting: `"ack": {"lenient": ["` + string(q.Reason) + `"]}`,
	}
	if here := r.t(explained.Cause); here != explained.Cause {
		row.CauseHere, row.CureHere = here, r.t(explained.Cure)
	}
	most := mostCounted(counts.ByMerchant)
	for _, mchID := range most {
		values.Set("mch_id", mchID)
		row.Merchants = append(row.Merchants, counted{
			MchID: mchID, Count: strconv.Itoa(counts.ByMerchant[mchID]),
			Href: root + "notifications?" + values.Encode(),
		})
	}
	q.MchID, q.Limit = most[0], 1 // which is found faster than the newest of all merchants
	newest, err := c.service.Notifications(r.Context(), q)
	if err != nil || len(newest.Notifications) == 0 {
		return row, err
	}
	n, err := c.service.Notification(r.Context(), newest.Notifications[0].NotifyID)
	if err != nil {
		return row, err
	}
	row.Example = nearMissExample{
		NotifyID: n.NotifyID, MchID: n.MchID, Href: root + "notifications/" + url.PathEscape(n.NotifyID),
	}
	if last := len(n.Attempts) - 1; last >= 0 {
		row.Example.Reply = profile.Visible(n.Attempts[last].ReplyBytes)
	}
	return row, nil
}

// countText is a count that may have stopped early.
func countText(n int, more bool) string {
	if more {
		return strconv.Itoa(n) + "+"
	}
	return strconv.Itoa(n)
}

// mostCounted are the merchants with the highest counts.
func mostCounted(byMerchant map[string]int) []string {
	ids := slices.SortedFunc(maps.Keys(byMerchant), func(a, b string) int {
		return cmp.Or(cmp.Compare(byMerchant[b], byMerchant[a]), cmp.Compare(a, b))
	})
	return ids[:min(len(ids), namedMost)]
}
