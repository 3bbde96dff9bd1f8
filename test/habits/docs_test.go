package habits

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// startReading is how the last sentence of every package's documentation begins.
var startReading = regexp.MustCompile(`(^|[.!?:;] )Start reading at \S[^.]*[^.\s].*$`)

func TestPackageDocs(t *testing.T) {
	byDir := packages(t)
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		var docs []*sourceFile
		for _, f := range byDir[dir] {
			if f.ast.Doc != nil && !f.test {
				docs = append(docs, f)
			}
		}
		switch len(docs) {
		case 0:
			t.Errorf("package %s has no documentation: write doc.go, a package with tests only too", dir)
		case 1:
			checkPackageDoc(t, docs[0])
		default:
			t.Errorf("package %s is documented in %s and %s: write it in one place", dir, docs[0].path, docs[1].path)
		}
	}
}

func checkPackageDoc(t *testing.T, f *sourceFile) {
	t.Helper()
	name, text := f.ast.Name.Name, strings.TrimSpace(f.ast.Doc.Text())
	begin := "Package " + name + " "
	if name == "main" {
		begin = "Command " + f.dir[strings.LastIndex(f.dir, "/")+1:] + " "
	}
	if !strings.HasPrefix(text, begin) {
		t.Errorf("%s: the documentation does not begin with %q", f.path, begin)
	}
	paragraphs := strings.Split(text, "\n\n")
	last := strings.ReplaceAll(paragraphs[len(paragraphs)-1], "\n", " ")
	if !startReading.MatchString(last) || !strings.HasSuffix(last, ".") {
		t.Errorf("%s: the last paragraph does not end by saying where to begin:"+
			" \"Start reading at Thing in file.go.\"\n\t%s", f.path, last)
	}
}

// TestExportedNamesAreDocumented wants a comment on every exported name. A group of constants or variables
// may share one, and a one-line member may have its own behind it.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && ofExported(d) {
					wantDoc(t, f, d.Name, d.Doc)
				}
			case *ast.GenDecl:
				checkGroup(t, f, d)
			}
		}
	}
}

// ofExported says whether a function stands in the documentation: it is none of an unexported type's.
func ofExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	receiver := d.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	name, ok := receiver.(*ast.Ident)
	return !ok || name.IsExported()
}

func checkGroup(t *testing.T, f *sourceFile, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			doc := s.Doc
			if doc == nil && !d.Lparen.IsValid() {
				doc = d.Doc
			}
			if s.Name.IsExported() {
				wantDoc(t, f, s.Name, doc)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && s.Doc == nil && s.Comment == nil {
					wantDoc(t, f, name, d.Doc)
				}
			}
		}
	}
}

func wantDoc(t *testing.T, f *sourceFile, name *ast.Ident, doc *ast.CommentGroup) {
	t.Helper()
	text := ""
	if doc != nil {
		text = strings.TrimSpace(doc.Text())
	}
	switch {
	case text == "":
		t.Errorf("%s:%d: %s is exported and has no comment", f.path, line(name.Pos()), name.Name)
	case !strings.ContainsAny(text[len(text)-1:], ".:!?`)"):
		t.Errorf("%s:%d: the comment of %s does not end with a full stop", f.path, line(name.Pos()), name.Name)
	}
}

// Sizes that a reader can hold.
const (
	functionLinesMax = 70
	fileLinesMax     = 500
	lineColumnsMax   = 110 // a tab is one
)

func TestSizes(t *testing.T) {
	for _, f := range sources(t) {
		lines := strings.Split(strings.TrimSuffix(f.text, "\n"), "\n")
		if len(lines) > fileLinesMax {
			t.Errorf("%s has %d lines, at most %d: one idea a file", f.path, len(lines), fileLinesMax)
		}
		for i, text := range lines {
			if n := len([]rune(text)); n > lineColumnsMax {
				t.Errorf("%s:%d has %d columns, at most %d", f.path, i+1, n, lineColumnsMax)
			}
		}
		for _, d := range f.ast.Decls {
			d, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := line(d.End()) - line(d.Pos()) + 1; n > functionLinesMax {
				t.Errorf("%s:%d: %s has %d lines, at most %d",
					f.path, line(d.Pos()), d.Name.Name, n, functionLinesMax)
			}
		}
	}
}

// TestStartReading checks the checker.
func TestStartReading(t *testing.T) {
	for text, want := range map[string]bool{
		"Start reading at Schedule, then at Schedule.Next.":       true,
		"It has tests only. Start reading at rules in x_test.go.": true,
		"Start reading at Queue; package queuetest checks it.":    true,
		"Start reading at .":      false,
		"See the code.":           false,
		"Do not Start reading at": false,
	} {
		if startReading.MatchString(text) != want {
			t.Errorf("%q: matches %v", text, !want)
		}
	}
}
