package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// jsonReader is a request body that reads itself.
type jsonReader interface {
	readFrom(r *reader)
	// documented is the exported type that describes the body in the OpenAPI document.
	documented() reflect.Type
}

// body carries a request body through huma: read strictly by our reader where huma would take duplicate
// members and lose the byte offset, documented through huma's registry.
type body[T any, P interface {
	*T
	jsonReader
}] struct {
	value   T
	problem *Problem
}

// filler is what the JSON format of huma unmarshals into.
type filler interface{ fill(text []byte) }

func (b *body[T, P]) fill(text []byte) {
	r := readers.Get().(*reader)
	defer r.free()
	r.body = append(r.body[:0], text...)
	if b.problem = r.document(func() { P(&b.value).readFrom(r) }); b.problem == nil {
		b.problem = invalid(r.faults)
	}
}

// read gives the body, or why there is none.
func (b *body[T, P]) read() (*T, error) {
	if b.problem != nil {
		return nil, b.problem
	}
	return &b.value, nil
}

// Schema documents the body.
func (b body[T, P]) Schema(registry huma.Registry) *huma.Schema {
	var none P
	return registry.Schema(none.documented(), true, "")
}

// The small bodies of the other routes.

func (*PauseRequest) documented() reflect.Type { return reflect.TypeFor[PauseRequest]() }

func (req *PauseRequest) readFrom(r *reader) {
	r.object("body", []string{"reason", "until"}, func(name string) {
		switch name {
		case "reason":
			req.Reason = r.reason()
		case "until":
			req.Until = r.instant("body.until")
		}
	})
}

// ReasonRequest is the body of resume and cancel; all of it is optional.
type ReasonRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"256" doc:"For the log"`
}

func (*ReasonRequest) documented() reflect.Type { return reflect.TypeFor[ReasonRequest]() }

func (req *ReasonRequest) readFrom(r *reader) {
	r.object("body", []string{"reason"}, func(string) { req.Reason = r.reason() })
}

// ResendRequest is the body of resend; all of it is optional.
type ResendRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"256" doc:"For the log"`
	Force  bool   `json:"force,omitempty" doc:"Also a notification that the merchant has acknowledged"`
}

func (*ResendRequest) documented() reflect.Type { return reflect.TypeFor[ResendRequest]() }

func (req *ResendRequest) readFrom(r *reader) {
	r.object("body", []string{"reason", "force"}, func(name string) {
		switch name {
		case "reason":
			req.Reason = r.reason()
		case "force":
			req.Force = r.boolean("body.force")
		}
	})
}

// SendingRequest is the body that turns the global switch.
type SendingRequest struct {
	Paused bool   `json:"paused" doc:"true stops all sending, on every node; accepting goes on"`
	Reason string `json:"reason,omitempty" maxLength:"256"`
}

func (*SendingRequest) documented() reflect.Type { return reflect.TypeFor[SendingRequest]() }

func (req *SendingRequest) readFrom(r *reader) {
	given := false
	if r.object("body", []string{"paused", "reason"}, func(name string) {
		switch name {
		case "paused":
			given = true
			req.Paused = r.boolean("body.paused")
		case "reason":
			req.Reason = r.reason()
		}
	}) && !given {
		r.fault("body.paused", "is missing", "give true to stop sending, false to start it")
	}
}

// reasonMax bounds what people write for others to read, in characters.
const reasonMax = 256

func (r *reader) reason() string {
	const at = "body.reason"
	text := r.optionalText(at)
	switch runes := []rune(text); {
	case len(runes) > reasonMax:
		r.fault(at, "has more than "+itoa(reasonMax)+" characters", "shorten it")
	case containsControl(text):
		r.fault(at, "has a control character", "remove it")
	}
	return text
}

func containsControl(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] == 0x7f {
			return true
		}
	}
	return false
}
