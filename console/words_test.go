package console

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"paynotify/profile"
	"paynotify/store"
)

// inTemplate finds what a template has translated.
var inTemplate = regexp.MustCompile(`\{\{[^{}]*\bt ("(?:[^"\\]|\\.)*")`)

// said are all texts that the console translates, and where.
func said(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	add := func(literal, where string) {
		text, err := strconv.Unquote(literal)
		if err != nil {
			t.Fatalf("%s: %s: %v", where, literal, err)
		}
		all[text] = where
	}
	err := fs.WalkDir(templates, "templates", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(templates, path)
		for _, m := range inTemplate.FindAllStringSubmatch(string(text), -1) {
			add(m[1], path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && translates(call.Fun) {
				if text, ok := literal(call.Args[0]); ok {
					add(text, f.Name())
				}
			}
			return true
		})
	}
	for _, reason := range store.Reasons { // explained beside the API's words
		add(strconv.Quote(profile.Explain(reason).Cause), "package profile")
		add(strconv.Quote(profile.Explain(reason).Cure), "package profile")
	}
	return all
}

// translates reports whether a function is t of something, or phrase.
func translates(fun ast.Expr) bool {
	switch f := fun.(type) {
	case *ast.Ident:
		return f.Name == "phrase"
	case *ast.SelectorExpr:
		return f.Sel.Name == "t"
	}
	return false
}

// literal is a text that stands in the code, perhaps in pieces.
func literal(e ast.Expr) (quoted string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Value, e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, l := literal(e.X)
		right, r := literal(e.Y)
		if l && r {
			a, _ := strconv.Unquote(left)
			b, _ := strconv.Unquote(right)
			return strconv.Quote(a + b), true
		}
	}
	return "", false
}

func TestEveryTextIsTranslated(t *testing.T) {
	all := said(t)
	if len(all) < 20 {
		t.Fatalf("only %d texts are found", len(all))
	}
	for _, text := range slices.Sorted(maps.Keys(all)) {
		other, known := chinese.texts[text]
		switch {
		case !known:
			t.Errorf("%s says %q, which words/zh-CN does not have", all[text], text)
		case verbs(other) != verbs(text):
			t.Errorf("%q becomes %q: the verbs differ", text, other)
		case verbs(text) != "[]" && strings.Contains(verb.ReplaceAllString(perCent.Replace(other), ""), "%"):
			t.Errorf("%q becomes %q: write %%%% for %%", text, other)
		}
	}
	for text := range chinese.texts {
		if all[text] == "" {
			t.Errorf("words/zh-CN has %q, which nothing says", text)
		}
	}
}

// perCent takes away the signs that a text with verbs shows.
var perCent = strings.NewReplacer("%%", "")

var verb = regexp.MustCompile(`%(?:\[(\d+)\])?[a-z]`)

// verbs lists the verbs of a text, numbered when it does not do so itself.
func verbs(text string) string {
	var list []string
	for i, m := range verb.FindAllStringSubmatch(text, -1) {
		if m[1] == "" {
			m[1] = strconv.Itoa(i + 1)
		}
		list = append(list, m[1]+m[0][len(m[0])-1:])
	}
	slices.Sort(list)
	return fmt.Sprint(list)
}

func TestLanguage(t *testing.T) {
	for header, want := range map[string]string{
		"": "en", "de": "en", "zh-CN,zh;q=0.9,en;q=0.8": "zh-CN", "en-GB,zh;q=0.5": "en", "zh": "zh-CN",
		"zh;q=0.1, en;q=0.7": "en", "de, zh-TW;q=0.3": "zh-CN", "zh;q=0": "en", "zh;q=x": "en",
	} {
		if got := wordsFor(header).lang; got != want {
			t.Errorf("Accept-Language %q: %s, want %s", header, got, want)
		}
	}
}
