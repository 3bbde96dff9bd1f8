package console

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"time"

	"paynotify/api"
	"paynotify/store"
)

// filters are what a list of notifications is narrowed by. They stand in the address of the page, under the
// names of the API's list.
type filters struct {
	store.Query

	faults []api.FieldError
}

// filtersOf reads the filters of an address. Empty ones are none: forms send all of their fields.
func filtersOf(v url.Values) (f filters, err error) {
	f.MchID, f.OutTradeNo, f.Cursor = v.Get("mch_id"), v.Get("out_trade_no"), v.Get("cursor")
	f.State = store.State(f.oneOf("notify_state", v, textsOf(store.States)))
	f.Held = f.oneOf("held", v, heldValues)
	f.Verdict = store.Verdict(f.oneOf("verdict", v, textsOf(store.Verdicts)))
	f.Reason = store.Reason(f.oneOf("reason", v, textsOf(store.Reasons)))
	f.CreatedFrom, f.CreatedTo = f.instant("created_from", v), f.instant("created_to", v)
	f.Limit = f.count("limit", v)
	if f.faults != nil {
		p := api.NewProblem(api.SlugInvalid, "The address of this list has a filter that cannot be read.")
		p.Errors = f.faults
		return f, p
	}
	return f, nil
}

var heldValues = append([]string{"true", "false"}, store.HeldReasons...)

func textsOf[T ~string](list []T) []string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = string(v)
	}
	return texts
}

func (f *filters) oneOf(name string, v url.Values, known []string) string {
	given := v.Get(name)
	if given != "" && !slices.Contains(known, given) {
		f.faults = append(f.faults, api.FieldError{
			Location: "query." + name, Message: "is not known", Cure: "Choose one in the form.",
		})
	}
	return given
}

// instantLayouts are the ways in which an instant may be written. What has no zone is UTC, like all that the
// console shows.
var instantLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly}

func (f *filters) instant(name string, v url.Values) time.Time {
	given := v.Get(name)
	if given == "" {
		return time.Time{}
	}
	for _, layout := range instantLayouts {
		if t, err := time.Parse(layout, given); err == nil && t.Year() >= 1970 && t.Year() < 2100 {
			return t.UTC()
		}
	}
	f.faults = append(f.faults, api.FieldError{
		Location: "query." + name, Message: "is no instant of the years 1970 to 2099",
		Cure: "Write it like 2026-11-21T10:00:00Z.",
	})
	return time.Time{}
}

// count reads how many entries a page has; 0 when that is not said.
func (f *filters) count(name string, v url.Values) int {
	given := v.Get(name)
	n, err := strconv.Atoi(given)
	if given != "" && (err != nil || n < 1 || n > pageMax) {
		f.faults = append(f.faults, api.FieldError{
			Location: "query." + name, Message: "is no number from 1 to 500", Cure: "Leave it out for 50.",
		})
	}
	return n
}

// pageMax is the largest page of the API's list.
const pageMax = 500

// any reports whether something is filtered.
func (f *filters) any() bool {
	q := f.Query
	q.Cursor, q.Limit = "", 0
	return q != store.Query{}
}

// address is the filters as the query of an address, with its "?", from a cursor on; empty when there is
// nothing to say.
func (f *filters) address(cursor string) string {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("mch_id", f.MchID)
	set("out_trade_no", f.OutTradeNo)
	set("notify_state", string(f.State))
	set("held", f.Held)
	set("verdict", string(f.Verdict))
	set("reason", string(f.Reason))
	set("created_from", instantText(f.CreatedFrom))
	set("created_to", instantText(f.CreatedTo))
	if f.Limit > 0 {
		set("limit", strconv.Itoa(f.Limit))
	}
	set("cursor", cursor)
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

func instantText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// filterForm is the form of the filters. Bound says that there is one merchant only.
type filterForm struct {
	MchID, OutTradeNo             string
	CreatedFrom, CreatedTo        string // as a field of the kind datetime-local wants it
	Bound                         bool
	States, Held, Verdict, Reason []option
	Any                           bool
}

// option is an entry of a select.
type option struct {
	Value, Text string
	Here        bool
}

func (f *filters) form(r *request) filterForm {
	local := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format("2006-01-02T15:04:05")
	}
	anything := r.t("any")
	return filterForm{
		MchID: f.MchID, OutTradeNo: f.OutTradeNo, CreatedFrom: local(f.CreatedFrom),
		CreatedTo: local(f.CreatedTo), Bound: r.who.MchID != "", Any: f.any(),
		States: options(anything, textsOf(store.States), string(f.State)),
		Held:   options(anything, heldValues, f.Held),
		Verdict: options(anything, textsOf(store.Verdicts),
			string(f.Verdict)),
		Reason: options(anything, textsOf(store.Reasons), string(f.Reason)),
	}
}

// options are the entries of a select, after one for nothing chosen.
func options(none string, values []string, chosen string) []option {
	list := make([]option, 0, len(values)+1)
	for _, v := range append([]string{""}, values...) {
		list = append(list, option{Value: v, Text: cmp.Or(v, none), Here: v == chosen})
	}
	return list
}
