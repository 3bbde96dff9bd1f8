package api

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// The route of a statement is a plain handler, because its answer is a stream.

var statementParameters = []string{"date", "format", "utc_offset"}

// statement answers GET /v1/merchants/{mch_id}/statement.
func (a *API) statement(w http.ResponseWriter, r *http.Request) {
	if err := a.Statement(w, r); err != nil {
		a.refuse(w, r, asProblem(err))
	}
}

// Statement answers a request for a statement, whose path has a mch_id and whose query says the rest. Its
// error, a *Problem, is for a request of which nothing was written yet.
func (a *API) Statement(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	req := StatementRequest{
		MchID: r.PathValue("mch_id"), Date: q.Get("date"), Format: q.Get("format"), UTCOffset: q.Get("utc_offset"),
	}
	if p := unknownParameters(q, statementParameters); p != nil {
		return p
	}
	media, ending := "text/csv; charset=utf-8; header=present", statementCSV
	if req.Format == statementJSONL {
		media, ending = "application/jsonl", statementJSONL
	}
	out := &firstByte{w: w, begin: func() error {
		download(w, media, "statement-"+req.MchID+"-"+req.Date+"."+ending)
		return nil
	}}
	err := a.Service.Statement(r.Context(), req, out)
	if err != nil && !out.begun {
		return err
	}
	a.endStream(w, r, out, err)
	return nil
}

func (a *API) documentStatement() {
	text := func(format string, values ...any) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Format: format, Enum: values}
	}
	answers := problemResponses(a.doc, []int{401, 404, 422, 500, 503})
	answers["200"] = &huma.Response{
		Description: "Records notification, newest first; then total, by state and amount_field; then checksum. " +
			"An answer without a checksum is not whole.",
		Content: map[string]*huma.MediaType{
			"text/csv": {Schema: text("")},
			"application/jsonl": {Schema: &huma.Schema{OneOf: []*huma.Schema{
				a.schema(reflect.TypeFor[StatementNotification]()),
				a.schema(reflect.TypeFor[StatementTotal]()),
				a.schema(reflect.TypeFor[StatementChecksum]()),
			}}},
		},
	}
	a.doc.AddOperation(&huma.Operation{
		OperationID: "get-statement", Method: "GET", Path: "/v1/merchants/{mch_id}/statement", Tags: tagMerchants,
		Summary: "List what was accepted for a merchant on a day, with totals",
		Description: "States are those of now. In CSV an order number that a spreadsheet would take for a " +
			"formula begins with an apostrophe.",
		Parameters: []*huma.Param{
			{Name: "mch_id", In: "path", Required: true, Description: "The merchant", Schema: text("")},
			{Name: "date", In: "query", Required: true, Description: "Today or before", Schema: text("date")},
			{Name: "format", In: "query", Description: "Default csv", Schema: text("", statementCSV, statementJSONL)},
			{Name: "utc_offset", In: "query", Description: "Of the day, like +08:00; default UTC", Schema: text("")},
		},
		Responses: answers,
	})
}
