package console

import (
	"net/url"
	"strconv"
	"time"

	"paynotify/api"
	"paynotify/replay"
)

// replayRow is a replay in a list.
type replayRow struct {
	ID, Href string
	State    chip
	What     string
	Counts   string
	Begun    moment
	Reason   string
}

// replayData is how a replay stands.
type replayData struct {
	ID      string
	State   chip
	Running bool
	Every   string // when htmx asks again
	Here    string
	Bar     bar
	Done    string // share of it, in words
	Numbers []numberCard
	Facts   []replayFact
	Cancel  string // address of the form; empty: not to be canceled
	Left    string
}

// replayFact is one line about a replay.
type replayFact struct {
	Name, Text string
	At         moment
}

// phaseChips are the chip of every phase, in the API's words.
var phaseChips = map[replay.Phase]chip{
	replay.Running:  {"info", "▶", string(replay.Running)},
	replay.Done:     {"ok", "✓", string(replay.Done)},
	replay.Canceled: {"idle", "–", string(replay.Canceled)},
}

func replayRowOf(v *api.ReplayView) replayRow {
	row := replayRow{
		ID: v.ReplayID, Href: root + "replays/" + url.PathEscape(v.ReplayID), State: phaseChips[v.State],
		What: string(v.NotifyState), Counts: strconv.Itoa(v.Sent) + " / " + strconv.Itoa(v.Matched),
		Begun: momentOf(v.CreatedAt.Time), Reason: deref(v.Reason),
	}
	if v.MchID != nil {
		row.What += " · " + *v.MchID
	}
	return row
}

// startReplay begins a replay.
func (c *Console) startReplay(r *request) (to string, err error) {
	if _, err := reasonOf(r); err != nil {
		return "", err
	}
	req, err := replayRequestOf(r.PostForm)
	if err != nil {
		return "", err
	}
	v, err := c.service.Replay(r.Context(), req)
	return "replays/" + url.PathEscape(v.ReplayID), err
}

// cancelReplay ends a replay: what was asked for so far still goes out.
func (c *Console) cancelReplay(r *request) (to string, err error) {
	reason, err := reasonOf(r)
	if err != nil {
		return "", err
	}
	id := r.PathValue("replay_id")
	_, err = c.service.CancelReplay(r.Context(), id, reason)
	return "replays/" + url.PathEscape(id), err
}

// replay shows how far a replay is.
func (c *Console) replay(r *request) (page, error) {
	v, err := c.service.ReplayStatus(r.Context(), r.PathValue("replay_id"))
	if err != nil {
		return page{}, err
	}
	d := replayData{
		ID: v.ReplayID, State: phaseChips[v.State], Running: v.State == replay.Running,
		Here: root + "replays/" + url.PathEscape(v.ReplayID), Every: "every 1s",
	}
	d.Bar, d.Done = r.replayBar(&v)
	for _, n := range []struct {
		tone, name string
		number     int
		note       string
	}{
		{"info", r.t("Matched"), v.Matched, r.t("when it began")},
		{"", r.t("Sent"), v.Sent, r.t("of %d asked for", v.Asked)},
		{"ok", r.t("Spent"), v.Spent, r.t("acknowledged")},
		{"", r.t("Skipped"), v.Skipped, r.t("acknowledged, canceled or gone before their turn")},
		{"", r.t("Held back"), v.Held, r.t("go out when their merchant is not held")},
	} {
		d.Numbers = append(d.Numbers, numberCard{
			Tone: n.tone, Name: n.name, Number: strconv.Itoa(n.number), Note: n.note,
		})
	}
	d.Facts = r.replayFacts(&v)
	if d.Running {
		if r.may(needsCancelReplay) {
			d.Cancel = d.Here + "/cancel"
		}
		if took := r.now.Sub(v.CreatedAt.Time); v.Asked > 0 && v.Matched > v.Asked {
			d.Left = r.span(took * time.Duration(v.Matched-v.Asked) / time.Duration(v.Asked))
		}
	}
	return page{name: "replay", title: r.t("Replay"), data: d}, nil
}

// replayBar draws what became of those that matched.
func (r *request) replayBar(v *api.ReplayView) (bar, string) {
	whole := max(v.Matched, v.Spent+v.Skipped+v.Held+(v.Sent-v.Spent), 1)
	b, x := bar{}, 0
	for _, part := range []struct {
		tone string
		n    int
	}{{"ok", v.Spent}, {"bad", v.Sent - v.Spent}, {"idle", v.Skipped}, {"warn", v.Held}} {
		w := part.n * 1000 / whole
		if w > 0 {
			b.Parts = append(b.Parts, barPart{Tone: part.tone, X: x, W: w})
		}
		x += w
	}
	b.Label = share(v.Sent+v.Skipped+v.Held, whole)
	return b, b.Label
}

func (r *request) replayFacts(v *api.ReplayView) (facts []replayFact) {
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, replayFact{Name: name, Text: text})
		}
	}
	when := func(name string, at *api.Time) {
		if at != nil {
			facts = append(facts, replayFact{Name: name, At: momentOf(at.Time)})
		}
	}
	add("replay_id", v.ReplayID)
	add("mch_id", deref(v.MchID))
	add("notify_state", string(v.NotifyState))
	when("created_from", v.CreatedFrom)
	when("created_to", v.CreatedTo)
	if v.RatePerSecond > 0 {
		add("rate_per_second", strconv.FormatFloat(v.RatePerSecond, 'g', -1, 64))
	}
	add(r.t("Why"), deref(v.Reason))
	when(r.t("Begun"), &v.CreatedAt)
	when(r.t("Ended"), v.EndedAt)
	return facts
}

// seconds is a duration of so many, at most a hundred years.
func seconds(s float64) time.Duration {
	const most = 100 * 365 * 24 * 3600
	return time.Duration(min(s, most) * float64(time.Second))
}
