package console

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tab is one tab of the browser, with cookies of its own. What pages do that ours never do is heard:
// dialogs, exceptions, and whatever the browser complains of in the console, such as a script that the
// content policy stopped. A test in which something is heard fails.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu     sync.Mutex
	heard  []string
	policy string // the content policy of the last page
}

func newTab(w *world) *tab {
	b := openTab(w.t, w.url)
	w.t.Cleanup(func() {
		if heard := b.noises(); len(heard) > 0 {
			w.t.Errorf("the browser heard:\n%s", strings.Join(heard, "\n"))
		}
	})
	return b
}

func openTab(t *testing.T, base string) *tab {
	t.Helper()
	b := &tab{t: t, base: base}
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	t.Cleanup(func() {
		b.explain()
		cancel()
	})
	if err := chromedp.Do(b.ctx); err != nil { // opens it; a bounded context would close it at its end
		t.Fatal(err)
	}
	return b
}

// hear notes what the browser tells of a page.
func (b *tab) hear(event any) {
	switch e := event.(type) {
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			b.mu.Lock()
			b.policy, _ = e.Response.Headers["Content-Security-Policy"].(string)
			b.mu.Unlock()
		}
	case *page.EventJavascriptDialogOpening:
		b.note("dialog: " + e.Message)
		go func() { // the page stands still until it is answered
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
		}()
	case *runtime.EventExceptionThrown:
		said := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			said += " " + e.ExceptionDetails.Exception.Description
		}
		b.note("exception: " + said)
	case *runtime.EventConsoleAPICalled:
		var said []string
		for _, arg := range e.Args {
			said = append(said, string(arg.Value)+arg.Description)
		}
		b.note("console: " + strings.Join(said, " "))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelVerbose {
			return // advice
		}
		b.note(fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
	}
}

func (b *tab) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, text)
}

// noises are what was heard since the last time.
func (b *tab) noises() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	heard := b.heard
	b.heard = nil
	return heard
}

// refused takes away that a page was answered with a status that is no success, which the browser complains
// of, and fails when it did not.
func (b *tab) refused(status int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.heard, func(text string) bool {
		return strings.Contains(text, fmt.Sprintf("responded with a status of %d", status))
	})
	if i < 0 {
		b.t.Fatalf("no page was answered with %d; heard: %q", status, b.heard)
	}
	b.heard = slices.Delete(b.heard, i, i+1)
}

// forgive takes away that requests of ours were refused, which the browser complains of.
func (b *tab) forgive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = slices.DeleteFunc(b.heard, func(text string) bool {
		return strings.Contains(text, "responded with a status of 4")
	})
}

// explain tells where a test was that has failed.
func (b *tab) explain() {
	if !b.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, stepMax)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Location())
	text, err2 := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	b.t.Logf("the browser is at %s %v\n%s %v", at, err, text, err2)
}

// do makes steps and fails the test when one does not succeed in time.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepMax)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// get is what an action finds out.
func get[T any](b *tab, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepMax)
	defer cancel()
	found, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// eval is what a JavaScript expression is in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression))
}

// promised is what a promise of JavaScript comes to.
func promised(b *tab, expression string) string {
	b.t.Helper()
	return get(b, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
}

// set sends a command of the protocol about the tab itself, and returns its answer.
func set[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// open opens a page under /console/ and waits until it has loaded, whatever its status.
func (b *tab) open(path string) { b.t.Helper(); b.follow(b.base + "/console/" + path) }

// follow opens an address and waits until the page has loaded.
func (b *tab) follow(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

// status is the HTTP status of the page.
func (b *tab) status() int {
	b.t.Helper()
	status := eval[int](b, `performance.getEntriesByType("navigation")[0].responseStatus`)
	if status >= 400 {
		b.refused(status)
	}
	return status
}

// until waits until a JavaScript expression is true, of whatever page is there by then and has loaded.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepMax)
	defer cancel()
	ask := chromedp.Evaluate[bool](`document.readyState === "complete" && Boolean(` + expression + `)`)
	for {
		enough, err := chromedp.Run(ctx, ask)
		if enough {
			return
		}
		if ctx.Err() != nil {
			b.t.Fatalf("waited in vain for %s: %v", expression, err)
		} // any other error is of a page that has gone while it was asked, or does not have this yet
		time.Sleep(pollEvery)
	}
}

// pollEvery is how often a page, or the API, is asked for what is waited for.
const pollEvery = 20 * time.Millisecond

// sees waits until the page has a text, as people read it.
func (b *tab) sees(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until(fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
	}
}

// lacks fails when the page has a text anywhere, read or not.
func (b *tab) lacks(texts ...string) {
	b.t.Helper()
	source := eval[string](b, `document.documentElement.outerHTML`)
	for _, text := range texts {
		if strings.Contains(source, text) {
			b.t.Errorf("%s has %q", get(b, chromedp.Location()), text)
		}
	}
}

// write types into the field of that selector.
func (b *tab) write(field, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(field), text))
}

// press presses the button with that text.
func (b *tab) press(button string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.Search(fmt.Sprintf(`//main//button[normalize-space()=%[1]q] |`+
		` //header//button[normalize-space()=%[1]q]`, button))))
}

// keys presses keys, one after the other. As at a keyboard, a key that the page has used writes nothing.
func (b *tab) keys(keys string) {
	b.t.Helper()
	for _, key := range keys {
		parts := kb.Encode(key)
		down, up := *parts[0], *parts[len(parts)-1]
		if len(parts) == 3 {
			down.Text, down.UnmodifiedText = parts[1].Text, parts[1].UnmodifiedText
		}
		set(b, input.DispatchKeyEvent, down)
		set(b, input.DispatchKeyEvent, up)
	}
}

// click clicks on the link with that text.
func (b *tab) click(link string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.Search(fmt.Sprintf(`//a[normalize-space()=%q]`, link))))
}

// find types into the search box, by its key, and presses Enter.
func (b *tab) find(text string) {
	b.t.Helper()
	b.keys("/" + text + "\r")
}

// logIn logs in by the form, with the admin key.
func (b *tab) logIn() {
	b.t.Helper()
	b.open("login")
	b.write(`input[name=key]`, adminKey)
	b.press("Log in")
	b.until(`location.pathname === "/console/"`)
}
