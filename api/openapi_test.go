package api_test

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
)

var update = flag.Bool("update", false, "rewrite openapi.json")

// TestOpenAPIDocument holds the served document against the committed one: every change of the API is a
// change that a reviewer sees. Rewrite it with: go test ./api -run OpenAPI -update.
func TestOpenAPIDocument(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.Version = "dev" })
	served := w.call("GET", "/openapi.json", "", "Authorization:")
	if *update {
		if err := os.WriteFile("openapi.json", []byte(served.body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(golden), "\n"), strings.Split(served.body, "\n")); diff != "" {
		t.Errorf("the API has changed; look, then run with -update:\n%s", diff)
	}
}

// TestOpenAPIIsComplete checks that the document names what routes answer, and that its references lead
// somewhere.
func TestOpenAPIIsComplete(t *testing.T) {
	w := newWorld(t)
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ OperationID string }
		Components struct{ Schemas map[string]any }
	}
	served := w.call("GET", "/openapi.json", "", "Authorization:")
	if err := json.Unmarshal([]byte(served.body), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	for path, methods := range doc.Paths {
		target := strings.NewReplacer("{mch_id}", "m1", "{notify_id}", "0").Replace(path)
		answer := w.call("TRACE", target, "")
		allow := answer.header.Get("Allow")
		if answer.status != 405 {
			t.Errorf("%s: TRACE answers %d, want 405", path, answer.status)
		}
		for m := range methods {
			if !strings.Contains(allow, strings.ToUpper(m)) {
				t.Errorf("%s: documented %s is not among %q", path, m, allow)
			}
		}
	}
	for _, part := range strings.Split(served.body, `"$ref": "#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if doc.Components.Schemas[name] == nil {
			t.Errorf("reference to schema %s leads nowhere", name)
		}
	}
}
