package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"paynotify/api"
	"paynotify/store"
)

const (
	auditPath     = "audit"
	auditPageSize = 50
	// auditScanMax bounds the entries that one page goes through for a filter; the next page goes on there.
	auditScanMax = 2000
	// auditStep is how many entries are read at once.
	auditStep = 250
	// chainWait is how long one page may spend on checking the chain. What is checked stays checked.
	chainWait = 30 * time.Millisecond
)

func (c *Console) auditRoutes() []route {
	return []route{{pattern: "GET /console/audit", needs: "GET /v1/audit", show: c.audit}}
}

// auditFilter says which entries are wanted. A text fits where it stands anywhere in the field.
type auditFilter struct {
	Actor, Action, Object string
	Failed                bool // only what was refused
}

func (f *auditFilter) fits(e *api.AuditEntryView) bool {
	return strings.Contains(e.Actor, f.Actor) && strings.Contains(e.Action, f.Action) &&
		strings.Contains(e.Object, f.Object) && (!f.Failed || e.Result != auditOK)
}

// auditOK is the result of what succeeded.
const auditOK = "ok"

// auditData is what the page shows.
type auditData struct {
	Filter   auditFilter
	Filtered bool
	Rows     []auditRow
	Newest   string // path of the first page, empty on it
	Older    string // path of the next page, empty on the last
	Scanned  string // said when a filter has not found a whole page in all that was gone through
	Head     string // SEQ:SUM
	Chain    chip
	ChainWhy string
}

// auditRow is one entry.
type auditRow struct {
	Seq       int64
	At        string
	Actor     string
	Source    string
	Action    string
	Object    string
	Href      string // page of the object, empty where there is none
	Result    chip
	RequestID string
	Before    string // indented JSON, empty where there is nothing
	After     string
	Sum       string
}

// audit shows the log, newest first.
func (c *Console) audit(r *request) (page, error) {
	q := r.URL.Query()
	data := auditData{Filter: auditFilter{
		Actor: strings.TrimSpace(q.Get("actor")), Action: strings.TrimSpace(q.Get("action")),
		Object: strings.TrimSpace(q.Get("object")), Failed: q.Get("failed") != "",
	}}
	data.Filtered = data.Filter != auditFilter{}
	before, _ := strconv.ParseInt(q.Get("before"), 10, 64) // anything else: from the newest on
	head, err := c.chain.look(r.Context(), c.service)
	if err != nil {
		return page{}, err
	}
	data.Chain, data.ChainWhy = chainState(r, head)
	if head.seq > 0 {
		data.Head = strconv.FormatInt(head.seq, 10) + ":" + head.sum
	}
	if before <= 0 || before > head.seq+1 {
		before = head.seq + 1
	} else {
		data.Newest = auditAddress(data.Filter, 0)
	}
	entries, next, err := c.auditEntries(r.Context(), data.Filter, before)
	if err != nil {
		return page{}, err
	}
	for i := range entries {
		data.Rows = append(data.Rows, auditRowOf(&entries[i]))
	}
	if next > 1 {
		data.Older = auditAddress(data.Filter, next)
	}
	if len(entries) < auditPageSize && next > 1 {
		data.Scanned = r.t("%d entries were gone through, back to number %d.", before-next, next)
	}
	return page{name: "audit", title: r.t("Audit"), data: data}, nil
}

// auditEntries are the newest entries with a lesser number that fit, newest first; next is the number before
// which the rest lies, 1 when there is none.
func (c *Console) auditEntries(
	ctx context.Context, f auditFilter, before int64,
) (found []api.AuditEntryView, next int64, err error) {
	step := int64(auditStep)
	if f == (auditFilter{}) {
		step = auditPageSize
	}
	for next = before; next > 1 && len(found) < auditPageSize && before-next < auditScanMax; {
		from := max(1, next-step) // entries have numbers without gaps
		log, err := c.service.AuditLog(ctx, from-1, int(next-from))
		if err != nil {
			return nil, 0, err
		}
		for _, e := range slices.Backward(log.Entries) {
			if len(found) == auditPageSize {
				return found, next, nil
			}
			if next = e.Seq; f.fits(&e) {
				found = append(found, e)
			}
		}
		if len(log.Entries) == 0 { // something was cut out: the chain says so
			next = from
		}
	}
	return found, next, nil
}

// auditAddress is a page of the log under a filter.
func auditAddress(f auditFilter, before int64) string {
	q := url.Values{}
	for name, value := range map[string]string{"actor": f.Actor, "action": f.Action, "object": f.Object} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Failed {
		q.Set("failed", "1")
	}
	if before > 0 {
		q.Set("before", strconv.FormatInt(before, 10))
	}
	u := url.URL{Path: root + auditPath, RawQuery: q.Encode()}
	return u.String()
}

func auditRowOf(e *api.AuditEntryView) auditRow {
	row := auditRow{
		Seq: e.Seq, At: e.At.UTC().Format("2006-01-02 15:04:05.000"), Actor: e.Actor, Action: e.Action,
		Object: e.Object, Href: auditHref(e.Object), Before: indented(e.Before), After: indented(e.After),
		Sum: e.Sum, Result: chip{"ok", "✓", e.Result},
	}
	if e.Result != auditOK {
		row.Result = chip{"warn", "✕", e.Result}
	}
	if e.Source != nil {
		row.Source = *e.Source
	}
	if e.RequestID != nil {
		row.RequestID = *e.RequestID
	}
	return row
}

// auditHref is the page of what an entry is about, where there is one.
func auditHref(object string) string {
	kind, id, _ := strings.Cut(object, "/")
	pages := map[string]string{"merchant": "merchants", "notification": "notifications"}
	if pages[kind] == "" || id == "" || strings.Contains(id, "/") || strings.Contains(id, `\`) {
		return ""
	}
	return root + pages[kind] + "/" + url.PathEscape(id)
}

// auditTextMax bounds what a page shows of one side of a change; the log keeps up to 64 KiB of it.
const auditTextMax = 4 << 10

// indented is JSON for people; empty for null.
func indented(text json.RawMessage) string {
	if len(text) == 0 || string(text) == "null" {
		return ""
	}
	var out bytes.Buffer
	var value any
	read, write := json.NewDecoder(bytes.NewReader(text)), json.NewEncoder(&out)
	read.UseNumber()
	write.SetEscapeHTML(false) // the log has < as \u003c, which is for machines
	write.SetIndent("", "  ")
	if read.Decode(&value) != nil || write.Encode(value) != nil {
		return "" // the chain says that it is not what was written
	}
	if out.Len() > auditTextMax {
		return strings.ToValidUTF8(string(out.Bytes()[:auditTextMax]), "") + "…"
	}
	return out.String()
}

// chain is how far this process has checked that the audit log is what was written. A page goes on where the
// last one stopped.
type chain struct {
	mu     sync.Mutex
	last   store.AuditEntry // up to here it is whole
	broken int64            // the first entry that is missing or is not what was written; 0 = none
}

// chainHead is how the log stands.
type chainHead struct {
	seq     int64 // of the last entry; 0 = there is none
	sum     string
	checked int64
	broken  int64
}

// look checks a little more of the log.
func (c *chain) look(ctx context.Context, s *api.Service) (chainHead, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := int64(0) // a head that was seen before the entries up to it were asked for
	for began := time.Now(); ; {
		log, err := s.AuditLog(ctx, c.last.Seq, auditStep)
		if err != nil {
			return chainHead{}, err
		}
		for i := 0; i < len(log.Entries) && c.broken == 0; i++ {
			c.check(&log.Entries[i])
		}
		head := log.Head.Seq
		if c.broken == 0 && (head < c.last.Seq || len(log.Entries) == 0 && known > c.last.Seq) {
			c.broken = min(head, c.last.Seq) + 1 // the end was cut off, or nothing lies behind the last one
		}
		if c.broken != 0 || head == c.last.Seq || time.Since(began) > chainWait {
			return chainHead{head, log.Head.Sum, c.last.Seq, c.broken}, nil
		}
		known = head
	}
}

// check takes the entry behind the last one.
func (c *chain) check(v *api.AuditEntryView) {
	e, err := v.Entry()
	if _, whole := store.VerifyChain(c.last.Sum, []store.AuditEntry{e}); err != nil || !whole ||
		e.Seq != c.last.Seq+1 {
		c.broken = c.last.Seq + 1
		return
	}
	c.last = e
}

// chainState says it.
func chainState(r *request, h chainHead) (state chip, why string) {
	switch {
	case h.broken != 0:
		return chip{"bad", "✕", r.t("broken at entry %d", h.broken)},
			r.t("Up to entry %d it is what was written. Compare with a backup, and ask who could write to the "+
				"store.", h.checked)
	case h.checked < h.seq:
		return chip{"info", "…", r.t("whole so far")},
			r.t("%d of %d entries are checked; each look at this page checks more.", h.checked, h.seq)
	}
	return chip{"ok", "✓", r.t("whole")}, r.t("%d of %d entries are checked.", h.checked, h.seq)
}
