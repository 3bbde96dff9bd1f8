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

// body is a request body that nobody has read yet; nil when there is none.
type body struct{ text []byte }

// requestBody documents the body of a route's requests.
func requestBody[T any, P interface {
	*T
	jsonReader
}](a *API) *huma.RequestBody {
	schema := a.doc.Components.Schemas.Schema(P(new(T)).documented(), true, "")
	return &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
}

// read gives the body of a request, or why there is none. No body at all is an empty one.
func read[T any, P interface {
	*T
	jsonReader
}](b *body) (*T, error) {
	value := new(T)
	if b.text == nil {
		return value, nil
	}
	r := readers.Get().(*reader)
	defer r.free()
	r.body = append(r.body[:0], b.text...)
	p := r.document(func() { P(value).readFrom(r) })
	if p == nil {
		p = invalid(r.faults)
	}
	if p != nil {
		return nil, p
	}
	return value, nil
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
