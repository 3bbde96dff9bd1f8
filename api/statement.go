package api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// A statement is one day of a merchant: every notification that was accepted for it, then totals, then a
// digest of all that stands before. It is written page by page, so that a day may have millions.

// StatementRequest names a statement.
type StatementRequest struct {
	MchID     string
	Date      string // YYYY-MM-DD, today or before
	Format    string // csv (default) or jsonl
	UTCOffset string // of the day, like +08:00; empty = UTC
}

// StatementNotification is a notification in a statement.
type StatementNotification struct {
	Record      string         `json:"record" enum:"notification"`
	NotifyID    string         `json:"notify_id"`
	OutTradeNo  string         `json:"out_trade_no"`
	NotifyType  string         `json:"notify_type"`
	NotifyState store.State    `json:"notify_state" enum:"pending,spent,exhausted,canceled,quarantined"`
	AmountField *string        `json:"amount_field" doc:"Which parameter; shrunk when retention has dropped it"`
	Amount      *string        `json:"amount" doc:"As accepted, in the unit of the dialect"`
	CreatedAt   Time           `json:"created_at"`
	SpentAt     *Time          `json:"spent_at" nullable:"true"`
	NotifyCount int            `json:"notify_count" doc:"Charged sends"`
	LastVerdict *store.Verdict `json:"last_verdict"`
	LastReason  *store.Reason  `json:"last_reason"`
}

// StatementTotal sums up the notifications of one state that have the same amount_field.
type StatementTotal struct {
	Record      string      `json:"record" enum:"total"`
	NotifyState store.State `json:"notify_state" enum:"pending,spent,exhausted,canceled,quarantined"`
	AmountField *string     `json:"amount_field" doc:"null of those that tell of no money"`
	Amount      *string     `json:"amount" doc:"Their exact sum"`
	NotifyCount int         `json:"notify_count" doc:"Charged sends of all of them"`
	Count       int         `json:"count"`
}

// StatementChecksum is the last record of a statement.
type StatementChecksum struct {
	Record string `json:"record" enum:"checksum"`
	SHA256 string `json:"sha256" doc:"Of all bytes before this line, in hex"`
}

// statementRecord is a line of a statement; JSON of itself.
type statementRecord interface {
	cells() []string // in the order of statementColumns
}

var statementColumns = []string{
	"record", "notify_id", "out_trade_no", "notify_type", "notify_state", "amount_field", "amount", "created_at",
	"spent_at", "notify_count", "last_verdict", "last_reason", "count", "sha256",
}

// The formats of a statement.
const (
	statementCSV   = "csv"
	statementJSONL = "jsonl"
)

// amountShrunk stands for the name of an amount that is not known any more: a sum without it is not whole.
const amountShrunk = "shrunk"

func (r *StatementNotification) cells() []string {
	spentAt := ""
	if r.SpentAt != nil {
		spentAt = r.SpentAt.UTC().Format(timeLayout)
	}
	return []string{
		r.Record, r.NotifyID, Defused(r.OutTradeNo), Defused(r.NotifyType), string(r.NotifyState),
		textOf(r.AmountField), textOf(r.Amount), r.CreatedAt.UTC().Format(timeLayout), spentAt,
		itoa(r.NotifyCount), textOf(r.LastVerdict), textOf(r.LastReason), "", "",
	}
}

func (r *StatementTotal) cells() []string {
	return []string{
		r.Record, "", "", "", string(r.NotifyState), textOf(r.AmountField), textOf(r.Amount), "", "",
		itoa(r.NotifyCount), "", "", itoa(r.Count), "",
	}
}

func (r *StatementChecksum) cells() []string {
	row := make([]string, len(statementColumns))
	row[0], row[len(row)-1] = r.Record, r.SHA256
	return row
}

// textOf is a text, empty for nil.
func textOf[T ~string](text *T) string {
	if text == nil {
		return ""
	}
	return string(*text)
}

// Defused is a text of somebody else's in a cell: a spreadsheet takes one that begins like a formula for one,
// unless an apostrophe stands before it. Some take the full-width characters for the plain ones.
func Defused(text string) string {
	for _, first := range []string{"=", "+", "-", "@", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(text, first) {
			return "'" + text
		}
	}
	return text
}

// Statement writes the statement of a day. When it fails before the first byte is written, the request was
// refused; after that, what was written is not whole, which the missing checksum shows.
func (s *Service) Statement(ctx context.Context, req StatementRequest, out io.Writer) error {
	q, p := req.query(s.Store.Now())
	if p != nil {
		return p
	}
	if _, p := s.merchant(ctx, req.MchID); p != nil {
		return p
	}
	w := newStatementWriter(out, req.Format)
	totals := statementTotals{}
	for {
		ns, next, err := s.listPage(ctx, q)
		if err != nil {
			return fromStore(err)
		}
		for i := range ns {
			r := statementNotification(&ns[i])
			totals.add(r)
			if err := w.write(r); err != nil {
				return asProblem(err)
			}
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	for _, r := range totals.records() {
		if err := w.write(r); err != nil {
			return asProblem(err)
		}
	}
	if err := w.finish(); err != nil {
		return asProblem(err)
	}
	return nil
}

// listPage reads one page among many, in the time that a single answer may take.
func (s *Service) listPage(ctx context.Context, q store.Query) ([]store.Notification, string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.Store.List(ctx, q)
}

// query selects the day, or says what is wrong with the request.
func (req *StatementRequest) query(now time.Time) (store.Query, *Problem) {
	var faults []profile.Fault
	wrong := func(name, message, cure string) {
		faults = append(faults, profile.Fault{Location: "query." + name, Message: message, Cure: cure})
	}
	zone, err := parseOffset(req.UTCOffset)
	if err != nil {
		wrong("utc_offset", "is no offset from UTC", "write it like +08:00, from -14:00 to +14:00")
	}
	from, err := time.ParseInLocation(time.DateOnly, req.Date, zone)
	switch {
	case req.Date == "":
		wrong("date", "is missing", "give the day, like "+now.In(zone).AddDate(0, 0, -1).Format(time.DateOnly))
	case err != nil:
		wrong("date", "is no date", "write it like "+now.In(zone).AddDate(0, 0, -1).Format(time.DateOnly))
	case from.After(now):
		wrong("date", "lies in the future", "give today or a day before")
	case from.Year() < 1970:
		wrong("date", "lies before 1970", "correct the year")
	}
	if !slices.Contains([]string{"", statementCSV, statementJSONL}, req.Format) {
		wrong("format", "is no format", "give csv or jsonl")
	}
	return store.Query{
		MchID: req.MchID, CreatedFrom: from, CreatedTo: from.Add(day), Limit: pageMax,
	}, invalid(faults)
}

var errOffset = errors.New("no place is so far from UTC")

// parseOffset reads an offset like +08:00; UTC when it cannot.
func parseOffset(text string) (*time.Location, error) {
	const offsetMax = 14 * 60 * 60 // Kiritimati's; nobody is further off
	if text == "" {
		return time.UTC, nil
	}
	if rest, was := strings.CutPrefix(text, " "); was {
		text = "+" + rest // which is what a plus sign in a query is read as
	}
	at, err := time.Parse("Z07:00", text)
	if err != nil {
		return time.UTC, err
	}
	_, seconds := at.Zone()
	if seconds > offsetMax || seconds < -offsetMax {
		return time.UTC, errOffset
	}
	return time.FixedZone("", seconds), nil
}

func statementNotification(n *store.Notification) *StatementNotification {
	field, amount := amountShrunk, ""
	if !n.Shrunk {
		field, amount = profile.Amount(n.Profile, n.Params)
	}
	return &StatementNotification{
		Record: "notification", NotifyID: n.NotifyID, OutTradeNo: n.OutTradeNo, NotifyType: n.NotifyType,
		NotifyState: n.State, AmountField: orNil(field), Amount: orNil(amount), CreatedAt: Time{n.CreatedAt},
		SpentAt: timeOrNil(n.SpentAt), NotifyCount: n.NotifyCount, LastVerdict: orNil(n.LastVerdict),
		LastReason: orNil(n.LastReason),
	}
}

// statementTotals are by state and name of the amount.
type statementTotals map[store.State]map[string]*statementTotal

type statementTotal struct {
	count, sends int
	sums         profile.Amounts
}

func (t statementTotals) add(r *StatementNotification) {
	of := t[r.NotifyState]
	if of == nil {
		of = map[string]*statementTotal{}
		t[r.NotifyState] = of
	}
	field := textOf(r.AmountField)
	total := of[field]
	if total == nil {
		total = &statementTotal{}
		of[field] = total
	}
	total.count++
	total.sends += r.NotifyCount
	total.sums.Add(field, textOf(r.Amount))
}

// records are the totals of every state, also of those that nothing is in.
func (t statementTotals) records() (out []*StatementTotal) {
	for _, state := range store.States {
		fields := make([]string, 0, len(t[state]))
		for field := range t[state] {
			fields = append(fields, field)
		}
		if len(fields) == 0 {
			out = append(out, &StatementTotal{Record: "total", NotifyState: state})
		}
		slices.Sort(fields)
		for _, field := range fields {
			total := t[state][field]
			out = append(out, &StatementTotal{
				Record: "total", NotifyState: state, AmountField: orNil(field),
				Amount: orNil(total.sums.Texts()[field]), NotifyCount: total.sends, Count: total.count,
			})
		}
	}
	return out
}

// statementWriter writes records in a format, and sums up what it has written.
type statementWriter struct {
	sum   hash.Hash
	out   *bufio.Writer
	cells *csv.Writer // nil = JSON lines
	begun bool
}

// statementBuffer is more than the head of the first page: a store that fails at once is told before the
// first byte.
const statementBuffer = 32 << 10

func newStatementWriter(to io.Writer, format string) *statementWriter {
	w := &statementWriter{sum: sha256.New()}
	w.out = bufio.NewWriterSize(io.MultiWriter(to, w.sum), statementBuffer)
	if format != statementJSONL {
		w.cells = csv.NewWriter(w.out) // which has no buffer of its own, then
		w.cells.UseCRLF = true         // RFC 4180
	}
	return w
}

func (w *statementWriter) write(r statementRecord) error {
	if w.cells == nil {
		return encodeJSON(w.out, r)
	}
	if !w.begun {
		w.begun = true
		if err := w.cells.Write(statementColumns); err != nil {
			return err
		}
	}
	return w.cells.Write(r.cells())
}

// finish writes the checksum of everything before it.
func (w *statementWriter) finish() error {
	if err := w.out.Flush(); err != nil {
		return err
	}
	if err := w.write(&StatementChecksum{
		Record: "checksum", SHA256: hex.EncodeToString(w.sum.Sum(nil)),
	}); err != nil {
		return err
	}
	return w.out.Flush()
}
