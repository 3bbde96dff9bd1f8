package habits

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sourceFile is one of our .go files.
type sourceFile struct {
	path string // from the root of the repository, with slashes
	dir  string // its folder; "." for the root
	test bool
	text string
	ast  *ast.File
}

// tree is every .go file of the repository, parsed once for all tests.
var tree = sync.OnceValues(func() ([]*sourceFile, error) {
	var files []*sourceFile
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		file, err := parse(root, path)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(file.ast) {
			files = append(files, file)
		}
		return nil
	})
	return files, err
})

var positions = token.NewFileSet()

func parse(root, path string) (*sourceFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(root, path)
	if err != nil {
		return nil, err
	}
	relative = filepath.ToSlash(relative)
	parsed, err := parser.ParseFile(positions, relative, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &sourceFile{
		path: relative, dir: filepath.ToSlash(filepath.Dir(relative)),
		test: strings.HasSuffix(path, "_test.go"), text: string(text), ast: parsed,
	}, nil
}

func sources(t *testing.T) []*sourceFile {
	t.Helper()
	files, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d .go files found: the walk is broken", len(files))
	}
	return files
}

// packages groups the files by folder.
func packages(t *testing.T) map[string][]*sourceFile {
	t.Helper()
	byDir := map[string][]*sourceFile{}
	for _, f := range sources(t) {
		byDir[f.dir] = append(byDir[f.dir], f)
	}
	return byDir
}

// readRoot reads a file that lies in the root of the repository.
func readRoot(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func line(pos token.Pos) int { return positions.Position(pos).Line }

func contains(list []string, item string) bool { return slices.Contains(list, item) }
