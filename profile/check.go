package profile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"paynotify/retry"
	"paynotify/store"
)

// CommonReserved are the parameter names that are ours alone in every profile: a caller's value would stand
// beside ours, and merchants would verify one and read the other.
var CommonReserved = []string{"notify_id", "notify_time", "sign", "sign_type"}

// notifyTypeCharsMax bounds notify_type; the longest in use has 40.
const notifyTypeCharsMax = 128

// Check finds everything about a notification that its merchant could not be told faithfully, before it is
// accepted. No fault means that every send of it can be encoded and verified. The address rules of its own
// notify_url, and HostAllowed, are left to who parses addresses. It is on the hot path.
func Check(p *Profile, m *store.Merchant, n *store.Notification) []Fault {
	ps, err := ParseParams(n.Params)
	if err != nil {
		return []Fault{{
			Location: "body.params", Message: err.Error(), Cure: "give params as a JSON object, {} for none",
		}}
	}
	if len(ps) > store.ParamsMax {
		return []Fault{{
			Location: "body.params",
			Message:  fmt.Sprintf("params hold %d members", len(ps)),
			Cure:     fmt.Sprintf("give at most %d: receivers drop what goes beyond their own limit", store.ParamsMax),
		}}
	}
	faults := checkOuter(p, m, n)
	for i := range ps {
		faults = checkOurs(faults, p, n, &ps[i])
		faults = checkCard(faults, &ps[i])
	}
	if p.CheckParams != nil {
		faults = append(faults, p.CheckParams(m, n, ps)...)
	}
	return faults
}

// checkOuter checks what stands beside params.
func checkOuter(p *Profile, m *store.Merchant, n *store.Notification) (faults []Fault) {
	faults = checkText(faults, "body.out_trade_no", n.OutTradeNo, store.OutTradeNoCharsMax)
	faults = checkText(faults, "body.notify_type", n.NotifyType, notifyTypeCharsMax)
	if n.NotifyURL != "" {
		faults = append(faults, checkQuery(p, m, n.NotifyURL)...)
	}
	if n.Schedule != "" {
		faults = append(faults, checkSchedule(n.Schedule)...)
	}
	return faults
}

// slugNotifyURL is the problem type of a notify_url that is refused.
const slugNotifyURL = "notify-url"

func checkText(faults []Fault, location, text string, charsMax int) []Fault {
	if len(text) > charsMax && utf8.RuneCountInString(text) > charsMax {
		faults = append(faults, Fault{
			Location: location,
			Message:  fmt.Sprintf("it has %d characters", utf8.RuneCountInString(text)),
			Cure:     fmt.Sprintf("give at most %d", charsMax),
		})
	}
	if hasControl(text) {
		faults = append(faults, Fault{
			Location: location, Message: "it holds a control character", Cure: "take the control characters out",
		})
	}
	return faults
}

func checkSchedule(text string) []Fault {
	_, err := retry.Parse(text)
	if err == nil {
		return nil
	}
	f := Fault{Location: "body.schedule", Message: err.Error(), Cure: "give a schedule's name or list of waits"}
	if wrong := (*retry.ParseError)(nil); errors.As(err, &wrong) {
		f.Message, f.Cure = wrong.Message, wrong.Cure
	}
	return []Fault{f}
}

// checkOurs finds parameters that are ours, or that contradict what stands beside params.
func checkOurs(faults []Fault, p *Profile, n *store.Notification, param *Param) []Fault {
	switch param.Name {
	case "out_trade_no":
		return checkEqual(faults, param, n.OutTradeNo)
	case "notify_type":
		return checkEqual(faults, param, n.NotifyType)
	}
	if reserved(p, param.Name) {
		faults = append(faults, Fault{
			Location: paramAt(param.Name), Slug: "reserved-parameter",
			Message: fmt.Sprintf("parameter %s is paynotify's own", param.Name),
			Cure:    "leave it out: every send writes it",
		})
	}
	return faults
}

func reserved(p *Profile, name string) bool {
	switch name {
	case "notify_id", "notify_time", "sign", "sign_type": // CommonReserved, compared without a loop
		return true
	}
	return slices.Contains(p.Reserved, name)
}

func checkEqual(faults []Fault, param *Param, outer string) []Fault {
	if param.Value == outer && param.Kind < KindObject {
		return faults
	}
	return append(faults, Fault{
		Location: paramAt(param.Name),
		Message:  fmt.Sprintf("parameter %s differs from the %s beside params", param.Name, param.Name),
		Cure:     "give both the same value, or leave it out of params",
	})
}

// HostAllowed reports whether a notification's own notify_url may go to host: any may, unless the merchant's
// options.hosts lists those that may. Ask with the host that will be dialled, in ASCII and without port, not
// with what another parser makes of the URL.
func HostAllowed(m *store.Merchant, host string) bool {
	list, given := m.Options["hosts"]
	if !given {
		return true
	}
	host = strings.TrimSuffix(host, ".")
	for _, allowed := range optionList(list) {
		if strings.EqualFold(strings.TrimSuffix(allowed, "."), host) {
			return true
		}
	}
	return false
}

// checkQuery refuses a notify_url with a query where the provider's SDKs merge the query into what they
// verify.
func checkQuery(p *Profile, m *store.Merchant, notifyURL string) []Fault {
	if !strings.Contains(notifyURL, "?") {
		return nil
	}
	f := Fault{Location: "body.notify_url", Slug: slugNotifyURL}
	switch {
	case !p.AllowQuery && !optionBool(m, "allow_query"):
		f.Message = "a notify_url of profile " + p.Name + " may have no query:" +
			" many SDKs count its parameters as signed ones and refuse the signature"
		f.Cure = "put what the query says into the path, or set options.allow_query to true"
	case optionText(m, "sign_type_in", "") == "query":
		f.Message = "options.sign_type_in is query, and the notify_url has a query of its own"
		f.Cure = "take the query off, or set options.sign_type_in to omit"
	default:
		return nil
	}
	return []Fault{f}
}

// hasControl reports whether text holds a C0 control character or DEL.
func hasControl(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return true
		}
	}
	return false
}

// paramAt is the location of a parameter in the caller's request.
func paramAt(name string) string { return "body.params." + cutName(name) }

// cutName cuts a caller's name where it gets too long to show.
func cutName(name string) string {
	const shown = 100
	if len(name) > shown {
		name = strings.ToValidUTF8(name[:shown], "") + "…"
	}
	return name
}
