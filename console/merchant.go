package console

import (
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
		Warnings: m.Warnings, Settings: settingsOf(&m),
		Facts: known("mch_id", m.MchID, r.t("Name"), m.Name, r.t("Profile"), m.Profile, "notify_url",
			m.NotifyURL),
		Notifications: root + "notifications?mch_id=" + url.QueryEscape(m.MchID),
		Schedule:      root + "schedule?mch_id=" + url.QueryEscape(m.MchID), Forms: formsOf(r, &m, at),
	}
	d.Facts = append(d.Facts, fact{Name: r.t("Created"), At: momentOf(m.CreatedAt.Time)})
	d.State, d.Held = laneChips(&m)
	if d.Health, err = c.healthOfMerchant(r, m.MchID); err != nil {
		return page{}, err
	}
	d.Reasons = d.Health.rows(d.Notifications)
	if d.States, err = c.statesOf(r, m.MchID, d.Notifications); err != nil {
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

// rows are what the newest notifications came to that was no acknowledgement, the most common first; all is
// the list of all of the merchant's.
func (h *health) rows(all string) (rows []reasonRow) {
	for _, missed := range mostCounted(h.missed) {
		verdict, reason, _ := strings.Cut(missed, " ")
		judged := judgedChip(store.Verdict(verdict), store.Reason(reason))
		rows = append(rows, reasonRow{
			Judged: judged, Count: h.missed[missed], Href: all + "&verdict=" + verdict + "&reason=" + reason,
			Share: shareBar(judged.Tone, h.missed[missed], healthOf),
		})
	}
	return rows
}

// statesOf counts a merchant's notifications by state; all is the list of all of them.
func (c *Console) statesOf(r *request, mchID, all string) (cards []stateCard, err error) {
	for _, state := range store.States {
		n, err := c.service.Counts(r.Context(), store.Query{MchID: mchID, State: state}, countMost)
		if err != nil {
			return nil, err
		}
		cards = append(cards, stateCard{
			State: stateChip(state), Count: countText(n.Total, n.More), Href: all + "&notify_state=" + string(state),
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
	slaWait = 100 * time.Millisecond
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
	d.Cards = cardsOf(
		r.t("Notifications accepted"), strconv.Itoa(v.Accepted),
		r.t("%d spent, %d pending, %d exhausted", v.Spent, v.Pending, v.Exhausted),
		r.t("Acknowledged"), percent(v.AckRate), r.t("of those that are not pending"),
		r.t("Half are acknowledged within"), r.withinSeconds(v.TimeToAck.P50), "",
		r.t("95 of 100 within"), r.withinSeconds(v.TimeToAck.P95),
		r.t("99 of 100 within %s", r.withinSeconds(v.TimeToAck.P99)),
		r.t("Sends per acknowledgement"), decimal(v.SendsPerAck), "",
		r.t("Near-misses"), percent(v.NearMissRate), r.t("of those that were sent"),
		r.t("The oldest pending"), oldest, "",
	)
	return d, nil
}

// cardsOf are cards: name, number, note, name, number, note.
func cardsOf(texts ...string) (cards []numberCard) {
	for i := 0; i+2 < len(texts); i += 3 {
		cards = append(cards, numberCard{Name: texts[i], Number: texts[i+1], Note: texts[i+2]})
	}
	return cards
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

// known are the facts that there are: name, text, name, text.
func known(pairs ...string) (facts []fact) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			facts = append(facts, fact{Name: pairs[i], Text: pairs[i+1], Mono: true})
		}
	}
	return facts
}

// settingsOf are a merchant's settings in the API's words.
func settingsOf(m *api.MerchantView) []fact {
	asJSON := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil || string(text) == "null" || string(text) == "{}" {
			return ""
		}
		return string(text)
	}
	return known("sign_type", m.SignType, "app_id", m.AppID, "charset", m.Charset, "schedule", m.Schedule,
		"ack", asJSON(m.Ack), "max_inflight", strconv.Itoa(m.MaxInflight),
		"rate_per_second", strconv.FormatFloat(m.RatePerSecond, 'g', -1, 64), "options", asJSON(m.Options),
		"tls", asJSON(m.TLS), "headers", strings.Join(slices.Sorted(maps.Keys(m.Headers)), ", "))
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
	d.Facts = known("serial", deref(k.Serial), "whpk", deref(k.Whpk),
		r.t("Fingerprint of the public key (SHA-256)"), keyPrint(k.PublicKeyBase64))
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
