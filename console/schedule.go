package console

import (
	"strconv"
	"time"

	"paynotify/store"
)

func (c *Console) scheduleRoutes() []route {
	return []route{{pattern: "GET /console/schedule", needs: needsList, show: c.schedule}}
}

// The schedule looks as far ahead as the longest schedule of a payment provider reaches, and a little.
const (
	hoursAhead     = 25
	minutesPerHour = 60
)

// scheduleData is what is to be sent, by the minute in which it is due.
type scheduleData struct {
	MchID   string
	Bound   bool // to that merchant
	Overdue int
	Total   int // within the hours shown
	Later   int
	Scaled  bool // some of it was counted in a sample
	At      string
	Hours   []hourRow
}

// hourRow is one hour of the schedule.
type hourRow struct {
	From  string
	Unix  int64 // where it begins, in seconds
	Count int
	Peak  int    // of a minute
	When  string // that minute is
	Label string // of the strip, for those who do not see it
	Cells []heatCell
}

// heatCell is one minute in which something is due.
type heatCell struct {
	X     int
	Level int // 1 to 5
	Title string
}

// schedule shows how many sends are due in each minute of the next 25 hours.
func (c *Console) schedule(r *request) (page, error) {
	mchID := r.URL.Query().Get("mch_id")
	from := r.now.UTC().Truncate(time.Minute)
	o, err := c.service.Outlook(r.Context(), mchID, from, time.Minute, hoursAhead*minutesPerHour)
	if err != nil {
		return page{}, err
	}
	d := scheduleData{
		MchID: mchID, Bound: r.who.MchID != "", Overdue: o.Overdue, Later: o.Later, Scaled: !o.Exact,
		At: o.At.UTC().Format(clockLayout),
	}
	most := 0
	for _, n := range o.Due {
		d.Total += n
		most = max(most, n)
	}
	for h := range hoursAhead {
		first := h * minutesPerHour
		d.Hours = append(d.Hours, r.hour(from.Add(time.Duration(h)*time.Hour), first, &o, most))
	}
	return page{name: "schedule", title: r.t("Schedule"), data: d}, nil
}

const clockLayout = "15:04:05"

// hour is the row of an hour; most is the largest minute of all.
func (r *request) hour(from time.Time, first int, o *store.Outlook, most int) hourRow {
	row := hourRow{From: from.Format("2006-01-02 15:04"), Unix: from.Unix()}
	for x := range minutesPerHour {
		n := o.Due[first+x]
		if n == 0 {
			continue
		}
		minute := from.Add(time.Duration(x) * time.Minute).Format("15:04")
		row.Count += n
		if n > row.Peak {
			row.Peak, row.When = n, minute
		}
		row.Cells = append(row.Cells, heatCell{
			X: x, Level: heatLevel(n, most), Title: minute + " · " + strconv.Itoa(n),
		})
	}
	row.Label = r.t("%d sends, at most %d in a minute", row.Count, row.Peak)
	return row
}

// heatLevels are the shades of a strip.
const heatLevels = 5

// heatLevel is how dark a minute is: each level is for twice as many as the one below it, and the largest
// minute is the darkest.
func heatLevel(n, most int) int {
	level := heatLevels
	for n*2 <= most && level > 1 {
		n *= 2
		level--
	}
	return level
}
