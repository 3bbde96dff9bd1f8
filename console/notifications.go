package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"paynotify/api"
	"paynotify/store"
)

// The rights that pages about notifications take.
const (
	needsList     = "GET /v1/notifications"
	needsOne      = "GET /v1/notifications/{notify_id}"
	needsEvidence = "GET /v1/notifications/{notify_id}/evidence"
	needsResend   = "POST /v1/notifications/{notify_id}/resend"
	needsCancel   = "POST /v1/notifications/{notify_id}/cancel"
)

func (c *Console) notificationRoutes() []route {
	one := "/console/notifications/{notify_id}"
	return []route{
		{pattern: "GET /console/notifications", needs: needsList, show: c.notifications},
		{pattern: "GET /console/notifications.csv", needs: needsList, serve: c.exportCSV},
		{pattern: "GET /console/notifications.jsonl", needs: needsList, serve: c.exportJSONL},
		{pattern: "GET " + one, needs: needsOne, show: c.notification},
		{pattern: "POST " + one + "/resend", needs: needsResend, do: c.resend},
		{pattern: "POST " + one + "/cancel", needs: needsCancel, do: c.cancel},
	}
}

// notificationsData is the list of notifications.
type notificationsData struct {
	Filter filterForm
	Rows   []notificationRow
	// First and Next are further pages, empty when there are none.
	First, Next string
	CSV, JSONL  string // addresses of the same list as a file
	RowsMax     int    // of such a file
	Sought      string // what nothing was found for
	Example     string // how to send the first one; empty when there are any, or might be
}

// notificationRow is a notification in a list.
type notificationRow struct {
	Href, NotifyID        string
	MchID, OutTradeNo     string
	State, Held, InFlight chip
	Last                  chip // verdict and reason
	Sends                 string
	Created, Next         moment
}

// notifications shows the list. With q it first looks for what somebody has typed into the search box.
func (c *Console) notifications(r *request) (page, error) {
	values := r.URL.Query()
	sought := strings.TrimSpace(values.Get("q"))
	if sought != "" {
		to, err := c.find(r, sought)
		if err != nil || to != "" {
			return page{to: to}, err
		}
	}
	f, err := filtersOf(values)
	if err != nil {
		return page{}, err
	}
	list, err := c.service.Notifications(r.Context(), f.Query)
	if err != nil {
		return page{}, err
	}
	data := notificationsData{
		Filter: f.form(r), Sought: sought, RowsMax: exportRowsMax,
		CSV: root + "notifications.csv" + f.address(""), JSONL: root + "notifications.jsonl" + f.address(""),
	}
	for i := range list.Notifications {
		data.Rows = append(data.Rows, rowOf(r, &list.Notifications[i]))
	}
	if f.Cursor != "" {
		data.First = root + "notifications" + f.address("")
	}
	if list.NextCursor != nil {
		data.Next = root + "notifications" + f.address(*list.NextCursor)
	}
	if len(data.Rows) == 0 && !f.any() && data.First == "" && data.Next == "" {
		data.Example = firstSend(r)
	}
	return page{name: "notifications", title: r.t("Notifications"), data: data}, nil
}

func rowOf(r *request, n *api.NotificationSummary) notificationRow {
	row := notificationRow{
		Href: notificationHref(n.NotifyID), NotifyID: n.NotifyID, MchID: n.MchID, OutTradeNo: n.OutTradeNo,
		State: stateChip(n.NotifyState), Held: heldChip(n.HeldReason),
		Sends:   strconv.Itoa(n.NotifyCount) + " / " + strconv.Itoa(n.NotifyCountLimit),
		Created: momentOf(n.CreatedAt.Time), Next: momentOr(n.NextNotifyTime),
	}
	if n.InFlight {
		row.InFlight = chip{"info", "→", r.t("being sent")}
	}
	if n.LastVerdict != nil && n.LastReason != nil {
		row.Last = judgedChip(*n.LastVerdict, *n.LastReason)
	}
	return row
}

func notificationHref(notifyID string) string {
	return root + "notifications/" + url.PathEscape(notifyID)
}

// find is where what was typed into the search box leads to: a notification with that notify_id, those with
// that order number, or those of that merchant. Empty when there are none.
func (c *Console) find(r *request, sought string) (to string, err error) {
	ctx := r.Context()
	_, err = c.service.Notification(ctx, strings.ToLower(sought))
	if err == nil {
		return "notifications/" + url.PathEscape(strings.ToLower(sought)), nil
	}
	if !absent(err) {
		return "", err
	}
	list, err := c.service.Notifications(ctx, store.Query{OutTradeNo: sought, Limit: 2})
	switch {
	case err != nil:
		return "", err
	case len(list.Notifications) == 1 && list.NextCursor == nil:
		return "notifications/" + list.Notifications[0].NotifyID, nil
	case len(list.Notifications) > 0:
		return "notifications?out_trade_no=" + url.QueryEscape(sought), nil
	}
	return c.findMerchant(ctx, sought)
}

func (c *Console) findMerchant(ctx context.Context, sought string) (to string, err error) {
	_, err = c.service.Merchant(ctx, sought)
	switch {
	case err == nil:
		return "notifications?mch_id=" + url.QueryEscape(sought), nil
	case absent(err):
		return "", nil
	}
	return "", err
}

// absent reports whether an error of Service says that there is no such thing.
func absent(err error) bool {
	var p *api.Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}

// firstSend are the commands that bring the first notification.
func firstSend(r *request) string {
	server := "http://127.0.0.1:8080"
	if !strings.ContainsFunc(r.Host, func(c rune) bool { return !hostRune(c) }) {
		server = "http://" + r.Host
	}
	head := " -H 'Content-Type: application/json' -H \"Authorization: Bearer $PAYNOTIFY_TOKEN\" \\\n  -d '"
	mchID, merchant := r.who.MchID, ""
	if mchID == "" {
		mchID = "m1"
		merchant = "curl " + server + "/v1/merchants" + head +
			`{"mch_id":"m1","profile":"alipay","notify_url":"https://shop.example/notify"}` + "'\n"
	}
	return merchant + "curl " + server + "/v1/notifications" + head +
		`{"mch_id":"` + mchID + `","out_trade_no":"20261121-1","params":{"total_amount":"88.88"}}` + "'"
}

// hostRune reports what a host may be written with and a shell leaves alone.
func hostRune(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.ContainsRune(".-:[]", c)
}
