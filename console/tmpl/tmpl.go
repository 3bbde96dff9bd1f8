// Package tmpl executes HTML templates written for html/template, without html/template.
//
// That package calls methods by name, for which the linker must keep every exported method of every type in
// the program: ten megabytes in a binary of twenty-five. This one reads fields and map entries, knows a
// handful of functions, and leaves the syntax to text/template/parse. What it prints it escapes for text and
// for quoted attributes, in the way and with the bytes of html/template; what that would treat otherwise, a
// value inside a script, a style or a URL that is none of ours, a template must not contain. The tests of
// package console execute every template with both and compare.
//
// Start reading at Parse.
package tmpl

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"text/template/parse"
)

// Func is a function that templates may call. Its arguments are what is written behind its name.
type Func func(args []any) (any, error)

// Set is a set of templates that may use each other. Safe for concurrent use.
type Set struct{ trees map[string]*parse.Tree }

// Parse reads all templates of a folder. Each is named after its file, without the extension; those that it
// defines inside keep their names. names are the functions, beside the built-in ones, that Execute is given.
// It refuses what Execute does not know.
func Parse(files fs.FS, folder string, names ...string) (*Set, error) {
	known := make(map[string]any, len(names)+len(builtins))
	for name := range builtins {
		known[name] = true
	}
	for _, name := range names {
		known[name] = true
	}
	s := &Set{trees: map[string]*parse.Tree{}}
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	for _, e := range entries {
		text, err := fs.ReadFile(files, path.Join(folder, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
		name := strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		trees, err := parse.Parse(name, string(text), "", "", known)
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
		if err := s.add(trees); err != nil {
			return nil, err
		}
	}
	return s, s.check()
}

func (s *Set) add(trees map[string]*parse.Tree) error {
	for name, tree := range trees {
		if _, twice := s.trees[name]; twice {
			return fmt.Errorf("templates: %s is defined twice", name)
		}
		s.trees[name] = tree
	}
	return nil
}

// check finds what Execute would stumble over.
func (s *Set) check() error {
	for name, tree := range s.trees {
		var wrong parse.Node
		walk(tree.Root, func(n parse.Node) {
			switch n := n.(type) {
			case *parse.BreakNode, *parse.ContinueNode, *parse.ChainNode:
				wrong = n
			case *parse.PipeNode:
				if len(n.Cmds) != 1 || n.IsAssign {
					wrong = n
				}
			case *parse.TemplateNode:
				if s.trees[n.Name] == nil {
					wrong = n
				}
			}
		})
		if wrong != nil {
			at, text := tree.ErrorContext(wrong)
			return fmt.Errorf("templates: %s: %s is not known in %s", at, text, name)
		}
	}
	return nil
}

// walk calls do for a node and all below it.
func walk(n parse.Node, do func(parse.Node)) {
	do(n)
	branch := func(b *parse.BranchNode) {
		walk(b.Pipe, do)
		walk(b.List, do)
		if b.ElseList != nil {
			walk(b.ElseList, do)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, child := range n.Nodes {
			walk(child, do)
		}
	case *parse.ActionNode:
		walk(n.Pipe, do)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walk(n.Pipe, do)
		}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			for _, arg := range c.Args {
				walk(arg, do)
			}
		}
	}
}

// Execute writes a template with data. funcs are those whose names Parse was given. When it fails, what was
// written is not to be used.
func (s *Set) Execute(w *bytes.Buffer, name string, data any, funcs map[string]Func) (err error) {
	tree := s.trees[name]
	if tree == nil {
		return fmt.Errorf("template %s: there is none", name)
	}
	e := &execution{set: s, w: w, funcs: funcs}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *fault:
			at, text := v.tree.ErrorContext(v.node)
			err = fmt.Errorf("template %s: %s: %w", at, text, v.err)
		default:
			panic(v)
		}
	}()
	e.template(tree, data)
	return nil
}
