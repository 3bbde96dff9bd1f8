package console

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"paynotify/api"
	"paynotify/profile"
	"paynotify/store"
)

// merchantData is everything about one merchant.
type merchantData struct {
	Live   string // this page again
	Notice string // what a form has done just now

	State, Held   chip
	Why           string // it is paused
	Until         moment
	Meaning       string // of the state of its lane, and how to change it
	Warnings      []string
	Health        health
	Reasons       []reasonRow
	States        []stateCard
	Notifications string // where they are
	Schedule      string // of its sends
	Deeds         string // where the audit log about it is; empty for those who may not read it

	SLA        slaData
	Facts      []fact
	Settings   []fact
	Keys       keyData
	Probe      probeData
	Statements []statementRow
	Forms      merchantForms
}

// reasonRow is what some of the newest notifications came to that was no acknowledgement.
type reasonRow struct {
	Judged chip
	Count  int
	Href   string // the list of all of them
	Share  bar
}

// keyData is what everybody may know of the key that signs now.
type keyData struct {
	Shown       bool
	Facts       []fact
	PublicKey   string
	Certificate string
}

// probeData is what the last probe found.
type probeData struct {
	Shown  bool
	Judged chip
	Says   string
	At     moment
}

// statementRow is a day with its statements.
type statementRow struct{ Day, CSV, JSONL string }

// statementDays are the days whose statements are linked, the last of which is today.
const statementDays = 7

// merchant shows one merchant.
func (c *Console) merchant(r *request) (page, error) {
	m, err := c.service.Merchant(r.Context(), r.PathValue("mch_id"))
	if err != nil {
		return page{}, err
	}
	at := root + merchantPath(m.MchID)
	d := merchantData{
		Live: at, Why: deref(m.PausedReason), Until: momentOr(m.PausedUntil), Meaning: laneMeaning(r, &m),
		Warnings: m.Warnings, Facts: merchantFacts(r, &m), Settings: merchantSettings(&m),
		Notifications: root + "notifications?mch_id=" + url.QueryEscape(m.MchID),
		Schedule:      root + "schedule?mch_id=" + url.QueryEscape(m.MchID), Forms: formsOf(r, &m, at),
	}
	d.State, d.Held = laneChips(&m)
	if d.Health, err = c.healthOfMerchant(r, m.MchID); err != nil {
		return page{}, err
	}
	d.Reasons = d.Health.rows(m.MchID)
	if d.States, err = c.statesOf(r, m.MchID); err != nil {
		return page{}, err
	}
	if r.Header.Get("HX-Request") == "" { // the live part does not show what takes long
		if d.SLA, err = c.slaOf(r, m.MchID); err != nil {
			return page{}, err
		}
	}
	if d.Keys, err = c.keysOf(r, &m); err != nil {
		return page{}, err
	}
	d.Probe = probeOf(r, m.Probe)
	d.Notice = r.done()
	if r.may(needsStatement) {
		d.Statements = statements(at, r.now)
	}
	if r.may(needsAudit) {
		d.Deeds = root + "audit?object=" + url.QueryEscape("merchant/"+m.MchID)
	}
	return page{name: "merchant", title: r.t("Merchant %s", m.MchID), data: d}, nil
}

// laneMeaning says whether anything is sent to a merchant, and what to do when it is not.
func laneMeaning(r *request, m *api.MerchantView) string {
	switch deref(m.HeldReason) {
	case "":
		return r.t("What is due is sent.")
	case store.HeldMerchantPaused:
		return r.t("Nothing is sent to it until somebody resumes it, or the pause ends. Nothing is lost.")
	}
	return heldCure(r, *m.HeldReason)
}

// rows are what the newest notifications came to that was no acknowledgement, the most common first.
func (h *health) rows(mchID string) (rows []reasonRow) {
	counts := slices.SortedStableFunc(slices.Values(h.reasons), func(a, b reasonCount) int {
		return cmp.Compare(b.n, a.n)
	})
	for _, c := range counts {
		f := filters{Query: store.Query{MchID: mchID, Verdict: c.verdict, Reason: c.reason}}
		judged := judgedChip(c.verdict, c.reason)
		rows = append(rows, reasonRow{
			Judged: judged, Count: c.n, Href: root + "notifications" + f.address(""),
			Share: shareBar(judged.Tone, c.n, healthOf),
		})
	}
	return rows
}

// statesOf counts a merchant's notifications by state.
func (c *Console) statesOf(r *request, mchID string) (cards []stateCard, err error) {
	for _, state := range store.States {
		q := store.Query{MchID: mchID, State: state}
		n, err := c.service.Counts(r.Context(), q, countMost)
		if err != nil {
			return nil, err
		}
		f := filters{Query: q}
		cards = append(cards, stateCard{
			State: stateChip(state), Count: countText(n.Total, n.More), Href: root + "notifications" + f.address(""),
		})
	}
	return cards, nil
}

// slaData is how notifications went that were accepted in the last 24 hours.
type slaData struct {
	Cards   []numberCard
	Sampled bool
	Late    bool // it takes longer than a page may
	Ask     string
}

const (
	slaWindow = 24 * time.Hour
	// slaWait is how long a page waits for what may take seconds where a merchant has a million.
	slaWait = 120 * time.Millisecond
)

// slaOf asks for the figures of a merchant, for as long as a page may.
func (c *Console) slaOf(r *request, mchID string) (slaData, error) {
	d := slaData{Ask: "/v1/merchants/" + url.PathEscape(mchID) + "/sla"}
	ctx, cancel := context.WithTimeout(r.Context(), slaWait)
	defer cancel()
	v, err := c.service.SLA(ctx, mchID, slaWindow)
	switch {
	case err == nil:
	case ctx.Err() != nil && r.Context().Err() == nil:
		d.Late = true
		return d, nil
	default:
		return d, err
	}
	d.Sampled = v.Sampled
	oldest := "–"
	if v.OldestPendingAt != nil {
		oldest = r.span(r.now.Sub(v.OldestPendingAt.Time))
	}
	d.Cards = []numberCard{
		{
			Name: r.t("Accepted"), Number: strconv.Itoa(v.Accepted),
			Note: r.t("%d spent, %d pending, %d exhausted", v.Spent, v.Pending, v.Exhausted),
		},
		{Name: r.t("Acknowledged"), Number: percent(v.AckRate), Note: r.t("of those that are not pending")},
		{Name: r.t("Half are acknowledged within"), Number: r.withinSeconds(v.TimeToAck.P50)},
		{
			Name: r.t("95 of 100 within"), Number: r.withinSeconds(v.TimeToAck.P95),
			Note: r.t("99 of 100 within %s", r.withinSeconds(v.TimeToAck.P99)),
		},
		{Name: r.t("Sends per acknowledgement"), Number: decimal(v.SendsPerAck)},
		{Name: r.t("Near-misses"), Number: percent(v.NearMissRate), Note: r.t("of those that were sent")},
		{Name: r.t("The oldest pending"), Number: oldest},
	}
	return d, nil
}

// percent is a rate that there may be nothing to tell of.
func percent(rate *float64) string {
	if rate == nil {
		return "–"
	}
	return strconv.FormatFloat(*rate*100, 'f', 1, 64) + " %"
}

func decimal(n *float64) string {
	if n == nil {
		return "–"
	}
	return strconv.FormatFloat(*n, 'f', 2, 64)
}

func (r *request) withinSeconds(s *float64) string {
	if s == nil {
		return "–"
	}
	return r.within(seconds(*s))
}

func merchantFacts(r *request, m *api.MerchantView) []fact {
	facts := []fact{{Name: "mch_id", Text: m.MchID, Mono: true}}
	if m.Name != "" {
		facts = append(facts, fact{Name: r.t("Name"), Text: m.Name})
	}
	return append(facts,
		fact{Name: r.t("Profile"), Text: m.Profile}, fact{Name: "notify_url", Text: m.NotifyURL, Mono: true},
		fact{Name: r.t("Created"), At: momentOf(m.CreatedAt.Time)},
	)
}

// merchantSettings are the settings in the API's words.
func merchantSettings(m *api.MerchantView) []fact {
	asJSON := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil || string(text) == "null" || string(text) == "{}" {
			return ""
		}
		return string(text)
	}
	headers := strings.Join(slices.Sorted(maps.Keys(m.Headers)), ", ")
	var facts []fact
	for _, s := range []struct{ name, text string }{
		{"sign_type", m.SignType},
		{"app_id", m.AppID},
		{"charset", m.Charset},
		{"schedule", m.Schedule},
		{"ack", asJSON(m.Ack)},
		{"max_inflight", strconv.Itoa(m.MaxInflight)},
		{"rate_per_second", strconv.FormatFloat(m.RatePerSecond, 'g', -1, 64)},
		{"options", asJSON(m.Options)},
		{"tls", asJSON(m.TLS)},
		{"headers", headers},
	} {
		if s.text != "" {
			facts = append(facts, fact{Name: s.name, Text: s.text, Mono: true})
		}
	}
	return facts
}

// keysOf is the public half of the key that signs now.
func (c *Console) keysOf(r *request, m *api.MerchantView) (d keyData, err error) {
	if _, known := profile.ByName(m.Profile); !known {
		return d, nil // of a newer version
	}
	k, err := c.service.PublicKey(r.Context(), m.MchID)
	if err != nil {
		return d, err
	}
	d.PublicKey, d.Certificate = deref(k.PublicKey), deref(k.Certificate)
	for _, f := range []fact{
		{Name: "serial", Text: deref(k.Serial), Mono: true},
		{Name: "whpk", Text: deref(k.Whpk), Mono: true},
		{Name: r.t("Fingerprint of the public key (SHA-256)"), Text: keyPrint(k.PublicKeyBase64), Mono: true},
	} {
		if f.Text != "" {
			d.Facts = append(d.Facts, f)
		}
	}
	d.Shown = d.PublicKey != "" || len(d.Facts) > 0
	return d, nil
}

// keyPrint is the SHA-256 of a public key in its encoding, which is what other tools show.
func keyPrint(encoded *string) string {
	der, err := base64.StdEncoding.DecodeString(deref(encoded))
	if err != nil || len(der) == 0 {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func probeOf(r *request, p *api.ProbeView) probeData {
	if p == nil {
		return probeData{}
	}
	d := probeData{
		Shown: true, Judged: judgedChip(p.Verdict, p.Reason), At: momentOf(p.At.Time),
		Says: r.t("It cannot be told whether the merchant verifies signatures."),
	}
	switch {
	case p.Verifies == nil:
	case *p.Verifies:
		d.Says = r.t("The merchant refused a wrong signature.")
	default:
		d.Says = r.t("The merchant acknowledged a wrong signature: it does not verify them.")
	}
	return d
}

// statements are the links of the last days, UTC.
func statements(at string, now time.Time) (rows []statementRow) {
	for i := range statementDays {
		day := now.UTC().AddDate(0, 0, -i).Format(time.DateOnly)
		rows = append(rows, statementRow{
			Day: day, CSV: at + "/statement?date=" + day + "&format=csv",
			JSONL: at + "/statement?date=" + day + "&format=jsonl",
		})
	}
	return rows
}
