package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkFile looks at the YAML before viper does, because viper lower-cases keys, takes an empty value for an
// absent one and names no lines.
func checkFile(file string, text []byte, found *faults) {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	err := dec.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		return // empty, or nothing but comments
	case err != nil:
		found.add(file, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		found.add(file, "has more than one YAML document; keep one")
		return
	}
	known, sections := map[string]bool{}, map[string][]string{}
	for _, k := range configKeys {
		known[k.name] = true
		section, leaf, nested := strings.Cut(k.name, ".")
		if !nested {
			section, leaf = "", section
		} else if len(sections[section]) == 0 {
			sections[""] = append(sections[""], section)
		}
		sections[section] = append(sections[section], leaf)
	}
	root := doc.Content[0]
	if isNull(root) {
		return
	}
	walker{file: file, found: found, known: known, sections: sections}.mapping(root, "")
}

type walker struct {
	file     string
	found    *faults
	known    map[string]bool
	sections map[string][]string // section → its keys; "" → the top
}

func (w walker) mapping(n *yaml.Node, section string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		where := "the file"
		if section != "" {
			where = section
		}
		w.fault(n, where, "want keys and values: %s", strings.Join(w.sections[section], ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		if section != "" {
			name = section + "." + key.Value
		}
		switch {
		case seen[name]:
			w.fault(key, name, "is there twice")
		case section == "" && w.isSection(name):
			w.mapping(value, name)
		case !w.known[name] || section == "" && strings.Contains(name, "."):
			w.fault(key, name, "%s", w.suggest(key.Value, section))
		case isNull(value):
			w.fault(key, name, `has no value; remove the key, or write "" or []`)
		case expects(value):
			w.fault(key, name, "holds ${…}, which nothing replaces here; write the value, or set %s",
				configKey{name: name}.env())
		default:
			w.found.origin[name] = fmt.Sprintf("%s:%d", w.file, key.Line)
		}
		seen[name] = true
	}
}

// variable is what other programs replace by a variable of the environment. Taken as it stands it would be a
// key or a password that everybody can guess.
var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// expects reports whether a value, or an item of a list, waits for a variable to be put in.
func expects(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n.Kind == yaml.ScalarNode && variable.MatchString(n.Value) ||
		n.Kind == yaml.SequenceNode && slices.ContainsFunc(n.Content, expects)
}

func (w walker) isSection(name string) bool { return name != "" && len(w.sections[name]) > 0 }

// suggest looks in the key's own section first, then for the section that the key was meant to stand in.
func (w walker) suggest(key, section string) string {
	if n := nearest(key, w.sections[section]); n != "" {
		return fmt.Sprintf("no such key; did you mean %q?", n)
	}
	for _, k := range configKeys {
		if s, leaf, nested := strings.Cut(k.name, "."); nested && (leaf == key || k.name == key) {
			return fmt.Sprintf("no such key here; %q belongs under %q", leaf, s)
		} else if !nested && k.name == key {
			return fmt.Sprintf("no such key here; %q belongs at the top", key)
		}
	}
	return "no such key; known are " + strings.Join(w.sections[section], ", ")
}

func (w walker) fault(n *yaml.Node, name, format string, args ...any) {
	w.found.list = append(w.found.list,
		fmt.Sprintf("%s (%s:%d): ", name, w.file, n.Line)+fmt.Sprintf(format, args...))
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}
