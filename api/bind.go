package api

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/profile"
)

// How a request becomes a route's input. huma.Register does the same, but is compiled once for each type of
// input, at 23 KB, which is half a megabyte of the binary; huma documents, and this reads.

// parameter is one that a route takes.
type parameter struct {
	doc      *huma.Param
	field    int    // of the input
	fallback string // when it is not given
}

// bodyField is the name of the field of an input that takes the body.
const bodyField = "Body"

// declared is a route as it was declared.
type declared struct {
	op           *huma.Operation
	input        reflect.Type
	params       []parameter
	bodyRequired bool
	call         func(ctx context.Context, in any) (any, error)
}

// parametersOf documents the parameters of an input, by its tags.
func (a *API) parametersOf(op *huma.Operation, input reflect.Type) (params []parameter) {
	for i := range input.NumField() {
		f := input.Field(i)
		p := &huma.Param{Name: f.Tag.Get("path"), In: "path", Required: true}
		if p.Name == "" {
			p.Name, p.In, p.Required = f.Tag.Get("query"), "query", false
			p.Explode = new(false)
		}
		if p.Name == "" {
			continue
		}
		p.Schema = huma.SchemaFromField(a.doc.Components.Schemas, f, op.OperationID)
		p.Description = p.Schema.Description
		op.Parameters = append(op.Parameters, p)
		params = append(params, parameter{doc: p, field: i, fallback: f.Tag.Get("default")})
	}
	return params
}

// serveDeclared answers a request of a declared route.
func (a *API) serveDeclared(d *declared, w http.ResponseWriter, r *http.Request) {
	in := reflect.New(d.input)
	err := d.read(in.Elem(), w, r)
	var v any
	if err == nil {
		v, err = d.call(r.Context(), in.Interface())
	}
	status := d.op.DefaultStatus
	if own, does := v.(statusAnswer); does && err == nil {
		status, v = own.answer()
	}
	switch {
	case err != nil:
		a.refuse(w, r, asProblem(err))
	case status == http.StatusNoContent:
		w.WriteHeader(status)
	default:
		writeJSON(w, status, v)
	}
}

// read fills an input with what a request has.
func (d *declared) read(in reflect.Value, w http.ResponseWriter, r *http.Request) error {
	faults := d.readParameters(in, r)
	if len(faults) > 0 {
		return invalid(faults)
	}
	if f := in.FieldByName(bodyField); f.IsValid() {
		return d.readBody(f.Addr().Interface().(*body), w, r)
	}
	return nil
}

// readParameters reads what stands in path and query. guard has seen that nothing is there twice.
func (d *declared) readParameters(in reflect.Value, r *http.Request) (faults []profile.Fault) {
	var query url.Values
	if r.URL.RawQuery != "" {
		query = r.URL.Query()
	}
	if len(query) > 0 {
		faults = unknownIn(query, d.queryNames())
	}
	for _, p := range d.params {
		text := r.PathValue(p.doc.Name)
		if p.doc.In == "query" {
			text = query.Get(p.doc.Name)
		}
		if text == "" {
			text = p.fallback
		}
		if text == "" {
			continue
		}
		if what := p.set(in.Field(p.field), text); what != "" {
			faults = append(faults, profile.Fault{
				Location: p.doc.In + "." + p.doc.Name, Message: what, Cure: parameterCure(p.doc.Schema),
			})
		}
	}
	sortFaults(faults)
	return faults
}

// queryNames are the query parameters that the route has.
func (d *declared) queryNames() (names []string) {
	for _, p := range d.params {
		if p.doc.In == "query" {
			names = append(names, p.doc.Name)
		}
	}
	return names
}

// set sets a field from a text, and says what is wrong with it; empty when nothing is.
func (p *parameter) set(field reflect.Value, text string) (what string) {
	var value any = text
	switch field.Interface().(type) {
	case time.Time:
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return "invalid date/time for format " + time.RFC3339
		}
		field.Set(reflect.ValueOf(t))
		return ""
	case int, int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "invalid integer"
		}
		field.SetInt(n)
		value = n
	default:
		field.SetString(text)
	}
	return outOfRange(p.doc.Schema, value)
}

// outOfRange says what a parameter's schema does not allow about a value; empty when it allows it. Of schemas
// it knows what tags of parameters here say.
func outOfRange(s *huma.Schema, value any) string {
	n, isNumber := value.(int64)
	text, isText := value.(string)
	switch {
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, value):
		names := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			names[i] = fmt.Sprint(v)
		}
		return `expected value to be one of "` + strings.Join(names, ", ") + `"`
	case isNumber && s.Minimum != nil && float64(n) < *s.Minimum:
		return fmt.Sprintf("expected number >= %v", *s.Minimum)
	case isNumber && s.Maximum != nil && float64(n) > *s.Maximum:
		return fmt.Sprintf("expected number <= %v", *s.Maximum)
	case isText && s.MaxLength != nil && utf8.RuneCountInString(text) > *s.MaxLength:
		return fmt.Sprintf("expected length <= %d", *s.MaxLength)
	}
	return ""
}

// readBody reads the body of a request.
func (d *declared) readBody(into *body, w http.ResponseWriter, req *http.Request) error {
	r := readers.Get().(*reader)
	defer r.free()
	limit := cmp.Or(int(d.op.MaxBodyBytes), managementBytesMax)
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWait(limit))) // of its connection
	if p := r.load(w, req, limit); p != nil {
		return p
	}
	if len(r.body) > 0 {
		into.text = bytes.Clone(r.body)
	} else if d.bodyRequired {
		return malformedAt(0, "the body is empty; send one JSON object")
	}
	return nil
}
