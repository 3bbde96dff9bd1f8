package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"paynotify/api"
	"paynotify/store"
)

// merchantForms are where the forms of a merchant go; empty for those who may not, or when there is nothing
// to do.
type merchantForms struct {
	Pause, Resume, Test, Probe, PortalLink, Gaps string
	Lives                                        []option // of a portal link
}

// portalLives are the lives of a portal link that one can choose from; the API takes others too.
var portalLives = []time.Duration{24 * time.Hour, time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}

func formsOf(r *request, m *api.MerchantView, at string) (f merchantForms) {
	held := deref(m.HeldReason)
	probing, _ := m.Options["probe"].(bool)
	for _, form := range []struct {
		to          *string
		name, needs string
		useful      bool
	}{
		{&f.Pause, "pause", needsPause, m.State == "active"},
		{
			&f.Resume, "resume", needsResume,
			m.State != "active" || held == store.HeldAddressBlocked || held == store.HeldBreakerOpen,
		},
		{&f.Test, "test", needsAccept, true},
		{&f.Probe, "probe", needsProbe, probing},
		{&f.PortalLink, "portal-link", needsPortalLink, true},
		{&f.Gaps, "gaps", needsGaps, true},
	} {
		if form.useful && r.may(form.needs) {
			*form.to = at + "/" + form.name
		}
	}
	for i, life := range portalLives {
		f.Lives = append(f.Lives, option{Value: life.String(), Text: r.span(life), Here: i == 0})
	}
	return f
}

// done says what the form has done that led to the page.
func (r *request) done() string {
	switch r.URL.Query().Get("done") {
	case "pause":
		return r.t("It is paused. Sends that are under way still end.")
	case "resume":
		return r.t("It is resumed; what is due goes out.")
	case "probe":
		return r.t("The probe was made; what came of it stands below.")
	}
	return ""
}

func (c *Console) pause(r *request) (to string, err error) {
	reason, err := reasonOf(r)
	if err != nil {
		return "", err
	}
	req := api.PauseRequest{Reason: reason}
	var f filters
	if until := f.instant("until", r.PostForm); !until.IsZero() {
		req.Until = &until
	}
	if f.faults != nil {
		return "", faulty("body.until", f.faults[0].Message, f.faults[0].Cure)
	}
	mchID := r.PathValue("mch_id")
	_, err = c.service.PauseMerchant(r.Context(), mchID, req)
	return merchantPath(mchID) + "?done=pause", err
}

func (c *Console) resume(r *request) (to string, err error) {
	reason, err := reasonOf(r)
	if err != nil {
		return "", err
	}
	mchID := r.PathValue("mch_id")
	_, err = c.service.ResumeMerchant(r.Context(), mchID, reason)
	return merchantPath(mchID) + "?done=resume", err
}

func (c *Console) testSend(r *request) (to string, err error) {
	made, err := c.service.TestSend(r.Context(), r.PathValue("mch_id"))
	return strings.TrimPrefix(notificationHref(made.NotifyID), root), err
}

func (c *Console) probe(r *request) (to string, err error) {
	mchID := r.PathValue("mch_id")
	_, err = c.service.Probe(r.Context(), mchID)
	return merchantPath(mchID) + "?done=probe#probe", err
}

// faulty is the problem of a form with a field that is wrong.
func faulty(location, message, cure string) error {
	p := api.NewProblem(api.SlugInvalid, "The form has a field that cannot be used.")
	p.Errors = []api.FieldError{{Location: location, Message: message, Cure: cure}}
	return p
}

// linkData is a link that is shown once.
type linkData struct {
	MchID, URL string
	Expires    moment
	Back       string
}

// portalLink makes a link through which the merchant looks at what is its own.
func (c *Console) portalLink(r *request) (page, error) {
	mchID := r.PathValue("mch_id")
	made, err := c.service.PortalLink(r.Context(), mchID, api.PortalLinkRequest{
		ExpiresIn: r.PostFormValue("expires_in"),
	})
	return page{name: "portal-link", title: r.t("Portal link of %s", mchID), data: linkData{
		MchID: mchID, URL: made.URL, Expires: momentOf(made.ExpiresAt.Time), Back: root + merchantPath(mchID),
	}}, err
}

// gapsMost bounds the order numbers of a form, as in the API.
const gapsMost = 10_000

// gapsData is what came of looking for gaps.
type gapsData struct {
	Asked, Spent, Never int
	NeverSeen           string // one a line
	NotSpent            []gapRow
	Back                string
}

// gapRow is an order of which the merchant has not acknowledged something.
type gapRow struct {
	api.GapView

	Href  string
	State chip
}

// gaps looks for orders that the merchant was not told of. They come one a line.
func (c *Console) gaps(r *request) (page, error) {
	orders, err := ordersOf(r.PostFormValue("out_trade_nos"))
	if err != nil {
		return page{}, err
	}
	mchID := r.PathValue("mch_id")
	found, err := c.service.Gaps(r.Context(), mchID, api.GapsRequest{OutTradeNos: orders})
	if err != nil {
		return page{}, err
	}
	d := gapsData{
		Asked: len(orders), Spent: found.Spent, Never: len(found.NeverSeen),
		NeverSeen: strings.Join(found.NeverSeen, "\n"), Back: root + merchantPath(mchID),
	}
	for _, g := range found.NotSpent {
		d.NotSpent = append(d.NotSpent, gapRow{g, notificationHref(g.NotifyID), stateChip(g.NotifyState)})
	}
	return page{name: "gaps", title: r.t("Gaps of %s", mchID), data: d}, nil
}

// ordersOf reads order numbers, one a line.
func ordersOf(text string) (orders []string, err error) {
	const at = "body.out_trade_nos"
	for _, line := range strings.Split(strings.ToValidUTF8(text, "\uFFFD"), "\n") {
		order := strings.TrimSpace(line)
		if utf8.RuneCountInString(order) > store.OutTradeNoCharsMax {
			return nil, faulty(at, "has a line of more than "+strconv.Itoa(store.OutTradeNoCharsMax)+" characters",
				"Write one order number a line.")
		}
		if order != "" {
			orders = append(orders, order)
		}
	}
	if len(orders) == 0 || len(orders) > gapsMost {
		return nil, faulty(at, "has "+strconv.Itoa(len(orders))+" order numbers",
			"Give 1 to "+strconv.Itoa(gapsMost)+", one a line.")
	}
	return orders, nil
}

// statement answers a statement as a file.
func (c *Console) statement(w http.ResponseWriter, r *request) error {
	return c.api.Statement(w, r.Request)
}
