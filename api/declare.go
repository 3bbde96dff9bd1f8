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
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"paynotify/profile"
)

// How routes are declared: through huma, which reads and checks parameters and writes the OpenAPI document.
// What huma would do in its own words (errors, bodies) is turned into ours here.

var (
	tagMerchants     = []string{"merchants"}
	tagNotifications = []string{"notifications"}
	tagOperating     = []string{"operating"}
	tagAccess        = []string{"access"}
	tagLegacy        = []string{"legacy"}
)

// declare registers all routes and makes the OpenAPI document.
func (a *API) declare(version string) {
	format := huma.Format{
		Marshal: encodeJSON,
		Unmarshal: func(text []byte, v any) error {
			into, ours := v.(filler)
			if !ours {
				return fmt.Errorf("body of type %T", v)
			}
			into.fill(text)
			return nil
		},
	}
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
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
		},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{translate},
	}
	a.huma = humago.New(routes{a, a.mux}, config)
	a.merchantRoutes()
	a.laneRoutes()
	a.probeRoutes()
	a.notificationRoutes()
	a.evidenceRoutes()
	a.lookingRoutes()
	a.keyRoutes()
	a.auditRoutes()
	a.plainRoutes()
	a.documentAccess()
	a.spec = document(a.huma.OpenAPI())
}

// routeOption changes how a route is declared.
type routeOption int

const bodyOptional routeOption = iota + 1

// declare registers one route whose handler is a call to Service.
func declare[I, T any](
	a *API, op huma.Operation, statuses []int, call func(ctx context.Context, in *I) (T, error),
	options ...routeOption,
) {
	body := a.prepare(&op, reflect.TypeFor[I](), statuses)
	field, _ := reflect.TypeFor[answered[T]]().FieldByName("Body")
	schema := huma.SchemaFromField(a.huma.OpenAPI().Components.Schemas, field, op.OperationID+"Response")
	op.Responses[strconv.Itoa(cmp.Or(op.DefaultStatus, http.StatusOK))] = &huma.Response{
		Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*answer, error) {
		v, err := called(ctx, a, op, in, call)
		if err != nil {
			return nil, err
		}
		return &answer{v}, nil
	})
	if slices.Contains(options, bodyOptional) {
		body.Required = false
	}
}

// declareSilent is declare for a route whose answer has no body.
func declareSilent[I any](
	a *API, op huma.Operation, statuses []int, call func(ctx context.Context, in *I) error,
) {
	a.prepare(&op, reflect.TypeFor[I](), statuses)
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*struct{}, error) {
		return called(ctx, a, op, in, func(ctx context.Context, in *I) (*struct{}, error) {
			return nil, call(ctx, in)
		})
	})
}

// prepare sets what all routes have in common, and returns the documentation of the body of requests.
func (a *API) prepare(op *huma.Operation, input reflect.Type, statuses []int) *huma.RequestBody {
	op.SkipValidateBody = true // our reader does, and says more
	op.MaxBodyBytes = managementBytesMax + 1
	op.BodyReadTimeout = bodyReadMin
	if _, hasBody := input.FieldByName("Body"); hasBody {
		if op.RequestBody == nil {
			op.RequestBody = &huma.RequestBody{}
		}
		statuses = append(slices.Clone(statuses), 400, 413, 415)
	}
	op.Responses = problemResponses(a.huma, append(slices.Clone(statuses), 401, 422, 500, 503))
	return op.RequestBody
}

// called calls Service, unless the request names what it may not, and logs what went wrong.
func called[I, T any](
	ctx context.Context, a *API, op huma.Operation, in *I, call func(ctx context.Context, in *I) (T, error),
) (v T, err error) {
	if err = outside(in); err == nil {
		v, err = call(ctx, in)
	}
	if err != nil {
		p := asProblem(err)
		a.logProblem(ctx, op.Method+" "+op.Path, p)
		return v, p
	}
	return v, nil
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
func problemResponses(api huma.API, statuses []int) map[string]*huma.Response {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	out := map[string]*huma.Response{}
	for _, status := range statuses {
		out[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status),
			Content:     map[string]*huma.MediaType{problemMediaType: {Schema: schema}},
		}
	}
	return out
}

// translate turns huma's own errors into problems; ours pass.
func translate(ctx huma.Context, _ string, v any) (any, error) {
	theirs, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	switch theirs.Status {
	case http.StatusUnprocessableEntity:
		faults := make([]profile.Fault, len(theirs.Errors))
		for i, e := range theirs.Errors {
			faults[i] = parameterFault(ctx.Operation(), e)
		}
		slices.SortFunc(faults, func(a, b profile.Fault) int { return strings.Compare(a.Location, b.Location) })
		return invalid(faults), nil
	case http.StatusBadRequest:
		return malformedAt(0, "the body is empty; send one JSON object"), nil
	case http.StatusRequestEntityTooLarge:
		return tooLarge(managementBytesMax), nil
	case http.StatusRequestTimeout:
		return problem(SlugTimeout, "The body did not arrive whole within "+bodyReadMin.String()+"."), nil
	}
	return problem(SlugInternal, "The request could not be read."), nil
}

// parameterFault says what is wrong with a parameter and how it should be.
func parameterFault(op *huma.Operation, e *huma.ErrorDetail) profile.Fault {
	in, name, _ := strings.Cut(e.Location, ".")
	var known []string
	for _, p := range op.Parameters {
		if p.In != in {
			continue
		}
		if p.Name == name {
			return profile.Fault{Location: e.Location, Message: e.Message, Cure: parameterCure(p.Schema)}
		}
		known = append(known, p.Name)
	}
	return unknownName(in, name, in+" parameter", known)
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
	for path, item := range a.huma.OpenAPI().Paths {
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
			maps.Copy(op.Responses, problemResponses(a.huma, []int{401, 403, 429}))
		}
	}
}

// document writes the OpenAPI document, indented so that its changes can be reviewed.
func document(spec *huma.OpenAPI) []byte {
	// huma registers its own error types on the way; no answer has them.
	delete(spec.Components.Schemas.Map(), "ErrorModel")
	delete(spec.Components.Schemas.Map(), "ErrorDetail")
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
