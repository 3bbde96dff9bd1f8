package profile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"paynotify/store"
)

// The ways in which a reply can be matched; see Judge.
const (
	matchExact    = "exact"           // the body is the text, byte for byte
	matchTrim     = "trim"            // with one byte order mark and ASCII white space round it forgiven
	matchTrimFold = "trim_fold"       // and in any letter case
	matchXML      = "xml_return_code" // an XML document with <return_code>SUCCESS</return_code> below its root
	matchStatus   = "status"          // the status alone
	matchJSONPath = "json_path"       // the text stands at a path of a JSON document
)

var matches = []string{matchExact, matchTrim, matchTrimFold, matchXML, matchStatus, matchJSONPath}

// returnCode is what <return_code> must say; WeChat knows no other word.
const returnCode = "SUCCESS"

var onlyOK = []string{"200"}

// AckPolicy is what a merchant's replies are judged by: its own rule, with the profile's filled in where it
// says nothing, and without a text or path that its way of matching has no use for: such are left over when
// only ack.match was changed. The result shares slices with its sources: read-only.
func AckPolicy(p *Profile, m *store.Merchant) store.Ack {
	ack, own := m.Ack, p.Ack
	if ack.Match == "" {
		ack.Match = own.Match
	}
	same := ack.Match == own.Match
	if len(ack.Status) == 0 {
		ack.Status = onlyOK
		if same {
			ack.Status = own.Status
		}
	}
	if ack.Match != matchJSONPath {
		ack.Path = ""
	}
	switch ack.Match {
	case matchStatus:
		ack.Text = ""
	case matchXML:
		ack.Text = returnCode
	default:
		if ack.Text == "" && same {
			ack.Text = own.Text
		}
		ack.Text = cmp.Or(ack.Text, "success")
	}
	return ack
}

// checkAck checks a merchant's own rule.
func checkAck(p *Profile, m *store.Merchant) (faults []Fault) {
	add := func(field, message, cure string) {
		faults = append(faults, Fault{Location: "body.ack." + field, Message: message, Cure: cure})
	}
	own, ack := m.Ack, AckPolicy(p, m)
	if !slices.Contains(matches, ack.Match) {
		add("match", fmt.Sprintf("ack.match %s is unknown", quote(ack.Match)),
			"take one of: "+strings.Join(matches, ", "))
		return faults
	}
	switch {
	case len(ack.Text) > ackTextBytesMax:
		add("text", fmt.Sprintf("it has %d bytes", len(ack.Text)), fmt.Sprintf("give at most %d", ackTextBytesMax))
	case ack.Match != matchExact && ack.Match != matchJSONPath && string(trimAck([]byte(ack.Text))) != ack.Text:
		add("text", "it begins or ends with white space, which is taken off replies", "take the white space off")
	}
	if _, err := parsePath(ack.Path); err != nil && ack.Match == matchJSONPath {
		add("path", err.Error(), "give the way to the value, like data.code or $.results[0].code")
	}
	if len(own.Status) > statusesMax {
		add("status", fmt.Sprintf("it has %d entries", len(own.Status)),
			fmt.Sprintf("give at most %d", statusesMax))
	}
	for _, entry := range own.Status {
		if !validStatus(entry) {
			add("status", fmt.Sprintf("ack.status %s cannot acknowledge anything", quote(entry)),
				"give integers of 200 to 299 or 400 to 599, or \"2xx\"; a redirect is never followed and never an ack")
		}
	}
	for _, reason := range own.Lenient {
		if !reason.NearMiss() {
			add("lenient", quote(string(reason))+" is no near-miss", "take some of: "+strings.Join(nearMisses(), ", "))
		}
	}
	return faults
}

func validStatus(entry string) bool {
	if entry == "2xx" {
		return true
	}
	n, err := strconv.Atoi(entry)
	return err == nil && len(entry) == 3 && (n >= 200 && n < 300 || n >= 400 && n < 600)
}

func nearMisses() (names []string) {
	for _, r := range store.Reasons {
		if r.NearMiss() {
			names = append(names, string(r))
		}
	}
	return names
}

// statusIn reports whether one of the entries, "200" or "2xx", covers the status.
func statusIn(entries []string, status int) bool {
	for _, e := range entries {
		if len(e) != 3 || int(e[0]-'0') != status/100 {
			continue
		}
		if e[1:] == "xx" || int(e[1]-'0') == status/10%10 && int(e[2]-'0') == status%10 {
			return true
		}
	}
	return false
}
