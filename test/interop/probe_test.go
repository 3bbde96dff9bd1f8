package interop

import (
	"maps"
	"net/http"
	"testing"
)

// probed is the answer of a probe.
type probed struct {
	Verifies *bool `json:"verifies_signatures"`
	Verdict  string
	Reply    string
}

// TestProbe sends the wrongly signed probe to every SDK. All of them refuse it, which the product reports as
// a merchant that verifies; one that acknowledges whatever comes is found out.
func TestProbe(t *testing.T) {
	for _, d := range dialects {
		if d.covered != nil {
			continue // what is not signed cannot be signed wrongly
		}
		d.settings = withProbe(d.settings)
		for _, s := range d.sdks {
			t.Run(d.name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				m := register(t, d.settings)
				shop.serve(m, s.handler(t, m))
				if p := probe(t, m); p.Verifies == nil || !*p.Verifies {
					t.Errorf("reported as a merchant that does not verify: %s %q", p.Verdict, p.Reply)
				}
				if n := len(shop.of(m)); n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
			})
		}
		t.Run(d.name+"/careless", func(t *testing.T) {
			t.Parallel()
			m := register(t, d.settings)
			j := &jury{dialect: d} // of nobody, who all agree
			shop.serve(m, j)
			if p := probe(t, m); p.Verifies == nil || *p.Verifies {
				t.Errorf("reported as a merchant that verifies: %s %q", p.Verdict, p.Reply)
			}
		})
	}
}

func withProbe(settings object) object {
	settings = maps.Clone(settings)
	options := object{"probe": true}
	if given, ok := settings["options"].(object); ok {
		maps.Copy(options, given)
	}
	settings["options"] = options
	return settings
}

func probe(t *testing.T, m known) (p probed) {
	t.Helper()
	status := call(t, http.MethodPost, "/v1/merchants/"+m.MchID+"/probe", object{}, &p)
	if status != http.StatusOK {
		t.Fatalf("probe answers %d", status)
	}
	return p
}
