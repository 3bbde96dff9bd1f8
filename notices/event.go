package notices

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"paynotify/store"
)

// The types of events, for the platform.
const (
	TypeSpent     = "notification.spent"
	TypeExhausted = "notification.exhausted"
	TypeHeld      = "merchant.held"
)

// dialect is the profile, and the schedule, of all that the engine tells.
const dialect = "standard"

// event is something to be told to one of the two merchants.
type event struct {
	to         string // store.CallbackMerchant or store.NoticesMerchant
	kind       string // of the type in the message
	key        string // the same event has the same one, whoever tells it
	outTradeNo string
	data       any // becomes params: a struct
}

// ended is the data of an event about a notification that is not owed any more.
type ended struct {
	NotifyID    string        `json:"notify_id"`
	MchID       string        `json:"mch_id"`
	OutTradeNo  string        `json:"out_trade_no"`
	NotifyType  string        `json:"notify_type,omitempty"`
	SpentAt     string        `json:"spent_at,omitempty"`
	NotifyCount int           `json:"notify_count"`
	Verdict     store.Verdict `json:"verdict"`
	Reason      store.Reason  `json:"reason"`
	Status      int           `json:"status,omitempty"` // of the last reply
}

// heldData is the data of an event about a merchant that nothing, or nothing but probes, is sent to.
type heldData struct {
	MchID      string `json:"mch_id"`
	HeldReason string `json:"held_reason"`
	Since      string `json:"since"` // when it was noticed
}

// instant is how times are written.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// endOf is the event that an attempt makes, if it does. An acknowledgement may come more than once (a
// person has resent it, a lost claim was answered too): the key is the same. Exhausted is told of the send
// that used up the schedule, not of a person's later ones.
func endOf(s *store.Settled) (e event, told bool) {
	d := ended{
		NotifyID: s.NotifyID, MchID: s.MchID, OutTradeNo: s.OutTradeNo, NotifyType: s.NotifyType,
		NotifyCount: s.Send, Verdict: s.Verdict, Reason: s.Reason, Status: s.Status,
	}
	e = event{to: store.CallbackMerchant, outTradeNo: s.OutTradeNo}
	switch {
	case s.State == store.Spent && s.Verdict == store.Acked:
		e.kind, e.key = TypeSpent, "spent:"+s.NotifyID
		d.SpentAt = instant(s.StartedAt.Add(s.Duration))
	case exhausts(s):
		e.kind, e.key = TypeExhausted, "exhausted:"+s.NotifyID
	default:
		return event{}, false
	}
	e.data = d
	return e, true
}

func exhausts(s *store.Settled) bool {
	return s.State == store.Exhausted && s.Charged && s.Verdict != store.Acked
}

// heldEvent tells the platform that a merchant is held.
func heldEvent(mchID string, h hold) event {
	return event{
		to: store.CallbackMerchant, kind: TypeHeld, key: heldKey(mchID, h),
		data: heldData{MchID: mchID, HeldReason: h.Reason, Since: instant(h.Since)},
	}
}

func heldKey(mchID string, h hold) string {
	return "held:" + mchID + ":" + h.Reason + ":" + strconv.FormatInt(h.Since.UnixMicro(), 10)
}

// notification is the event as it is accepted. It is the engine's own word, so that its data may name the
// notify_id and notify_type of what it tells about, which callers' params may not. Its content is bound to
// the key alone: the same event told again in other words is a repeat, no conflict.
func (e *event) notification() (store.Notification, error) {
	var params bytes.Buffer
	enc := json.NewEncoder(&params)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e.data); err != nil {
		return store.Notification{}, fmt.Errorf("event %s: %w", e.key, err)
	}
	digest := sha256.Sum256([]byte(e.key))
	return store.Notification{
		MchID: e.to, Profile: dialect, Schedule: dialect, NotifyType: e.kind, OutTradeNo: e.outTradeNo,
		Params: bytes.TrimSpace(params.Bytes()), IdempotencyKey: e.key, ContentDigest: digest[:],
	}, nil
}
