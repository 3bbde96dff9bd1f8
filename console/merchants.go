package console

import (
	"net/url"
	"strings"

	"paynotify/api"
	"paynotify/store"
)

// The rights that pages about merchants take.
const (
	needsMerchants  = "GET /v1/merchants"
	needsMerchant   = "GET /v1/merchants/{mch_id}"
	needsStatement  = "GET /v1/merchants/{mch_id}/statement"
	needsGaps       = "POST /v1/merchants/{mch_id}/gaps"
	needsPause      = "POST /v1/merchants/{mch_id}/pause"
	needsResume     = "POST /v1/merchants/{mch_id}/resume"
	needsProbe      = "POST /v1/merchants/{mch_id}/probe"
	needsPortalLink = "POST /v1/merchants/{mch_id}/portal-link"
	needsAccept     = "POST /v1/notifications"
)

func (c *Console) merchantRoutes() []route {
	one := "/console/merchants/{mch_id}"
	return []route{
		{pattern: "GET /console/merchants", needs: needsMerchants, show: c.merchants},
		{pattern: "GET " + one, needs: needsMerchant, show: c.merchant},
		{pattern: "GET " + one + "/statement", needs: needsStatement, serve: c.statement},
		{pattern: "POST " + one + "/gaps", needs: needsGaps, show: c.gaps},
		{pattern: "POST " + one + "/pause", needs: needsPause, do: c.pause},
		{pattern: "POST " + one + "/resume", needs: needsResume, do: c.resume},
		{pattern: "POST " + one + "/test", needs: needsAccept, do: c.testSend},
		{pattern: "POST " + one + "/probe", needs: needsProbe, do: c.probe},
		{pattern: "POST " + one + "/portal-link", needs: needsPortalLink, show: c.portalLink},
	}
}

// merchantsMost is how many merchants a page has: the health of each is a question to the store.
const merchantsMost = 20

// merchantsData is the list of merchants.
type merchantsData struct {
	Rows        []merchantRow
	Bound       bool   // there is one, for whoever asks
	Sought      string // that the page begins behind
	First, Next string // further pages, empty when there are none
}

// merchantRow is a merchant in the list.
type merchantRow struct {
	Href, MchID, Name  string
	Profile, NotifyURL string
	State, Held        chip
	Why                string // it is paused
	Health             health
}

// merchants shows the list, by mch_id. What somebody has typed into the search box is a merchant, or where
// the page begins.
func (c *Console) merchants(r *request) (page, error) {
	values := r.URL.Query()
	cursor, sought := values.Get("cursor"), strings.TrimSpace(values.Get("q"))
	if sought != "" {
		_, err := c.service.Merchant(r.Context(), sought)
		switch {
		case err == nil:
			return page{to: merchantPath(sought)}, nil
		case !absent(err):
			return page{}, err
		case cursor == "":
			cursor = api.MerchantsAfter(sought)
		}
	}
	list, err := c.service.Merchants(r.Context(), cursor, merchantsMost)
	if err != nil {
		return page{}, err
	}
	data := merchantsData{Sought: sought, Bound: r.who.MchID != ""}
	for i := range list.Merchants {
		row, err := c.merchantRow(r, &list.Merchants[i])
		if err != nil {
			return page{}, err
		}
		data.Rows = append(data.Rows, row)
	}
	if cursor != "" {
		data.First = root + "merchants"
	}
	if list.NextCursor != nil {
		data.Next = root + "merchants?cursor=" + url.QueryEscape(*list.NextCursor)
	}
	return page{name: "merchants", title: r.t("Merchants"), data: data}, nil
}

func (c *Console) merchantRow(r *request, m *api.MerchantView) (row merchantRow, err error) {
	row = merchantRow{
		Href: root + merchantPath(m.MchID), MchID: m.MchID, Name: m.Name, Profile: m.Profile,
		NotifyURL: m.NotifyURL, Why: deref(m.PausedReason),
	}
	row.State, row.Held = laneChips(m)
	row.Health, err = c.healthOfMerchant(r, m.MchID)
	return row, err
}

// merchantPath is the page of a merchant, under /console/.
func merchantPath(mchID string) string { return "merchants/" + url.PathEscape(mchID) }

// laneChips say whether anything is sent to a merchant, and why not where its own state does not.
func laneChips(m *api.MerchantView) (state, held chip) {
	state = chip{"ok", "✓", m.State}
	if m.State != "active" {
		state = chip{"warn", "‖", m.State}
	}
	if m.HeldReason != nil && *m.HeldReason != store.HeldMerchantPaused {
		held = heldChip(m.HeldReason)
	}
	return state, held
}
