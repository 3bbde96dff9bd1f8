package notices

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// The types of notices, for operators. A merchant that is held is told with TypeHeld to both.
const (
	TypeFailing        = "merchant.failing"         // one rung of the ladder
	TypeNearExhaustion = "merchant.near_exhaustion" // notifications that have one send left
	TypeExhausting     = "merchant.exhausting"      // notifications that nobody acknowledged on any send
	TypeMissed         = "events.missed"            // the feed of attempts was cut before it was read
	TypeMany           = "notices.many"             // more notices at once than a person can read
)

// Notice is something that operators should know. It is sent as params, in the order of its fields.
type Notice struct {
	Type string `json:"-"`
	// Text is the whole notice in one or two sentences, for people and for chat rooms.
	Text       string        `json:"text"`
	MchID      string        `json:"mch_id,omitempty"`
	HeldReason string        `json:"held_reason,omitempty"`
	Since      string        `json:"since,omitempty"`
	Percent    int           `json:"percent,omitempty"`   // the rung
	Failed     int           `json:"failed,omitempty"`    // sends…
	Sends      int           `json:"sends,omitempty"`     // …among the last so many
	Count      int           `json:"count,omitempty"`     // notifications, or notices
	NotifyID   string        `json:"notify_id,omitempty"` // of the last of them
	Verdict    store.Verdict `json:"verdict,omitempty"`   // of the last failed send
	Reason     store.Reason  `json:"reason,omitempty"`
	Hint       string        `json:"hint,omitempty"` // the cause and the cure

	at  time.Time
	key string // of the event, where it has one of its own
}

// log writes the notice as a line; every notice is one, sent or not.
func (n *Notice) log(log *slog.Logger) {
	attrs := []slog.Attr{slog.String("notice", n.Type)}
	text := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	number := func(name string, value int) {
		if value != 0 {
			attrs = append(attrs, slog.Int(name, value))
		}
	}
	text("mch_id", n.MchID)
	text("held_reason", n.HeldReason)
	number("percent", n.Percent)
	number("failed", n.Failed)
	number("sends", n.Sends)
	number("count", n.Count)
	text("notify_id", n.NotifyID)
	text("verdict", string(n.Verdict))
	text("reason", string(n.Reason))
	log.LogAttrs(context.Background(), slog.LevelWarn, n.Text, attrs...)
}

// event is the notice as it is told to operators.
func (n *Notice) event() event {
	e := event{to: store.NoticesMerchant, kind: n.Type, key: n.key, data: n}
	if e.key == "" {
		e.key = n.Type + ":" + n.MchID + ":" + strconv.FormatInt(n.at.UnixMicro(), 10)
	}
	return e
}

// lastFailure puts what came of a send into a notice.
func (n *Notice) lastFailure(s *store.Settled) {
	n.NotifyID, n.Verdict, n.Reason = s.NotifyID, s.Verdict, s.Reason
	n.Hint = profile.Explain(s.Reason).Hint()
}

func failingNotice(s *store.Settled, l *ladder, rung int, now time.Time) Notice {
	n := Notice{
		Type: TypeFailing, MchID: s.MchID, Percent: rung, Failed: l.failed(), Sends: l.sends, at: now,
		Text: fmt.Sprintf("Merchant %s fails: %d of its last %d sends were not acknowledged, the last one with %s.",
			s.MchID, l.failed(), l.sends, s.Reason),
	}
	n.lastFailure(s)
	return n
}

func heldNotice(mchID string, h hold, now time.Time) Notice {
	text := "Merchant " + mchID + " is held (" + h.Reason + "): "
	switch h.Reason {
	case store.HeldAddressBlocked:
		text += "its address is one that sends may not reach. Nothing is sent to it until its notify_url changes" +
			" or somebody resumes it."
	case store.HeldBreakerOpen:
		text += "its sends find nobody. Until one is answered, it is probed with one at a time."
	default:
		text += "nothing is sent to it until it is resumed."
	}
	return Notice{
		Type: TypeHeld, MchID: mchID, HeldReason: h.Reason, Since: instant(h.Since), Text: text, at: now,
		key: "notice:" + heldKey(mchID, h),
	}
}

func missedNotice(what string, now time.Time) Notice {
	return Notice{
		Type: TypeMissed, Count: 1, at: now,
		Text: "Events for the platform are missing: " + what + " What became of its notifications meanwhile" +
			" stands in GET /v1/notifications.",
	}
}
