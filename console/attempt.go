package console

import (
	"slices"
	"strconv"
	"strings"

	"paynotify/api"
	"paynotify/profile"
	"paynotify/store"
)

// attemptData is one attempt.
type attemptData struct {
	ID       string // of the element
	N        int
	Open     bool
	Place    string // which send of the schedule, or who asked for it
	Started  moment
	Late     string // by how much it started later than planned
	Judged   chip
	Status   string
	Took     string
	Note     string // that it does not count
	Hint     string // in the API's words
	HintHere string // in the reader's language, where that is another
	Facts    []fact
	Phases   bar
	Legend   []phase
	Reply    string // in the API's words
	Replied  bool
	Diff     diffData
	Sent     string // where its request is shown; empty for those who may not see it
}

// phase is an entry of the legend of a bar of phases.
type phase struct{ Tone, Text string }

// attemptOf shows the attempt with that index; the last one is open.
func attemptOf(r *request, n *api.NotificationView, m *api.MerchantView, i int) attemptData {
	a := &n.Attempts[i]
	d := attemptData{
		ID: "attempt-" + strconv.Itoa(a.N), N: a.N, Open: i == len(n.Attempts)-1, Place: placeOf(r, n, a),
		Started: momentOf(a.StartedAt.Time), Judged: judgedChip(a.Verdict, a.Reason), Took: took(a.DurationMS),
		Hint: deref(a.Hint), Diff: diffOf(m, a),
	}
	if late := a.StartedAt.Sub(a.ScheduledAt.Time); late >= lateWorthSaying {
		d.Late = r.t("%s after it was planned", r.span(late))
	}
	if explained := profile.Explain(a.Reason); r.t(explained.Cause) != explained.Cause {
		d.HintHere = r.t(explained.Cause) + r.t(explained.Cure)
	}
	if a.Status != nil {
		d.Status = strconv.Itoa(*a.Status)
	}
	if !a.Charged && a.Send != nil {
		d.Note = r.t("does not count")
	}
	if a.Reply != nil {
		d.Reply, d.Replied = *a.Reply, true
	}
	if r.who.Role == api.RolePortal { // a merchant changes its code, not its settings
		d.Diff.Setting, d.Diff.Command = "", ""
	}
	d.Facts = attemptFacts(r, a)
	d.Phases, d.Legend = phasesOf(r, a)
	if a.RequestSHA256 != nil && r.may(needsEvidence) {
		d.Sent = notificationHref(n.NotifyID) + "?attempt=" + strconv.Itoa(a.N) + "#request"
	}
	return d
}

// placeOf says where an attempt stands in the schedule, or who asked for it.
func placeOf(r *request, n *api.NotificationView, a *api.AttemptView) string {
	switch {
	case a.Send != nil:
		return r.t("Send %d of %d", *a.Send, n.NotifyCountLimit)
	case a.Trigger == store.Replay:
		return r.t("replay")
	}
	return r.t("resend")
}

func attemptFacts(r *request, a *api.AttemptView) (facts []fact) {
	add := func(name, text string, mono bool) {
		if text != "" {
			facts = append(facts, fact{Name: name, Text: text, Mono: mono})
		}
	}
	add("detail", deref(a.Detail), false)
	add("remote_addr", deref(a.RemoteAddr), true)
	if a.TLS != nil {
		add("TLS", a.TLS.Version, false)
		add(r.t("certificate"), a.TLS.Subject, true)
		facts = append(facts, fact{Name: r.t("certificate ends"), At: momentOf(a.TLS.NotAfter.Time)})
	}
	add("request_sha256", deref(a.RequestSHA256), true)
	return facts
}

// phasesOf is where the time of an attempt went.
func phasesOf(r *request, a *api.AttemptView) (b bar, legend []phase) {
	p := a.PhasesMS
	parts := []struct {
		name string
		ms   float64
	}{
		{r.t("DNS"), p.DNS},
		{r.t("connect"), p.Connect},
		{r.t("TLS"), p.TLS},
		{r.t("wait"), p.FirstByte},
		{r.t("read"), p.Body},
	}
	whole := a.DurationMS
	sum := 0.0
	for _, part := range parts {
		sum += part.ms
	}
	if whole = max(whole, sum); whole <= 0 {
		return b, nil
	}
	at := 0.0
	for i, part := range parts {
		if part.ms <= 0 {
			continue
		}
		tone := "s" + strconv.Itoa(i+1)
		b.Parts = append(b.Parts, barPart{
			Tone: tone, X: int(at / whole * 1000), W: max(4, int(part.ms/whole*1000)),
		})
		legend = append(legend, phase{tone, part.name + " " + took(part.ms)})
		at += part.ms
	}
	texts := make([]string, len(legend))
	for i := range legend {
		texts[i] = legend[i].Text
	}
	b.Label = strings.Join(texts, ", ")
	return b, legend
}

// diffData is a reply beside the one that was expected.
type diffData struct {
	Shown              bool
	Expected, Received []diffPart
	Setting, Command   string // what would accept such a reply; empty when nothing would
	// Counts are the statuses that count, where that of the reply does not.
	Counts string
}

// diffPart is a stretch of characters, all of them visible.
type diffPart struct{ Kind, Text string }

// diffOf compares the reply of a refused attempt. The rule is the merchant's now.
func diffOf(m *api.MerchantView, a *api.AttemptView) (d diffData) {
	rule := store.Ack{Match: m.Ack.Match, Text: m.Ack.Text, Path: m.Ack.Path}
	compared := a.Verdict.Class() == "refused" || a.Reason == store.AckTrimmed || a.Reason == store.TooLarge
	if a.Status == nil || !compared || m.MchID == "" {
		return d
	}
	switch a.Reason {
	case store.AckStatus, store.HTTPStatus, store.Redirect:
		d.Counts = strings.Join(textsOf(m.Ack.Status), ", ")
	}
	d.Setting, d.Command = acceptingSetting(m, a)
	if len(profile.ExpectedReply(rule)) == 0 {
		return d
	}
	d.Shown = true
	for _, part := range profile.AckDiff(rule, a.ReplyBytes) {
		seen := diffPart{string(part.Kind), profile.Visible(part.Raw)}
		if part.Kind != profile.DiffMissing {
			d.Received = append(d.Received, seen)
		}
		if part.Kind == profile.DiffSame || part.Kind == profile.DiffMissing {
			d.Expected = append(d.Expected, seen)
		}
	}
	if rule.Match == "trim_fold" { // what is the same may differ in case
		d.Expected = []diffPart{{string(profile.DiffSame), profile.Visible(profile.ExpectedReply(rule))}}
	}
	return d
}

// acceptingSetting is the setting of a merchant that takes such a reply for an acknowledgement, as a merge
// patch and as a command.
func acceptingSetting(m *api.MerchantView, a *api.AttemptView) (patch, command string) {
	set := "paynotify merchant set " + m.MchID
	switch {
	case !a.Reason.NearMiss() || a.Verdict == store.Acked:
		return "", ""
	case a.Reason == store.AckStatus && *a.Status < 300:
		texts := make([]string, 0, len(m.Ack.Status)+1)
		quoted := make([]string, 0, len(m.Ack.Status)+1)
		for _, s := range append(slices.Clone(m.Ack.Status), api.AckStatus(strconv.Itoa(*a.Status))) {
			texts = append(texts, string(s))
			if _, err := strconv.Atoi(string(s)); err != nil {
				s = `"` + s + `"`
			}
			quoted = append(quoted, string(s))
		}
		return `{"ack":{"status":[` + strings.Join(quoted, ",") + `]}}`,
			set + " --ack-status " + strings.Join(texts, ",")
	}
	names := textsOf(append(slices.Clone(m.Ack.Lenient), a.Reason))
	return `{"ack":{"lenient":["` + strings.Join(names, `","`) + `"]}}`,
		set + " --ack-lenient " + strings.Join(names, ",")
}

func attemptAnchor(n int) string { return "#attempt-" + strconv.Itoa(n) }
