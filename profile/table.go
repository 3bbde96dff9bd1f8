package profile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"paynotify/retry"
	"paynotify/store"
)

// Row is a profile as the documentation's tables show it. It is made from what the code runs on, so that the
// two cannot drift apart.
type Row struct {
	Name       string
	Summary    string
	Method     string
	SignTypes  []string // the first is the default; "none" for an unsigned profile
	Key        string   // what a merchant brings: private_key, secret or –
	Adds       []string // parameters sent besides params
	Headers    []string
	Options    []string // name: value|value, the default first
	NotifyType string   // the default; empty where none is sent
	NotifyID   string   // the parameter or header that carries it; empty where none does
	Charsets   []string // the first is the default
	Ack        string   // in words
	Schedule   string   // name of the default
	Waits      []time.Duration
	Sends      int
	Sum        time.Duration // from the first send to the last
	Overlap    bool          // during a rotation the old key signs too
	AllowQuery bool          // notify_url may have a query without options.allow_query
	Unsigned   bool
}

// Table describes every profile, in the order of All.
func Table() []Row {
	rows := make([]Row, 0, len(all))
	for _, p := range all {
		row := Row{
			Name: p.Name, Summary: p.Summary, Method: p.Method, SignTypes: signTypes(p), Key: p.Key.String(),
			Adds: p.Adds, Headers: p.Headers, NotifyType: p.NotifyType, NotifyID: notifyIDIn(p), Charsets: p.Charsets,
			Ack: AckText(p.Ack), Schedule: p.Schedule, Overlap: p.Overlap, AllowQuery: p.AllowQuery,
			Unsigned: p.Unsigned,
		}
		for _, o := range p.Options {
			row.Options = append(row.Options, o.Name+": "+o.choices())
		}
		if s, err := retry.Parse(p.Schedule); err == nil { // a test parses every profile's
			row.Waits, row.Sends, row.Sum = s.Waits(), s.Sends(), s.Sum()
		}
		rows = append(rows, row)
	}
	return rows
}

// notifyIDIn is the name under which a profile sends the notify_id: ours in forms, and in the JSON dialects
// the one that their providers gave to the identity of an event.
func notifyIDIn(p *Profile) string {
	for _, name := range []string{"notify_id", "webhook-id", "id"} {
		if slices.Contains(p.Adds, name) || slices.Contains(p.Headers, name) {
			return name
		}
	}
	return ""
}

// choices are the values of an option, the default first; of free text the default alone.
func (o *Option) choices() string {
	switch {
	case o.Bool:
		return "false|true"
	case len(o.Values) > 0:
		return strings.Join(o.Values, "|")
	}
	return o.Default
}

// String is the name of the key's part in a request, – for none.
func (k KeyNeed) String() string {
	switch k {
	case KeyRSA:
		return "private_key"
	case KeySecret:
		return "secret"
	case KeyRSAAndSecret:
		return "private_key and secret"
	case KeyWebhook:
		return "secret, private_key for v1a"
	}
	return "–"
}

// AckText says in words which reply a rule takes for the acknowledgement.
func AckText(ack store.Ack) string {
	status := strings.Join(ack.Status, ", ")
	switch ack.Match {
	case matchExact:
		return fmt.Sprintf("HTTP %s and exactly %q", status, ack.Text)
	case matchTrim:
		return fmt.Sprintf("HTTP %s and %q, blanks round it allowed", status, ack.Text)
	case matchTrimFold:
		return fmt.Sprintf("HTTP %s and %q in any letter case, blanks round it allowed", status, ack.Text)
	case matchXML:
		return fmt.Sprintf("HTTP %s and XML with return_code %s", status, ack.Text)
	case matchStatus:
		return "HTTP " + status + ", whatever the body"
	case matchJSONPath:
		return fmt.Sprintf("HTTP %s and JSON with %q at %s", status, ack.Text, ack.Path)
	}
	return ""
}
