package tmpl

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"
	"testing"
	"testing/fstest"
)

type shop struct {
	Name  string
	Count int
	Open  bool
	Tags  []string
	Extra map[string]any
	Next  *shop
}

var hostile = `</script><img src=x onerror="a('b')">+{{.}}&amp;` + "`\x00\u2028"

// data are what the templates below are executed with.
var data = []any{
	&shop{},
	&shop{Name: hostile, Count: -3, Open: true, Tags: []string{"a", hostile, ""}, Next: &shop{Name: "in"}},
	&shop{Name: "x", Extra: map[string]any{"b": 2, "a": hostile, "c": nil}, Tags: []string{"one"}},
}

// texts are templates that html/template and this package must make the same of.
var texts = []string{
	`<p title="{{.Name}}">{{.Name}} {{.Count}} {{.Open}}</p>`,
	`{{if .Open}}open{{else if eq .Count 0}}none{{else}}closed {{.Count}}{{end}}`,
	`{{range $i, $t := .Tags}}<li data-n="{{$i}}">{{$t}}/{{.}}</li>{{else}}<li>none</li>{{end}}`,
	`{{range .Tags}}{{.}} of {{$.Name}},{{end}}`,
	`{{range $k, $v := .Extra}}{{$k}};{{end}}`,
	`{{with .Next}}{{.Name}}{{else}}alone{{end}}{{with $n := .Next}}{{$n.Count}}{{end}}`,
	`{{$x := .Name}}{{if .Open}}{{$x := "inner"}}{{$x}}{{end}}{{$x}}`,
	`{{if and .Open (eq .Name "x")}}a{{end}}{{if or .Open (ne .Count 0)}}b{{end}}{{if not .Open}}c{{end}}`,
	`{{len .Tags}} {{len .Name}} {{eq .Count 1 0}} {{"a\"b"}} {{7}} {{true}}`,
	`{{/* nothing */}} a  {{- " b" -}}  c`,
	`{{template "part" .Tags}}{{define "part"}}<b>{{len .}}{{range .}}{{.}}{{end}}</b>{{end}}`,
	`{{t "say" .Name}} <a href="{{t "path"}}">{{(t "x")}}</a>`,
	`<textarea name="{{.Name}}">{{.Name}}</textarea><title>{{.Name}}</title>`,
}

func say(args []any) (any, error) {
	if args[0] == "path" {
		return "/console/notifications?a=1&b=x%20y", nil
	}
	return fmt.Sprint(args...), nil
}

func TestLikeHTMLTemplate(t *testing.T) {
	for _, text := range texts {
		set, err := Parse(fstest.MapFS{"x/page.html": {Data: []byte(text)}}, "x", "t")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		model := template.Must(template.New("page").Funcs(template.FuncMap{
			"t": func(args ...any) (any, error) { return say(args) },
		}).Parse(text))
		for _, d := range data {
			var got, want bytes.Buffer
			if err := set.Execute(&got, "page", d, map[string]Func{"t": say}); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			if err := model.Execute(&want, d); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if got.String() != want.String() {
				t.Errorf("%s\n got %q\nwant %q", text, got.String(), want.String())
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{{break}}`:                       "outside {{range}}",
		`{{range .Tags}}{{break}}{{end}}`: "not known",
		`{{.Name | len}}`:                 "not known",
		`{{$x := 1}}{{$x = 2}}`:           "not known",
		`{{(.Next).Name}}`:                "not known",
		`{{template "other" .}}`:          "not known",
		`{{printf "%s" .Name}}`:           "not defined",
	} {
		_, err := Parse(fstest.MapFS{"x/page.html": {Data: []byte(text)}}, "x")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
	twice := fstest.MapFS{
		"x/a.html": {Data: []byte(`{{define "part"}}a{{end}}`)},
		"x/b.html": {Data: []byte(`{{define "part"}}b{{end}}`)},
	}
	if _, err := Parse(twice, "x"); err == nil || !strings.Contains(err.Error(), "part is defined twice") {
		t.Errorf("a template that is defined twice: error %v", err)
	}
}

func TestFailsInTheMiddle(t *testing.T) {
	for text, want := range map[string]string{
		`{{.Nmae}}`:               "there is no Nmae",
		`{{.Extra.zzz}}`:          "there is no zzz",
		`{{.Tags}}`:               "make a text of it",
		`{{range .Count}}{{end}}`: "cannot go through",
		`{{eq .Name 1}}`:          "cannot compare",
		`{{.Name 1}}`:             "only functions",
		`{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`: "too deeply",
	} {
		set, err := Parse(fstest.MapFS{"x/page.html": {Data: []byte(text)}}, "x")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var w bytes.Buffer
		err = set.Execute(&w, "page", &shop{Name: "x"}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}
