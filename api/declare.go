package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// How routes are declared: with the types that they take and answer, of which huma makes the OpenAPI
// document. Requests are read by bind.go, see there.

var (
	tagMerchants     = []string{"merchants"}
	tagNotifications = []string{"notifications"}
	tagOperating     = []string{"operating"}
	tagAccess        = []string{"access"}
	tagLegacy        = []string{"legacy"}
)

// declare registers all routes and makes the OpenAPI document.
func (a *API) declare(version string) {
	a.doc = &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "paynotify", Version: version,
			Description: "Payment notifications that arrive: accepted durably, signed in the provider's dialect, " +
				"sent again on the schedule until the merchant acknowledges.",
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{"key": {
				Type: "http", Scheme: "bearer",
				Description: "An API key (pn_…) or auth.admin_key. An operation lists the roles that may use it. " +
					"While there is no key for an admin, loopback peers need none.",
			}},
		},
	}
	a.merchantRoutes()
	a.laneRoutes()
	a.probeRoutes()
	a.notificationRoutes()
	a.evidenceRoutes()
	a.replayRoutes()
	a.lookingRoutes()
	a.slaRoutes()
	a.gapsRoutes()
	a.keyRoutes()
	a.auditRoutes()
	a.linkRoutes()
	a.plainRoutes()
	a.documentAccess()
	a.spec = document(a.doc)
}

// routeOption changes how a route is declared.
type routeOption int

const bodyOptional routeOption = iota + 1

// declare registers one route whose handler is a call to Service.
func declare[I, T any](
	a *API, op huma.Operation, statuses []int, call func(ctx context.Context, in *I) (T, error),
	options ...routeOption,
) {
	a.register(op, statuses, reflect.TypeFor[I](), reflect.TypeFor[answered[T]](), options,
		func(ctx context.Context, in any) (any, error) { return call(ctx, in.(*I)) })
}

// declareSilent is declare for a route whose answer has no body.
func declareSilent[I any](
	a *API, op huma.Operation, statuses []int, call func(ctx context.Context, in *I) error,
) {
	a.register(op, statuses, reflect.TypeFor[I](), nil, nil,
		func(ctx context.Context, in any) (any, error) { return nil, call(ctx, in.(*I)) })
}

// statusAnswer is an answer whose status depends on what was asked.
type statusAnswer interface{ answer() (status int, body any) }

// answered has the schema of a body.
type answered[T any] struct{ Body T }

// register documents a route and makes it answer. answer is the type whose field Body it answers with; nil =
// nothing.
func (a *API) register(
	op huma.Operation, statuses []int, input, answer reflect.Type, options []routeOption,
	call func(ctx context.Context, in any) (any, error),
) {
	d := &declared{op: &op, input: input, call: call}
	d.params = a.parametersOf(&op, input)
	if _, hasBody := input.FieldByName(bodyField); hasBody {
		d.bodyRequired = !slices.Contains(options, bodyOptional)
		op.RequestBody.Required = d.bodyRequired
		statuses = append(slices.Clone(statuses), 400, 413, 415)
	}
	op.DefaultStatus = cmp.Or(op.DefaultStatus, http.StatusOK)
	op.Responses = problemResponses(a.doc, append(slices.Clone(statuses), 401, 422, 500, 503))
	good := &huma.Response{Description: http.StatusText(op.DefaultStatus)}
	if answer != nil {
		field, _ := answer.FieldByName(bodyField)
		schema := huma.SchemaFromField(a.doc.Components.Schemas, field, op.OperationID+"Response")
		good.Content = jsonContent(schema)
	}
	op.Responses[strconv.Itoa(op.DefaultStatus)] = good
	a.doc.AddOperation(&op)
	routes{a, a.mux}.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		a.serveDeclared(d, w, r)
	})
}

// withBody calls with a body that could be read.
func withBody[T any, P interface {
	*T
	jsonReader
}, R any](b *body, call func(*T) (R, error)) (R, error) {
	v, err := read[T, P](b)
	if err != nil {
		var none R
		return none, err
	}
	return call(v)
}

// problemResponses documents the error answers of a route.
func problemResponses(doc *huma.OpenAPI, statuses []int) map[string]*huma.Response {
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	out := map[string]*huma.Response{}
	for _, status := range statuses {
		out[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status),
			Content:     map[string]*huma.MediaType{problemMediaType: {Schema: schema}},
		}
	}
	return out
}

// parameterCure describes what a parameter takes.
func parameterCure(s *huma.Schema) string {
	switch {
	case len(s.Enum) > 0:
		var names []string
		for _, v := range s.Enum {
			names = append(names, fmt.Sprint(v))
		}
		return "give one of " + strings.Join(names, ", ")
	case s.Type == huma.TypeInteger && s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("give a whole number from %v to %v", *s.Minimum, *s.Maximum)
	case s.Format == "date-time":
		return "write it like 2026-11-21T10:42:07Z, with a zone"
	case s.MaxLength != nil:
		return "give at most " + strconv.Itoa(*s.MaxLength) + " characters"
	}
	return "correct it"
}

// documentAccess says of every operation which roles may use it, and how it refuses the others.
func (a *API) documentAccess() {
	for path, item := range a.doc.Paths {
		for method, op := range map[string]*huma.Operation{
			"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete,
		} {
			rule := routeAccess[method+" "+path]
			if op == nil || rule.open {
				continue
			}
			op.Security = []map[string][]string{{"key": roleNames(rule.roles)}}
			if rule.loopback {
				op.Security = append(op.Security, map[string][]string{})
			}
			maps.Copy(op.Responses, problemResponses(a.doc, []int{401, 403, 429}))
		}
	}
}

// document writes the OpenAPI document, indented so that its changes can be reviewed.
func document(spec *huma.OpenAPI) []byte {
	text, err := json.Marshal(spec)
	if err != nil {
		panic(fmt.Sprintf("OpenAPI document: %v", err)) // only a change of this package can cause it
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		panic(fmt.Sprintf("OpenAPI document: %v", err))
	}
	out.WriteByte('\n')
	return out.Bytes()
}
