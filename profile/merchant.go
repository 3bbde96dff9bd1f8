package profile

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"paynotify/store"
)

// Limits of what a merchant may be set to.
const (
	MaxInflightMax = 1000 // POSTs to one merchant at a time; nobody's shop survives more

	nameCharsMax    = 128
	optionCharsMax  = 256
	hostsMax        = 100
	ackTextBytesMax = 256
	statusesMax     = 32
)

// CommonOptions are the options of every profile.
var CommonOptions = []Option{
	{Name: "partner", Doc: "the merchant's number on the wire and in notify_verify; mch_id by default"},
	{Name: optionHeaderSignature, Bool: true, Doc: "whether x-notify-* headers sign every message with RSA"},
	{Name: "probe", Bool: true, Doc: "whether wrong signatures may be sent to see if the merchant verifies"},
	{Name: "allow_query", Bool: true, Doc: "whether notify_url may have a query although SDKs may refuse it"},
	{Name: "hosts", List: true, Doc: "hosts that a notification's own notify_url may name; all by default"},
}

// CheckMerchant finds everything wrong with a merchant's settings, the address rules of its notify_url left
// aside. It is called with what will be stored, when the merchant is made and at each change.
func CheckMerchant(p *Profile, m *store.Merchant) []Fault {
	faults := checkText(nil, "body.name", m.Name, nameCharsMax)
	faults = append(faults, checkChoice("sign_type", m.SignType, signTypes(p))...)
	faults = append(faults, checkChoice("charset", m.Charset, p.Charsets)...)
	faults = checkText(faults, "body.app_id", m.AppID, nameCharsMax)
	faults = checkValue(faults, "body.app_id", m.AppID, charsetOf(m) == charsetGBK)
	faults = append(faults, checkOptions(p, m)...)
	faults = append(faults, checkAck(p, m)...)
	faults = append(faults, checkHeaders(p, m)...)
	if m.Schedule != "" {
		faults = append(faults, checkSchedule(m.Schedule)...)
	}
	if m.MaxInflight < 0 || m.MaxInflight > MaxInflightMax {
		faults = append(faults, Fault{
			Location: "body.max_inflight", Message: fmt.Sprintf("%d is out of range", m.MaxInflight),
			Cure: fmt.Sprintf("give 1 to %d, or null for the configured default", MaxInflightMax),
		})
	}
	if !(m.RatePerSecond >= 0) || math.IsInf(m.RatePerSecond, 1) { // also refuses NaN
		faults = append(faults, Fault{
			Location: "body.rate_per_second", Message: "it is out of range",
			Cure: "give sends a second, 0 for no limit",
		})
	}
	return append(faults, checkQuery(p, m, m.NotifyURL)...)
}

// unsignedName is what sign_type says for a profile that signs nothing.
const unsignedName = "none"

func signTypes(p *Profile) []string {
	if len(p.SignTypes) == 0 {
		return []string{unsignedName}
	}
	return p.SignTypes
}

func checkChoice(field, value string, choices []string) []Fault {
	if value == "" || slices.Contains(choices, value) {
		return nil
	}
	return []Fault{{
		Location: "body." + field, Message: fmt.Sprintf("%s %s is not offered", field, quote(value)),
		Cure: "take one of: " + strings.Join(choices, ", "),
	}}
}

// options lists what a merchant of the profile may set.
func (p *Profile) options() []Option { return slices.Concat(p.Options, CommonOptions) }

func checkOptions(p *Profile, m *store.Merchant) (faults []Fault) {
	known := p.options()
	for _, name := range slices.Sorted(maps.Keys(m.Options)) {
		at := slices.IndexFunc(known, func(o Option) bool { return o.Name == name })
		if at < 0 {
			var names []string
			for _, o := range known {
				names = append(names, o.Name)
			}
			faults = append(faults, Fault{
				Location: "body.options." + name,
				Message:  fmt.Sprintf("profile %s has no option %s", p.Name, quote(name)),
				Cure:     "it takes: " + strings.Join(names, ", "),
			})
			continue
		}
		if message, cure := optionFault(known[at], m.Options[name]); message != "" {
			faults = append(faults, Fault{Location: "body.options." + name, Message: message, Cure: cure})
		}
	}
	return faults
}

// optionFault says what is wrong with the value of an option; both texts are empty when nothing is.
func optionFault(o Option, value any) (message, cure string) {
	switch {
	case o.Bool:
		if _, ok := value.(bool); !ok {
			return "it is no boolean", "give true or false"
		}
	case o.List:
		return hostsFault(value)
	case len(o.Values) > 0:
		if text, ok := value.(string); !ok || !slices.Contains(o.Values, text) {
			return "the value is not offered", "take one of: " + strings.Join(o.Values, ", ")
		}
	default:
		text, ok := value.(string)
		if !ok || text == "" || len(text) > optionCharsMax || hasControl(text) {
			return "it is no text of one line",
				fmt.Sprintf("give a string of 1 to %d characters, or leave it out", optionCharsMax)
		}
		if faults := checkValue(nil, "", text, false); len(faults) > 0 {
			return faults[0].Message, faults[0].Cure
		}
		if o.Check != nil {
			return o.Check(text)
		}
	}
	return "", ""
}

func hostsFault(value any) (message, cure string) {
	cure = fmt.Sprintf("give a list of 1 to %d host names without scheme and port", hostsMax)
	if !isTextList(value) {
		return "it is no list of strings", cure
	}
	hosts := optionList(value)
	if len(hosts) == 0 || len(hosts) > hostsMax {
		return fmt.Sprintf("it has %d entries", len(hosts)), cure
	}
	for _, host := range hosts {
		if host == "" || len(host) > optionCharsMax || strings.ContainsAny(host, "/@?#*\\ ") || hasControl(host) {
			return quote(host) + " is no host name", cure
		}
	}
	return "", ""
}

// optionText is a text option of a merchant, or other when it is not set.
func optionText(m *store.Merchant, name, other string) string {
	if text, ok := m.Options[name].(string); ok && text != "" {
		return text
	}
	return other
}

func optionBool(m *store.Merchant, name string) bool {
	on, _ := m.Options[name].(bool)
	return on
}

// optionList reads a list of strings as code gives it, or as it comes out of JSON.
func optionList(value any) []string {
	switch list := value.(type) {
	case []string:
		return list
	case []any:
		texts := make([]string, 0, len(list))
		for _, item := range list {
			if text, ok := item.(string); ok {
				texts = append(texts, text)
			}
		}
		return texts
	}
	return nil
}

func isTextList(value any) bool {
	switch list := value.(type) {
	case []string:
		return true
	case []any:
		return len(optionList(value)) == len(list)
	}
	return false
}

// Partner is the merchant's number on the wire and in notify_verify.
func Partner(m *store.Merchant) string { return optionText(m, "partner", m.MchID) }

// Defaults is the merchant as it is shown: every setting that it leaves to its profile filled in. The
// original is not changed.
func Defaults(p *Profile, m *store.Merchant) store.Merchant {
	full := *m
	full.SignType = signTypeOf(m, signTypes(p))
	full.Charset = charsetOf(m)
	full.Schedule = cmp.Or(m.Schedule, p.Schedule)
	full.Ack = AckPolicy(p, m)
	full.Options = make(map[string]any, len(m.Options)+len(p.Options)+len(CommonOptions))
	for _, o := range p.options() {
		switch {
		case o.Bool:
			full.Options[o.Name] = false
		case len(o.Values) > 0:
			full.Options[o.Name] = o.Values[0]
		case o.Default != "":
			full.Options[o.Name] = o.Default
		}
	}
	full.Options["partner"] = m.MchID
	maps.Copy(full.Options, m.Options)
	return full
}

// Warnings names what is weak in a merchant's settings though it is allowed.
func Warnings(p *Profile, m *store.Merchant) (texts []string) {
	if len(m.NotifyURL) >= 5 && strings.EqualFold(m.NotifyURL[:5], "http:") {
		texts = append(texts, "notify_url is http: anybody on the way can read and change notifications; use https")
		if len(m.Headers) > 0 {
			texts = append(texts, "notify_url is http: anybody on the way can read the merchant's own headers")
		}
		if len(m.TLS) > 0 {
			texts = append(texts, "notify_url is http: the tls settings have no effect")
		}
	}
	if !Signs(p, m) {
		texts = append(texts, "profile "+p.Name+" is unsigned: who learns the notify_url can forge a payment")
	}
	switch signTypeOf(m, p.SignTypes) {
	case "RSA":
		texts = append(texts, "sign_type RSA is SHA-1, which current SDKs refuse; use RSA2")
	case "MD5":
		texts = append(texts, "sign_type MD5 is weak; use a profile with RSA where the merchant can")
	}
	if optionBool(m, "allow_query") && strings.Contains(m.NotifyURL, "?") && !p.AllowQuery {
		texts = append(texts, "notify_url has a query: many SDKs of profile "+p.Name+" will refuse the signature")
	}
	for _, reason := range m.Ack.Lenient {
		texts = append(texts, "ack.lenient accepts "+string(reason)+": a reply that was no ack may count as one")
	}
	for _, status := range m.Ack.Status {
		if n, err := strconv.Atoi(status); err == nil && n >= 400 {
			texts = append(texts, "ack.status accepts "+status+", which says that the merchant failed")
		}
	}
	return texts
}
