package profile

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"paynotify/store"
)

// jsonRules are what a JSON dialect refuses besides what all of them do.
type jsonRules struct{ noNull, noLists, noEmptyObjects bool }

// checkJSON finds what does not come through a merchant's JSON parser as it was given, at any depth: numbers
// that JavaScript rounds or writes otherwise, names that it sorts to the front, and what the rules forbid.
func checkJSON(rules jsonRules, n *store.Notification, ps Params) []Fault {
	faults := checkUTF8(nil, "body.out_trade_no", n.OutTradeNo)
	faults = checkUTF8(faults, "body.notify_type", n.NotifyType)
	for i := range ps {
		p := &ps[i]
		c := jsonChecker{rules: rules, location: paramAt(p.Name), faults: faults}
		c.name(p.Name)
		c.value(p)
		faults = c.faults
	}
	return checkTwice(faults, ps)
}

func checkUTF8(faults []Fault, location, text string) []Fault {
	if utf8.ValidString(text) {
		return faults
	}
	return append(faults, Fault{
		Location: location, Message: "it is not valid UTF-8", Cure: "give it as UTF-8: JSON has no other charset",
	})
}

// checkTwice finds names that stand twice in params; below them ParseParams takes none.
func checkTwice(faults []Fault, ps Params) []Fault {
	var room [fieldsRoom]string
	sorted := room[:0]
	for i := range ps {
		sorted = append(sorted, ps[i].Name)
	}
	slices.Sort(sorted)
	for i := 1; i < len(sorted); i++ {
		if name := sorted[i]; name == sorted[i-1] {
			faults = append(faults, Fault{
				Location: paramAt(name), Message: "parameter " + quote(name) + " stands twice in params",
				Cure: "give it once: receivers keep one of the two",
			})
		}
	}
	return faults
}

// jsonChecker looks at one parameter and at what stands in it.
type jsonChecker struct {
	rules    jsonRules
	location string
	faults   []Fault
	path     []string // names from the parameter down to what is looked at; [] for an item of a list
}

// add puts down a fault, with the way to it where it is not the parameter itself.
func (c *jsonChecker) add(message, cure string) {
	if len(c.path) > 0 {
		message = "at " + quote(strings.Join(c.path, ".")) + ": " + message
	}
	c.faults = append(c.faults, Fault{Location: c.location, Message: message, Cure: cure})
}

func (c *jsonChecker) value(p *Param) {
	switch p.Kind {
	case KindNumber:
		c.number(p.Value)
	case KindNull:
		c.null()
	case KindObject, KindList:
		s := scanner{raw: p.Raw, text: string(p.Raw)}
		if err := c.walk(&s, 0); err != nil {
			c.path = nil
			c.add(err.Error(), "give it flatter, or as a string of JSON")
		}
	case KindString, KindBool:
	}
}

// walk checks the value that the scanner stands at, below levels lists and objects.
func (c *jsonChecker) walk(s *scanner, levels int) error {
	switch b := s.next(); {
	case b == '"':
		_, err := s.str()
		return err
	case b == '-' || b >= '0' && b <= '9':
		text, err := s.number()
		c.number(text)
		return err
	case b == '{' || b == '[':
		return c.items(s, b == '{', levels)
	}
	kind, _, err := s.word()
	if kind == KindNull {
		c.null()
	}
	return err
}

func (c *jsonChecker) items(s *scanner, object bool, levels int) error {
	if c.rules.noLists && !object {
		c.add("it is a list, which this profile's signed text does not carry", "give it as a string of JSON")
	}
	empty := true
	err := s.items(levels, func(name string, _ bool) error {
		empty = false
		if !object {
			name = "[]"
		}
		c.path = append(c.path, name)
		if object {
			c.name(name)
		}
		err := c.walk(s, levels+1)
		c.path = c.path[:len(c.path)-1]
		return err
	})
	if err == nil && empty && object && c.rules.noEmptyObjects {
		c.add("it is an empty object, which PHP turns into a list", "leave it out, or give it a member")
	}
	return err
}

func (c *jsonChecker) null() {
	if c.rules.noNull {
		c.add("it is null, which this profile does not send", "leave it out, or send an empty string")
	}
}

// number takes what every parser keeps as it is written: integers that a double holds exactly.
func (c *jsonChecker) number(text string) {
	const (
		cure = "send it as a string"
		most = "9007199254740991" // 2^53−1
	)
	switch whole := strings.TrimPrefix(text, "-"); {
	case digits(whole) < len(whole):
		c.add("the number "+quote(text)+" has a fraction or an exponent, which parsers write otherwise", cure)
	case text == "-0":
		c.add("the number -0 is written as 0 by JavaScript", cure)
	case len(whole) > len(most) || len(whole) == len(most) && whole > most:
		c.add("the number "+quote(text)+" is beyond ±(2^53−1), where JavaScript rounds", cure)
	}
}

// name refuses what JavaScript sorts to the front and PHP takes for an index.
func (c *jsonChecker) name(name string) {
	switch {
	case isInteger(name):
		c.add("the name "+quote(name)+" is an integer: JavaScript moves it to the front, PHP makes a list of it",
			"begin it with a letter")
	case hasControl(name):
		c.add(fmt.Sprintf("the name %s holds a control character", quote(name)), "take the control characters out")
	}
}

// isInteger reports whether a name is an integer as JavaScript and PHP write one: without plus sign and
// leading zeros.
func isInteger(name string) bool {
	if name == "0" {
		return true
	}
	name = strings.TrimPrefix(name, "-")
	return name != "" && name[0] != '0' && digits(name) == len(name)
}
