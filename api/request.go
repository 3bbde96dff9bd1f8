package api

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// NotificationRequest is the body of POST /v1/notifications and an item of a batch.
type NotificationRequest struct {
	MchID      string `json:"mch_id" doc:"The merchant" maxLength:"64"`
	NotifyType string `json:"notify_type,omitempty" doc:"Default: the profile's"`
	OutTradeNo string `json:"out_trade_no,omitempty" doc:"The merchant's order number" maxLength:"64"`
	// Params are sent in the order given, numbers as written.
	Params         json.RawMessage `json:"params" doc:"The dialect's own fields, sent in the order given"`
	NotifyURL      string          `json:"notify_url,omitempty" doc:"Instead of the merchant's" maxLength:"2048"`
	Schedule       string          `json:"schedule,omitempty" doc:"Instead of the merchant's"`
	IdempotencyKey string          `json:"idempotency_key,omitempty" doc:"In a batch only" maxLength:"255"`

	emptyKey bool // there was a key, and it was empty
}

// The members of a request, in the order in which people write them.
var (
	requestNames = []string{"mch_id", "notify_type", "out_trade_no", "params", "notify_url", "schedule"}
	itemNames    = append(slices.Clip(requestNames), "idempotency_key")
)

const idempotencyKeyMax = 255 // characters

// readNotification reads one request; names says whether idempotency_key is among its members.
func (r *reader) readNotification(names []string) (n NotificationRequest) {
	if !r.object("body", names, func(name string) {
		switch name {
		case "mch_id":
			n.MchID = r.text("body.mch_id")
		case "notify_type":
			n.NotifyType = r.optionalText("body.notify_type")
		case "out_trade_no":
			n.OutTradeNo = r.optionalText("body.out_trade_no")
		case "params":
			n.Params = r.compact("body.params")
		case "notify_url":
			n.NotifyURL = r.optionalText("body.notify_url")
		case "schedule":
			n.Schedule = r.optionalText("body.schedule")
		case "idempotency_key":
			if !r.null() {
				n.IdempotencyKey = r.text("body.idempotency_key")
				n.emptyKey = n.IdempotencyKey == ""
			}
		}
	}) {
		return n
	}
	if n.MchID == "" && !r.blames("body.mch_id") {
		r.fault("body.mch_id", "is missing", "name the merchant")
	}
	if n.Params == nil && !r.blames("body.params") {
		r.fault("body.params", "is missing", "give the notification's fields as an object; it may be {}")
	}
	return n
}

// blames reports whether something at that place was found wrong already.
func (r *reader) blames(location string) bool {
	for _, f := range r.faults {
		if f.Location == location {
			return true
		}
	}
	return false
}

// checkIdempotencyKey finds what is wrong with a key.
func checkIdempotencyKey(key string) *Problem {
	const cure = "; give 1–255 visible ASCII characters, a UUID for instance"
	if key == "" || len(key) > idempotencyKeyMax {
		return problem(SlugBadIdempotencyKey, "The idempotency key has "+itoa(len(key))+" characters"+cure+".")
	}
	for i := range len(key) {
		if key[i] <= 0x20 || key[i] >= 0x7f {
			return problem(SlugBadIdempotencyKey, "The idempotency key has an unusable byte at "+itoa(i)+cure+".")
		}
	}
	return nil
}

// digest identifies the content of a request, for its idempotency key: the order of members and white space
// do not count, numbers compare by their literal text.
func (n *NotificationRequest) digest() []byte {
	canonical := append(jsontext.Value(nil), n.Params...)
	// Cannot fail: Params were read strictly.
	_ = canonical.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
	h := sha256.New()
	var size [8]byte
	for _, part := range []string{
		n.MchID, n.NotifyType, n.OutTradeNo, n.NotifyURL, n.Schedule, string(canonical),
	} {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}
