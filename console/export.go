package console

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"paynotify/api"
)

const (
	// exportRowsMax bounds a list as a file: more than that is for the API, page by page.
	exportRowsMax = 10_000
	// exportPage is how many notifications are asked for at once.
	exportPage = 500
)

var exportColumns = []string{
	"notify_id", "mch_id", "out_trade_no", "notify_type", "notify_state", "held_reason", "notify_count",
	"notify_count_limit", "last_verdict", "last_reason", "created_at", "last_notify_time", "next_notify_time",
	"spent_at",
}

// exportCSV answers a list as CSV for spreadsheets: what one would take for a formula begins with an
// apostrophe.
func (c *Console) exportCSV(w http.ResponseWriter, r *request) error {
	return c.export(w, r, "text/csv; charset=utf-8; header=present", "csv",
		func(out io.Writer, ns []api.NotificationSummary, first bool) error {
			rows := csv.NewWriter(out)
			if first {
				_ = rows.Write(exportColumns) // Flush tells
			}
			for i := range ns {
				_ = rows.Write(exportCells(&ns[i]))
			}
			rows.Flush()
			return rows.Error()
		})
}

func exportCells(n *api.NotificationSummary) []string {
	instant := func(t *api.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return []string{
		n.NotifyID, api.Defused(n.MchID), api.Defused(n.OutTradeNo), api.Defused(n.NotifyType),
		string(n.NotifyState), deref(n.HeldReason), strconv.Itoa(n.NotifyCount), strconv.Itoa(n.NotifyCountLimit),
		deref(n.LastVerdict), deref(n.LastReason), instant(&n.CreatedAt), instant(n.LastNotifyTime),
		instant(n.NextNotifyTime), instant(n.SpentAt),
	}
}

// exportJSONL answers a list as JSON lines, each as in the API's list.
func (c *Console) exportJSONL(w http.ResponseWriter, r *request) error {
	return c.export(w, r, "application/jsonl", "jsonl",
		func(out io.Writer, ns []api.NotificationSummary, _ bool) error {
			lines := json.NewEncoder(out)
			for i := range ns {
				if err := lines.Encode(&ns[i]); err != nil {
					return err
				}
			}
			return nil
		})
}

// export writes the filtered list page by page. When the store fails in the middle the connection is cut, so
// that nobody takes a part for the whole.
func (c *Console) export(
	w http.ResponseWriter, r *request, media, ending string,
	write func(out io.Writer, ns []api.NotificationSummary, first bool) error,
) error {
	f, err := filtersOf(r.URL.Query())
	if err != nil {
		return err
	}
	f.Limit = exportPage
	for written := 0; ; {
		list, err := c.service.Notifications(r.Context(), f.Query)
		first := w.Header().Get("Content-Disposition") == ""
		switch {
		case err != nil && first:
			return err
		case err != nil:
			c.log.Error("export broken off", "path", r.URL.Path, "rows", written, "error", err)
			panic(http.ErrAbortHandler)
		case first:
			w.Header().Set("Content-Type", media)
			w.Header().Set("Content-Disposition", `attachment; filename="notifications.`+ending+`"`)
		}
		ns := list.Notifications[:min(len(list.Notifications), exportRowsMax-written)]
		if err := write(w, ns, first); err != nil {
			return nil //nolint:nilerr // the one who asked is gone
		}
		if written += len(ns); list.NextCursor == nil || written >= exportRowsMax {
			return nil
		}
		f.Cursor = *list.NextCursor
	}
}
