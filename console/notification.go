package console

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"paynotify/api"
	"paynotify/store"
)

// notificationData is everything about one notification.
type notificationData struct {
	Live, Every string // this page again, and how often
	Notice      string // what a form has done just now

	State, Held, InFlight chip
	Meaning               string // of the state, in a sentence
	HeldCure              string
	Next                  nextSend
	Facts                 []fact
	Params                string
	Shrunk                bool

	Timeline timeline
	Attempts []attemptData // newest first
	Request  requestData
	Deeds    []deedRow
	AllDeeds string // where the whole audit log is; empty for those who may not read it

	Resend, Cancel string // where the forms go; empty for those who may not, or when there is nothing to do
	Force          bool   // resend needs force
}

// nextSend is when a notification is sent next; the zero one when it is not, or when that is not known.
type nextSend struct {
	Text string // which send of how many
	Left string // until then; scripts count it down
	At   moment
}

// fact is one line of what is known.
type fact struct {
	Name, Text, Href string
	Mono             bool
	At               moment // instead of Text
}

// notification shows one notification.
func (c *Console) notification(r *request) (page, error) {
	notifyID := r.PathValue("notify_id")
	n, err := c.service.Notification(r.Context(), notifyID)
	if err != nil {
		return page{}, err
	}
	m, err := c.service.Merchant(r.Context(), n.MchID)
	if err != nil && !absent(err) {
		return page{}, err
	}
	d := notificationData{
		State: stateChip(n.NotifyState), Held: heldChip(n.HeldReason), Meaning: meaning(r, &n),
		Facts: factsOf(r, &n), Params: pretty(n.Params), Shrunk: n.Shrunk,
	}
	if n.InFlight {
		d.InFlight = chip{"info", "→", r.t("being sent")}
	}
	if n.HeldReason != nil {
		d.HeldCure = heldCure(r, *n.HeldReason)
	} else {
		d.Next = nextOf(r, &n)
	}
	d.Timeline = timelineOf(r, &n)
	for i := len(n.Attempts) - 1; i >= 0; i-- {
		d.Attempts = append(d.Attempts, attemptOf(r, &n, &m, i))
	}
	if d.Request, err = c.requestOf(r, &n, &m); err != nil {
		return page{}, err
	}
	if d.Deeds, d.AllDeeds, err = c.deedsOf(r, "notification/"+n.NotifyID); err != nil {
		return page{}, err
	}
	d.forms(r, &n, m.MchID != "")
	d.live(r, &n)
	return page{name: "notification", title: r.t("Notification %s", n.NotifyID), data: d}, nil
}

// live says how often the page is asked for again: often while something is about to happen.
func (d *notificationData) live(r *request, n *api.NotificationView) {
	d.Every = "every 10s"
	soon := n.NextNotifyTime != nil && n.NextNotifyTime.Sub(r.now) < 10*time.Minute
	if n.InFlight || soon && n.HeldReason == nil || d.Notice != "" {
		d.Every = "every 2s"
	}
	d.Live = r.URL.EscapedPath()
	if q := r.URL.RawQuery; q != "" {
		d.Live += "?" + r.URL.Query().Encode()
	}
}

// forms says what may be done with it, by whoever asks.
func (d *notificationData) forms(r *request, n *api.NotificationView, merchant bool) {
	at := notificationHref(n.NotifyID)
	if r.may(needsResend) && merchant && !n.Shrunk {
		d.Resend, d.Force = at+"/resend", n.NotifyState == store.Spent
	}
	if r.may(needsCancel) && n.NotifyState == store.Pending {
		d.Cancel = at + "/cancel"
	}
	switch r.URL.Query().Get("done") {
	case "resend":
		d.Notice = r.t("It goes out again now, ahead of all others of its merchant.")
	case "cancel":
		d.Notice = r.t("It was taken back. A send that is under way may still end, and be acknowledged.")
	}
}

// meaning says in a sentence what a state is.
func meaning(r *request, n *api.NotificationView) string {
	switch n.NotifyState {
	case store.Spent:
		return r.t("The merchant has acknowledged it; it is never sent again.")
	case store.Exhausted:
		return r.t("All %d sends were made, and none was acknowledged.", n.NotifyCountLimit)
	case store.Canceled:
		return r.t("A person took it back.")
	case store.Quarantined:
		return r.t("It was taken out of the schedule: its record is damaged, or attempts failed inside paynotify.")
	}
	return r.t("It is owed: it is sent until the merchant acknowledges it.")
}

// heldCure says why something is held, and how to let it go.
func heldCure(r *request, reason string) string {
	switch reason {
	case store.HeldSendingPaused:
		return r.t("All sending is stopped; an operator starts it again. Nothing is lost.")
	case store.HeldMerchantPaused:
		return r.t("Its merchant is paused; it goes out when somebody resumes the merchant. Nothing is lost.")
	case store.HeldAddressBlocked:
		return r.t("The address is not allowed. Change notify_url or the egress rules, then resume the merchant.")
	case store.HeldBreakerOpen:
		return r.t("Its merchant does not answer, so one send at a time tries whether it does again, and none " +
			"waits longer than 15 minutes for that. Resuming the merchant sends at once.")
	}
	return ""
}

func nextOf(r *request, n *api.NotificationView) nextSend {
	if n.NextNotifyTime == nil || n.InFlight {
		return nextSend{}
	}
	next := nextSend{
		Text: r.t("Send %d of %d", n.NotifyCount+1, n.NotifyCountLimit),
		At:   momentOf(n.NextNotifyTime.Time), Left: r.t("now"),
	}
	if left := n.NextNotifyTime.Sub(r.now); left > 0 {
		next.Left = r.span(left)
	}
	return next
}

func factsOf(r *request, n *api.NotificationView) []fact {
	facts := []fact{
		{
			Name: r.t("Merchant"), Text: n.MchID + " (" + n.Profile + ")",
			Href: root + "merchants/" + url.PathEscape(n.MchID),
		},
		{Name: "out_trade_no", Text: n.OutTradeNo, Mono: true},
		{Name: "notify_type", Text: n.NotifyType, Mono: true},
		{Name: "notify_url", Text: deref(n.NotifyURL), Mono: true},
		{Name: r.t("Schedule"), Text: n.Schedule, Mono: true},
		{Name: r.t("Sends"), Text: strconv.Itoa(n.NotifyCount) + " / " + strconv.Itoa(n.NotifyCountLimit)},
		{Name: r.t("Accepted"), At: momentOf(n.CreatedAt.Time)},
		{Name: r.t("Last send"), At: momentOr(n.LastNotifyTime)},
		{Name: "spent", At: momentOr(n.SpentAt)},
	}
	if n.SpentAt != nil {
		facts = append(facts, fact{Name: r.t("Until it was spent"), Text: r.span(n.SpentAt.Sub(n.CreatedAt.Time))})
	}
	kept := facts[:0]
	for _, f := range facts {
		if f.Text != "" || f.At.Text != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

// pretty is a JSON document for people; numbers and escapes stay as they were written.
func pretty(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) == 0 || json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// deedRow is an entry of the audit log.
type deedRow struct {
	At                    moment
	Actor, Action, Reason string
	Result                chip
}

const (
	needsAudit = "GET /v1/audit"
	// deedsBack is how far back the audit log is searched for what was done to one thing: a page of it.
	deedsBack = 500
)

// deedsOf is who did what with something, newest first, of the last entries of the audit log, and where all
// of them are.
func (c *Console) deedsOf(r *request, object string) (rows []deedRow, all string, err error) {
	if !r.may(needsAudit) || r.Header.Get("HX-Request") != "" { // a live part does not show them
		return nil, "", nil
	}
	log, err := c.service.AuditLog(r.Context(), -deedsBack, deedsBack)
	if err != nil {
		return nil, "", err
	}
	for i := len(log.Entries) - 1; i >= 0; i-- {
		if e := &log.Entries[i]; e.Object == object {
			rows = append(rows, deedOf(e))
		}
	}
	return rows, root + "audit?object=" + url.QueryEscape(object), nil
}

func deedOf(e *api.AuditEntryView) deedRow {
	row := deedRow{
		At: momentOf(e.At.Time), Actor: e.Actor, Action: e.Action, Result: chip{"ok", "✓", e.Result},
	}
	if e.Result != "ok" {
		row.Result = chip{"bad", "✗", e.Result}
	}
	var after struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(e.After, &after) == nil {
		row.Reason = after.Reason
	}
	return row
}

// reasonMax bounds a reason, in characters, as in the API.
const reasonMax = 256

// reasonOf is the field reason of a form.
func reasonOf(r *request) (string, error) {
	reason := r.PostFormValue("reason")
	n := utf8.RuneCountInString(reason)
	if n <= reasonMax {
		return reason, nil
	}
	p := api.NewProblem(api.SlugInvalid, "The reason is too long.")
	p.Errors = []api.FieldError{{
		Location: "body.reason", Message: "has " + strconv.Itoa(n) + " characters",
		Cure: "Give at most " + strconv.Itoa(reasonMax) + ".",
	}}
	return "", p
}

func (c *Console) resend(r *request) (to string, err error) {
	reason, err := reasonOf(r)
	if err != nil {
		return "", err
	}
	notifyID := r.PathValue("notify_id")
	_, err = c.service.Resend(r.Context(), notifyID, api.ResendRequest{
		Reason: reason, Force: r.PostFormValue("force") == "true",
	})
	return "notifications/" + url.PathEscape(notifyID) + "?done=resend", err
}

func (c *Console) cancel(r *request) (to string, err error) {
	reason, err := reasonOf(r)
	if err != nil {
		return "", err
	}
	notifyID := r.PathValue("notify_id")
	_, err = c.service.Cancel(r.Context(), notifyID, reason)
	return "notifications/" + url.PathEscape(notifyID) + "?done=cancel", err
}
