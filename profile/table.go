package profile

import (
	"fmt"
	"strings"
	"time"

	"paynotify/retry"
	"paynotify/store"
)

// Row is a profile as the documentation's table shows it. It is made from what the code runs on, so that the
// two cannot drift apart.
type Row struct {
	Name      string
	Summary   string
	Method    string
	SignTypes []string // the first is the default; "none" for an unsigned profile
	Key       string   // what a merchant brings: private_key, secret or –
	Adds      []string // parameters sent besides params
	Headers   []string
	Options   []string // name: value|value, the default first
	Ack       string   // in words
	Schedule  string   // name of the default
	Sends     int
	Sum       time.Duration // from the first send to the last
	Unsigned  bool
}

// Table describes every profile, in the order of All.
func Table() []Row {
	rows := make([]Row, 0, len(all))
	for _, p := range all {
		row := Row{
			Name: p.Name, Summary: p.Summary, Method: p.Method, SignTypes: signTypes(p), Key: p.Key.String(),
			Adds: p.Adds, Headers: p.Headers, Ack: AckText(p.Ack), Schedule: p.Schedule, Unsigned: p.Unsigned,
		}
		for _, o := range p.Options {
			row.Options = append(row.Options, o.Name+": "+strings.Join(o.Values, "|"))
		}
		if s, err := retry.Parse(p.Schedule); err == nil { // a test parses every profile's
			row.Sends, row.Sum = s.Sends(), s.Sum()
		}
		rows = append(rows, row)
	}
	return rows
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
