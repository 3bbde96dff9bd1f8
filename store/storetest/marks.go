package storetest

import (
	"strconv"
	"strings"

	"paynotify/store"
)

// Mark returns a small text that the engine itself keeps under a name … SetMark sets a mark that is `was`
// until then.
var markCases = []testCase{
	{"Marks/compare and set", markCompare},
	{"Marks/survive", markSurvives},
	{"Marks/limits", markLimits},
	{"Marks/at the same time", markConcurrent},
}

func (e *env) mark(name, want string) {
	e.Helper()
	got, err := e.Store.Mark(e.ctx, name)
	e.must("Mark", err)
	if got != want {
		e.Fatalf("mark %s is %.50q, want %.50q", name, got, want)
	}
}

func (e *env) setMark(name, was, value string, want bool) {
	e.Helper()
	done, err := e.Store.SetMark(e.ctx, name, was, value)
	e.must("SetMark", err)
	if done != want {
		e.Fatalf("SetMark(%s, %.50q, %.50q) answered %v", name, was, value, done)
	}
}

func markCompare(e *env) {
	e.mark("callback", "")
	e.setMark("callback", "x", "1", false)
	e.mark("callback", "")
	e.setMark("callback", "", "1", true)
	e.setMark("callback", "", "2", false) // it was set, it says "1"
	e.mark("callback", "1")
	e.setMark("callback", "1", "zwei “2”\n", true)
	e.setMark("callback", "1", "3", false)
	e.mark("callback", "zwei “2”\n")
	e.mark("callbac", "")
	e.setMark("other", "", "o", true)
	e.setMark("callback", "zwei “2”\n", "zwei “2”\n", true)
	e.setMark("callback", "zwei “2”\n", "", true)
	e.mark("callback", "")
	e.setMark("callback", "", "", true)
	e.setMark("callback", "", "new", true)
	e.mark("callback", "new")
	e.mark("other", "o")
}

func markSurvives(e *env) {
	e.setMark("a", "", "1", true)
	e.setMark("b", "", strings.Repeat("é", store.MarkBytesMax/2), true)
	for i, open := range []func() store.Store{e.Crash, e.Reopen, e.Crash} {
		e.Store = open()
		e.mark("a", strconv.Itoa(i+1))
		e.mark("b", strings.Repeat("é", store.MarkBytesMax/2))
		e.setMark("a", strconv.Itoa(i+1), strconv.Itoa(i+2), true)
	}
}

func markLimits(e *env) {
	for name, value := range map[string]string{
		"":                                       "x",
		strings.Repeat("n", store.MarkNameMax+1): "x",
		"large":                                  strings.Repeat("x", store.MarkBytesMax+1),
	} {
		if done, err := e.Store.SetMark(e.ctx, name, "", value); done || err == nil {
			e.Fatalf("SetMark(%.70q) of %d bytes: %v, %v; want an error", name, len(value), done, err)
		}
	}
	e.mark("large", "")
	e.setMark(strings.Repeat("n", store.MarkNameMax), "", "x", true)
}

// markConcurrent counts with a mark: nobody's count is lost.
func markConcurrent(e *env) {
	const callers, each = 8, 10
	together(callers, func(int) {
		for range each {
			for done := false; !done; {
				was, err := e.Store.Mark(e.ctx, "count")
				n, _ := strconv.Atoi(was)
				if err == nil {
					done, err = e.Store.SetMark(e.ctx, "count", was, strconv.Itoa(n+1))
				}
				if err != nil {
					e.Errorf("counting: %v", err)
					return
				}
			}
		}
	})
	e.mark("count", strconv.Itoa(callers*each))
}
