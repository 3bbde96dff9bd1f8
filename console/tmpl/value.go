package tmpl

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/template/parse"
)

// builtins are the functions that every template knows; and, or are executed without looking at all of their
// arguments.
var builtins = map[string]Func{
	"and": nil, "or": nil,
	"eq":  func(args []any) (any, error) { return equal(args) },
	"ne":  func(args []any) (any, error) { same, err := equal(args); return !same, err },
	"not": func(args []any) (any, error) { return len(args) == 1 && !truth(args[0]), nil },
	"len": length,
}

// truth is whether a value is anything: not zero, not empty, not nil.
func truth(value any) bool {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Invalid:
		return false
	case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
		return v.Len() > 0
	case reflect.Struct:
		return true
	}
	return !v.IsZero()
}

func (e *execution) truth(value any) bool { return truth(value) }

// indirect follows pointers; a nil one stays.
func indirect(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return v
		}
		v = v.Elem()
	}
	return v
}

// equal tells whether the first argument equals one of the others. Only texts, booleans and whole numbers can
// be compared, each with its like.
func equal(args []any) (bool, error) {
	if len(args) < 2 {
		return false, errors.New("eq and ne take at least two values")
	}
	for _, other := range args[1:] {
		same, err := alike(reflect.ValueOf(args[0]), reflect.ValueOf(other))
		if same || err != nil {
			return same, err
		}
	}
	return false, nil
}

func alike(a, b reflect.Value) (bool, error) {
	switch {
	case a.Kind() == reflect.String && b.Kind() == reflect.String:
		return a.String() == b.String(), nil
	case a.Kind() == reflect.Bool && b.Kind() == reflect.Bool:
		return a.Bool() == b.Bool(), nil
	case a.CanInt() && b.CanInt():
		return a.Int() == b.Int(), nil
	}
	return false, fmt.Errorf("cannot compare a %s with a %s", a.Kind(), b.Kind())
}

func length(args []any) (any, error) {
	if len(args) == 1 {
		switch v := indirect(reflect.ValueOf(args[0])); v.Kind() {
		case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
			return v.Len(), nil
		}
	}
	return nil, errors.New("len takes one slice, map or text")
}

// escape is what html/template makes of a value in text and in quoted attributes.
var escape = strings.NewReplacer(
	"\x00", "\uFFFD", `"`, "&#34;", "&", "&amp;", "'", "&#39;", "+", "&#43;", "<", "&lt;", ">", "&gt;",
)

// print writes a text, a number or a boolean, escaped. Nothing at all is written as nothing.
func (e *execution) print(n parse.Node, value any) {
	v := indirect(reflect.ValueOf(value))
	switch {
	case !v.IsValid(), v.Kind() == reflect.Pointer:
	case v.Kind() == reflect.String:
		escape.WriteString(e.w, v.String()) //nolint:errcheck // a buffer never fails
	case v.Kind() == reflect.Bool:
		fmt.Fprint(e.w, v.Bool())
	case v.CanInt():
		fmt.Fprint(e.w, v.Int())
	case v.CanUint():
		fmt.Fprint(e.w, v.Uint())
	default:
		e.fail(n, fmt.Errorf("a %s cannot be printed: make a text of it", v.Kind()))
	}
}
