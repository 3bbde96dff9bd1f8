package tmpl

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"text/template/parse"
)

// execution writes one page.
type execution struct {
	set   *Set
	w     *bytes.Buffer
	funcs map[string]Func

	tree *parse.Tree // being executed
	vars []variable  // in scope, innermost last; $ first
	deep int
}

type variable struct {
	name  string // with its dollar sign
	value any
}

// deepMax bounds templates that use each other in a circle.
const deepMax = 50

// fault ends an execution from any depth.
type fault struct {
	tree *parse.Tree
	node parse.Node
	err  error
}

func (e *execution) fail(n parse.Node, err error) { panic(&fault{e.tree, n, err}) }

// template executes another template, which sees nothing but what it is given.
func (e *execution) template(tree *parse.Tree, dot any) {
	outer := *e
	if e.deep++; e.deep > deepMax {
		e.fail(tree.Root, errors.New("templates use each other too deeply"))
	}
	e.tree, e.vars = tree, []variable{{"$", dot}}
	e.list(tree.Root, dot)
	e.tree, e.vars, e.deep = outer.tree, outer.vars, outer.deep
}

// list executes nodes one after the other. Variables end with the list that they are declared in.
func (e *execution) list(list *parse.ListNode, dot any) {
	if list == nil {
		return
	}
	scope := len(e.vars)
	for _, n := range list.Nodes {
		e.node(n, dot)
	}
	e.vars = e.vars[:scope]
}

func (e *execution) node(n parse.Node, dot any) {
	scope := len(e.vars)
	switch n := n.(type) {
	case *parse.TextNode:
		e.w.Write(n.Text)
	case *parse.ActionNode:
		v := e.pipe(n.Pipe, dot)
		if len(n.Pipe.Decl) > 0 {
			return // the variable stays
		}
		e.print(n, v)
	case *parse.IfNode:
		if e.truth(e.pipe(n.Pipe, dot)) {
			e.list(n.List, dot)
		} else {
			e.list(n.ElseList, dot)
		}
	case *parse.WithNode:
		if v := e.pipe(n.Pipe, dot); e.truth(v) {
			e.list(n.List, v)
		} else {
			e.list(n.ElseList, dot)
		}
	case *parse.RangeNode:
		e.loop(n, dot)
	case *parse.TemplateNode:
		var given any
		if n.Pipe != nil {
			given = e.pipe(n.Pipe, dot)
		}
		e.template(e.set.trees[n.Name], given)
	default:
		e.fail(n, errors.New("is not known here"))
	}
	e.vars = e.vars[:scope]
}

// loop executes a range over a slice, or over a map in the order of its keys.
func (e *execution) loop(n *parse.RangeNode, dot any) {
	decl := n.Pipe.Decl
	v := reflect.ValueOf(e.value(n.Pipe.Cmds[0], dot))
	count := 0
	each := func(key, value any) {
		scope := len(e.vars)
		switch len(decl) {
		case 1:
			e.vars = append(e.vars, variable{decl[0].Ident[0], value})
		case 2:
			e.vars = append(e.vars, variable{decl[0].Ident[0], key}, variable{decl[1].Ident[0], value})
		}
		e.list(n.List, value)
		e.vars = e.vars[:scope]
		count++
	}
	switch v.Kind() {
	case reflect.Invalid:
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			each(i, v.Index(i).Interface())
		}
	case reflect.Map:
		entries := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			if it.Key().Kind() != reflect.String {
				e.fail(n.Pipe, errors.New("the keys of a map must be strings"))
			}
			entries[it.Key().String()] = it.Value().Interface()
		}
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			each(key, entries[key])
		}
	default:
		e.fail(n.Pipe, fmt.Errorf("cannot go through a %s", v.Kind()))
	}
	if count == 0 {
		e.list(n.ElseList, dot)
	}
}

// pipe is the value of a pipeline, kept in the variable that it declares.
func (e *execution) pipe(p *parse.PipeNode, dot any) any {
	v := e.value(p.Cmds[0], dot)
	for _, d := range p.Decl {
		e.vars = append(e.vars, variable{d.Ident[0], v})
	}
	return v
}

// value is what a command says: a function with its arguments, or a value alone.
func (e *execution) value(c *parse.CommandNode, dot any) any {
	name, isCall := c.Args[0].(*parse.IdentifierNode)
	if !isCall {
		if len(c.Args) > 1 {
			e.fail(c, errors.New("only functions take arguments"))
		}
		return e.operand(c.Args[0], dot)
	}
	args := c.Args[1:]
	if name.Ident == "and" || name.Ident == "or" {
		return e.either(args, dot, name.Ident == "and")
	}
	call := e.funcs[name.Ident]
	if call == nil {
		call = builtins[name.Ident]
	}
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = e.operand(a, dot)
	}
	v, err := call(values)
	if err != nil {
		e.fail(c, err)
	}
	return v
}

// either is the first operand that decides and, or or; the others are not looked at.
func (e *execution) either(args []parse.Node, dot any, and bool) (v any) {
	for _, a := range args {
		if v = e.operand(a, dot); e.truth(v) != and {
			break
		}
	}
	return v
}

// operand is one value.
func (e *execution) operand(n parse.Node, dot any) any {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot
	case *parse.FieldNode:
		return e.fields(n, dot, n.Ident)
	case *parse.VariableNode:
		for _, v := range slices.Backward(e.vars) {
			if v.name == n.Ident[0] {
				return e.fields(n, v.value, n.Ident[1:])
			}
		}
	case *parse.StringNode:
		return n.Text
	case *parse.BoolNode:
		return n.True
	case *parse.NilNode:
		return nil
	case *parse.NumberNode:
		if n.IsInt {
			return int(n.Int64)
		}
	case *parse.PipeNode:
		return e.pipe(n, dot)
	case *parse.IdentifierNode:
		return e.value(&parse.CommandNode{Args: []parse.Node{n}}, dot)
	}
	e.fail(n, errors.New("is not known here"))
	return nil
}

// fields follows names through structs and maps.
func (e *execution) fields(n parse.Node, value any, names []string) any {
	for _, name := range names {
		v := indirect(reflect.ValueOf(value))
		var next reflect.Value
		switch v.Kind() {
		case reflect.Struct:
			next = v.FieldByName(name)
		case reflect.Map:
			next = v.MapIndex(reflect.ValueOf(name))
		}
		if !next.IsValid() || !next.CanInterface() {
			e.fail(n, fmt.Errorf("there is no %s in a %T", name, value))
		}
		value = next.Interface()
	}
	return value
}
