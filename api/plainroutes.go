package api

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// The routes that are plain handlers: the hot path, streams, and what answers without a key. Their part of
// the OpenAPI document is written by hand here, with the same types.

func (a *API) plainRoutes() {
	t := routes{a, a.mux}
	t.HandleFunc("POST /v1/notifications", a.postNotification)
	t.HandleFunc("POST /v1/notifications/batch", a.postBatch)
	t.HandleFunc("GET /v1/backup", a.backup)
	t.HandleFunc("GET /v1/merchants/{mch_id}/statement", a.statement)
	t.HandleFunc("GET /gateway.do", a.gateway)
	t.HandleFunc("GET /trade/notify_query.do", a.notifyQuery)
	t.HandleFunc("GET /healthz", a.health)
	t.HandleFunc("GET /readyz", a.readiness)
	t.HandleFunc("GET /metrics", a.scrape)
	t.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = mediaJSON
		_, _ = w.Write(a.spec)
	})
	t.HandleFunc("/", a.missing)

	a.documentIngest()
	a.documentLegacy()
	a.documentOperating()
	a.documentStatement()
}

// schema documents a type, as a reference where it has a name.
func (a *API) schema(t reflect.Type) *huma.Schema {
	return a.doc.Components.Schemas.Schema(t, true, t.Name())
}

func jsonContent(s *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: s}}
}

func (a *API) documentIngest() {
	receipt := jsonContent(a.schema(reflect.TypeFor[Receipt]()))
	request := a.schema(reflect.TypeFor[NotificationRequest]())
	// Params is any JSON object; raw bytes would be documented as an array of numbers.
	params := a.doc.Components.Schemas.Map()["NotificationRequest"].Properties["params"]
	*params = huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: params.Description}
	one := problemResponses(a.doc, []int{400, 401, 404, 408, 409, 413, 415, 422, 503})
	one["202"] = &huma.Response{Description: "Accepted, and durable", Content: receipt}
	one["200"] = &huma.Response{
		Description: "Accepted before under the same key: the first answer once more", Content: receipt,
		Headers: map[string]*huma.Param{"Idempotency-Replayed": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
	a.doc.AddOperation(&huma.Operation{
		OperationID: "accept-notification", Method: "POST", Path: "/v1/notifications", Tags: tagNotifications,
		Summary:     "Accept one notification",
		Description: "Answers when it is durable. Without an Idempotency-Key every POST is a new notification.",
		Responses:   one,
		Parameters: []*huma.Param{{
			Name: "Idempotency-Key", In: "header", Description: "1–255 visible ASCII characters, scoped to mch_id",
			Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(idempotencyKeyMax)},
		}},
		RequestBody: &huma.RequestBody{Required: true, Content: jsonContent(request)},
	})
	many := problemResponses(a.doc, []int{400, 401, 408, 413, 415, 422, 503})
	many["200"] = &huma.Response{Description: "One result per item, in order", Content: jsonContent(
		object("results", &huma.Schema{Type: huma.TypeArray, Items: a.schema(reflect.TypeFor[BatchItem]())}),
	)}
	a.doc.AddOperation(&huma.Operation{
		OperationID: "accept-batch", Method: "POST", Path: "/v1/notifications/batch", Tags: tagNotifications,
		Summary: "Accept up to 1000 notifications, each for itself", Responses: many,
		RequestBody: &huma.RequestBody{Required: true, Content: jsonContent(object("notifications", &huma.Schema{
			Type: huma.TypeArray, Items: request, MinItems: new(1), MaxItems: new(batchItemsMax),
		}))},
	})
}

func (a *API) documentLegacy() {
	word := map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{
		Type: huma.TypeString, Enum: []any{"true", "false", "invalid"},
	}}}
	text := &huma.Schema{Type: huma.TypeString}
	asks := []*huma.Param{
		{Name: "partner", In: "query", Schema: text, Description: "mch_id or options.partner"},
		{Name: "notify_id", In: "query", Schema: text},
	}
	for _, op := range []*huma.Operation{{
		OperationID: "notify-verify", Path: "/gateway.do",
		Parameters: append([]*huma.Param{{
			Name: "service", In: "query", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"notify_verify"}},
		}}, asks...),
	}, {OperationID: "notify-query", Path: "/trade/notify_query.do", Parameters: asks}} {
		op.Method, op.Tags, op.Summary = "GET", tagLegacy, "Is this notification ours, and still owed?"
		op.Responses = map[string]*huma.Response{
			"200": {Description: "One word, without a newline", Content: word},
			"429": {Description: "Asked too often; the body is empty"},
			"503": {Description: "No answer now; the body is empty"},
		}
		a.doc.AddOperation(op)
	}
}

func (a *API) documentOperating() {
	ready := jsonContent(a.schema(reflect.TypeFor[ReadyView]()))
	text := &huma.Schema{Type: huma.TypeString}
	copyOf := problemResponses(a.doc, []int{401, 409, 503})
	copyOf["200"] = &huma.Response{Description: "The copy", Content: map[string]*huma.MediaType{
		"application/vnd.sqlite3": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}
	scraped := problemResponses(a.doc, []int{401, 404})
	scraped["200"] = &huma.Response{Description: "Prometheus metrics", Content: map[string]*huma.MediaType{
		"text/plain": {Schema: text},
	}}
	for _, op := range []*huma.Operation{
		{
			OperationID: "backup", Path: "/v1/backup", Summary: "Copy the embedded store while it works",
			Description: "A process started on the copy has sending paused.", Responses: copyOf,
		},
		{
			OperationID: "healthz", Path: "/healthz", Summary: "The process lives",
			Responses: map[string]*huma.Response{"200": {
				Description: "It does", Content: jsonContent(object("status", text)),
			}},
		},
		{
			OperationID: "readyz", Path: "/readyz", Summary: "It can accept and send",
			Responses: map[string]*huma.Response{
				"200": {Description: "It can", Content: ready}, "503": {Description: "It cannot", Content: ready},
			},
		},
		{
			OperationID: "metrics", Path: "/metrics", Summary: "Metrics, for loopback peers and keys",
			Responses: scraped,
		},
		{
			OperationID: "openapi", Path: "/openapi.json", Summary: "This document",
			Responses: map[string]*huma.Response{"200": {
				Description: "OpenAPI 3.1", Content: jsonContent(&huma.Schema{Type: huma.TypeObject}),
			}},
		},
	} {
		op.Method, op.Tags = "GET", tagOperating
		a.doc.AddOperation(op)
	}
}

// creationBody documents what creating a merchant takes.
func (a *API) creationBody() *huma.RequestBody {
	return &huma.RequestBody{Content: jsonContent(&huma.Schema{
		AllOf:    []*huma.Schema{a.schema(reflect.TypeFor[MerchantRequest]())},
		Required: []string{"mch_id", "profile", "notify_url"},
	})}
}

// patchBody documents a merge patch: the same members, all of them optional, null for the default.
func (a *API) patchBody() *huma.RequestBody {
	a.schema(reflect.TypeFor[MerchantRequest]())
	whole := a.doc.Components.Schemas.Map()["MerchantRequest"]
	patch := &huma.Schema{
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: false,
	}
	for name, s := range whole.Properties {
		switch {
		case name == "mch_id", name == "profile", name == "key":
			continue
		case s.Ref != "":
			s = &huma.Schema{AnyOf: []*huma.Schema{s, {Type: "null"}}}
		default:
			nullable := *s
			nullable.Nullable, nullable.Enum = true, nil // an enum would have to list null
			s = &nullable
		}
		patch.Properties[name] = s
	}
	content := jsonContent(patch)
	content["application/merge-patch+json"] = content["application/json"]
	return &huma.RequestBody{Content: content}
}

// object documents an object with one required member.
func object(member string, s *huma.Schema) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{member: s}, Required: []string{member},
	}
}
