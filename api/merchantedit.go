package api

import (
	"maps"
	"reflect"
	"slices"
	"strconv"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/store"
)

// MerchantRequest is the body that creates a merchant; without mch_id, profile and key it is the one that
// changes it. Only the first three are required.
type MerchantRequest struct {
	MchID         string         `json:"mch_id,omitempty" pattern:"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"`
	Profile       string         `json:"profile,omitempty" doc:"The wire dialect"`
	NotifyURL     string         `json:"notify_url,omitempty" maxLength:"2048"`
	Name          string         `json:"name,omitempty" maxLength:"128"`
	SignType      string         `json:"sign_type,omitempty"`
	AppID         string         `json:"app_id,omitempty"`
	Charset       string         `json:"charset,omitempty" enum:"utf-8,gbk"`
	Key           *KeyRequest    `json:"key,omitempty"`
	Schedule      string         `json:"schedule,omitempty" doc:"A name or a list of waits"`
	Ack           *AckRequest    `json:"ack,omitempty"`
	MaxInflight   int            `json:"max_inflight,omitempty" minimum:"1" maximum:"1000"`
	RatePerSecond float64        `json:"rate_per_second,omitempty" minimum:"0" doc:"0 = no limit"`
	Options       map[string]any `json:"options,omitempty" doc:"Strings, booleans and lists of strings"`
	TLS           *TLSRequest    `json:"tls,omitempty"`

	// Headers are sent to the host of notify_url, and to options.hosts.
	Headers map[string]string `json:"headers,omitempty" doc:"Its own, sent behind ours; null takes one away"`
}

// KeyRequest is a key that the caller brings; what is left out is generated.
type KeyRequest struct {
	PrivateKey string `json:"private_key,omitempty" doc:"RSA-2048 as PEM or bare base64; whsk_… for v1a"`
	Secret     string `json:"secret,omitempty" doc:"HMAC or MD5; standard: whsec_…; wechat_v3: 32 ASCII bytes"`
	Serial     string `json:"serial,omitempty" doc:"wechat_v3: upper-case hex or PUB_KEY_ID_…; default: derived"`
}

// AckRequest sets which reply is an acknowledgement; what is left out stays as it is.
type AckRequest struct {
	Match   string         `json:"match,omitempty" enum:"exact,trim,trim_fold,xml_return_code,status,json_path"`
	Text    string         `json:"text,omitempty"`
	Status  []AckStatus    `json:"status,omitempty" nullable:"false"`
	Path    string         `json:"path,omitempty"`
	Lenient []store.Reason `json:"lenient,omitempty" nullable:"false"`
}

var (
	merchantNames = []string{
		"mch_id", "name", "profile", "notify_url", "sign_type", "app_id", "charset", "key", "schedule", "ack",
		"max_inflight", "rate_per_second", "options", "tls", "headers",
	}
	keyNames = []string{"private_key", "secret", "serial"}
	ackNames = []string{"match", "text", "status", "path", "lenient"}

	// shownNames are members of answers that a caller cannot set; each with the way that can.
	shownNames = map[string]string{
		"state":         "POST …/pause or …/resume",
		"paused_reason": "POST …/pause",
		"paused_until":  "POST …/pause",
		"held_reason":   "it follows from pause, the switch and the address",
		"created_at":    "it never changes",
		"probe":         "POST …/probe",
		"warnings":      "they follow from the other fields",
		"public_key":    "POST …/rotate-key",
		"secret":        "POST …/rotate-key with key.secret",
		"private_key":   "POST …/rotate-key with key.private_key",
	}
)

// merchantEdit is a merge patch over a merchant. Creating one is patching an empty one.
type merchantEdit struct {
	mchID, profile *string // as given; nil = absent or null
	hasKey         bool
	key            profile.Material
	changes        []func(m *store.Merchant, prof *profile.Profile)
	own            ownEdit
	faults         []profile.Fault
}

func (*merchantEdit) documented() reflect.Type { return reflect.TypeFor[MerchantRequest]() }

// apply makes the changes; the maps and slices of m may be shared and are replaced, never changed.
func (e *merchantEdit) apply(m *store.Merchant, prof *profile.Profile) {
	for _, change := range e.changes {
		change(m, prof)
	}
}

func (e *merchantEdit) set(change func(m *store.Merchant)) {
	e.changes = append(e.changes, func(m *store.Merchant, _ *profile.Profile) { change(m) })
}

// readFrom reads the body. Null sets the default.
func (e *merchantEdit) readFrom(r *reader) {
	r.object("body", merchantNames, func(name string) { e.member(r, name) })
	for i, f := range r.faults {
		if how, shown := shownNames[trimBody(f.Location)]; shown && f.Message == "unknown field" {
			r.faults[i].Message, r.faults[i].Cure = "cannot be set here", how
		}
	}
	e.faults, r.faults = r.faults, nil
}

func trimBody(location string) string {
	const prefix = "body."
	if len(location) > len(prefix) {
		return location[len(prefix):]
	}
	return ""
}

func (e *merchantEdit) member(r *reader, name string) {
	at := "body." + name
	text := func(set func(m *store.Merchant, v string)) {
		v := r.optionalText(at)
		e.set(func(m *store.Merchant) { set(m, v) })
	}
	switch name {
	case "mch_id":
		e.mchID = orNil(r.optionalText(at))
	case "profile":
		e.profile = orNil(r.optionalText(at))
	case "name":
		text(func(m *store.Merchant, v string) { m.Name = v })
	case "notify_url":
		text(func(m *store.Merchant, v string) { m.NotifyURL = v })
	case "sign_type":
		text(func(m *store.Merchant, v string) { m.SignType = v })
	case "app_id":
		text(func(m *store.Merchant, v string) { m.AppID = v })
	case "charset":
		text(func(m *store.Merchant, v string) { m.Charset = v })
	case "schedule":
		text(func(m *store.Merchant, v string) { m.Schedule = v })
	case "max_inflight":
		n := 0
		if !r.null() {
			n = r.integer(at, 1, profile.MaxInflightMax)
		}
		e.set(func(m *store.Merchant) { m.MaxInflight = n })
	case "rate_per_second":
		rate := r.rate()
		e.set(func(m *store.Merchant) { m.RatePerSecond = rate })
	case "key":
		e.hasKey = true
		e.key = readKey(r)
	case "ack":
		e.ack(r)
	case "options":
		e.options(r)
	case "tls":
		e.own.readTLS(r)
	case "headers":
		e.own.readHeaders(r)
	}
}

// rate reads the member rate_per_second; null is no limit.
func (r *reader) rate() (perSecond float64) {
	const at = "body.rate_per_second"
	if r.null() {
		return 0
	}
	before := len(r.faults)
	text := r.number(at)
	var err error
	if perSecond, err = strconv.ParseFloat(text, 64); len(r.faults) == before && (err != nil || perSecond < 0) {
		r.fault(at, "must be 0 or more", "give a number of sends per second; 0 sets no limit")
	}
	return perSecond
}

func readKey(r *reader) (key profile.Material) {
	if r.null() {
		return key
	}
	r.object("body.key", keyNames, func(name string) {
		v := r.optionalText("body.key." + name)
		switch name {
		case "private_key":
			key.PrivateKey = v
		case "secret":
			key.Secret = v
		case "serial":
			key.Serial = v
		}
	})
	return key
}

// ack changes the policy that holds, so that {"ack":{"status":["2xx"]}} keeps what the profile says of the
// rest.
func (e *merchantEdit) ack(r *reader) {
	if r.null() {
		e.set(func(m *store.Merchant) { m.Ack = store.Ack{} })
		return
	}
	var changes []func(now *store.Ack, usual store.Ack)
	r.object("body.ack", ackNames, func(name string) {
		if r.null() {
			changes = append(changes, func(now *store.Ack, usual store.Ack) { copyAck(now, usual, name) })
			return
		}
		var given store.Ack
		at := "body.ack." + name
		switch name {
		case "match":
			given.Match = r.text(at)
		case "text":
			given.Text = r.text(at)
		case "path":
			given.Path = r.text(at)
		case "status":
			r.array(at, func(int) { given.Status = append(given.Status, readStatus(r)) })
		case "lenient":
			r.array(at, func(int) { given.Lenient = append(given.Lenient, store.Reason(r.text(at))) })
		}
		changes = append(changes, func(now *store.Ack, _ store.Ack) { copyAck(now, given, name) })
	})
	e.changes = append(e.changes, func(m *store.Merchant, prof *profile.Profile) {
		now := profile.AckPolicy(prof, m)
		for _, change := range changes {
			change(&now, prof.Ack)
		}
		m.Ack = now
	})
}

func copyAck(to *store.Ack, from store.Ack, member string) {
	switch member {
	case "match":
		to.Match = from.Match
	case "text":
		to.Text = from.Text
	case "path":
		to.Path = from.Path
	case "status":
		to.Status = slices.Clone(from.Status)
	case "lenient":
		to.Lenient = slices.Clone(from.Lenient)
	}
}

func readStatus(r *reader) string {
	if r.dec.PeekKind() == '0' {
		return r.number("body.ack.status")
	}
	return r.text("body.ack.status")
}

// options merges member by member; null takes an option back to its default.
func (e *merchantEdit) options(r *reader) {
	if r.null() {
		e.set(func(m *store.Merchant) { m.Options = nil })
		return
	}
	given := map[string]any{}
	r.members("body.options", func(name string) {
		at := "body.options." + name
		switch r.dec.PeekKind() {
		case 'n':
			r.skip()
			given[name] = nil
		case 't', 'f':
			given[name] = r.boolean(at)
		case '"':
			given[name] = r.text(at)
		case '[':
			list := []string{}
			r.array(at, func(int) { list = append(list, r.text(at)) })
			given[name] = list
		default:
			r.wrongKind(at, "a string, true, false or a list of strings")
		}
	})
	e.set(func(m *store.Merchant) {
		merged := map[string]any{}
		maps.Copy(merged, m.Options)
		for name, v := range given {
			if v == nil {
				delete(merged, name)
			} else {
				merged[name] = v
			}
		}
		m.Options = merged
	})
}

// check finds everything wrong with a merchant as it would be stored, besides what reading it found.
func (s *Service) check(read []profile.Fault, prof *profile.Profile, m *store.Merchant) []profile.Fault {
	faults := slices.Clone(read)
	if m.NotifyURL == "" {
		faults = merge(faults, profile.Fault{
			Location: "body.notify_url", Message: "is missing", Cure: "give the address that notifications go to",
		})
	} else if _, bad := s.Rules.CheckURL(m.NotifyURL); bad != nil {
		faults = merge(faults, urlFault(bad))
	}
	return merge(faults, profile.CheckMerchant(prof, m)...)
}

func urlFault(bad *egress.URLError) profile.Fault {
	return profile.Fault{
		Location: "body.notify_url", Message: "refused by rule " + string(bad.Rule), Cure: bad.Cure,
		Slug: SlugNotifyURL,
	}
}
