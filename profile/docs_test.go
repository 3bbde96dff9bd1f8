package profile

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/retry"
	"paynotify/store"
)

var update = flag.Bool("update", false, "rewrite docs/profiles.md")

const docsFile = "../docs/profiles.md"

// TestProfilesDoc: the documentation's tables are what the code does. After a change run it with -update, and
// read the diff.
func TestProfilesDoc(t *testing.T) {
	want := docsPage(t)
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code does: run this test with -update and read the diff\n%s",
			docsFile, firstDifference(string(got), want))
	}
}

func firstDifference(got, want string) string {
	have, wish := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(have), len(wish)) {
		if have[i] != wish[i] {
			return fmt.Sprintf("line %d is\n%s\nwant\n%s", i+1, have[i], wish[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(have), len(wish))
}

// In these texts ' stands for the backquote.
const (
	docsHead = `# Profiles

<!-- Made from the code by "go test ./profile -run TestProfilesDoc -update". Do not edit. -->

A profile is one provider’s dialect: how a notification is written and signed, which reply counts as its
acknowledgement, and when it is sent again. A merchant has one, as 'profile'; everything in these tables but
the wire format itself can be set per merchant ('sign_type', 'ack', 'schedule', 'options').

- **You run the platform**: take the profile whose SDK your merchants have, and give the parameters of that
  provider, under its own names, as 'params'. What stands under *sent besides params* is added; a parameter of
  the same name replaces it.
- **You are a merchant**: your row says what arrives, what to verify with and what to answer. Receivers to
  copy are in [examples/merchant](../examples/merchant), and 'paynotify verify' says what is wrong with a
  captured request.

`
	docsDialects = `
The first of several values is the default. Every request also carries 'Host', 'User-Agent', 'Accept: */*',
'Accept-Encoding: identity' and, with a body, 'Content-Length'. A query that the profile refuses is possible
with 'options.allow_query' all the same.

`
	docsSchedules = `
A merchant or a notification may have a list of its own, such as '15s,1m,5m'; 'paynotify schedule NAME' prints
the offset and the instant of every send.

`
	docsReasons = `## What became of an attempt

The reason of every attempt, with its cause and its cure: what the timeline says as 'hint'. Near-misses were
meant as acknowledgements and do not count; a merchant may take single ones by 'ack.lenient'.

`
)

func quoted(text string) string {
	return strings.NewReplacer("'", "`", "’", "'").Replace(text)
}

// docsPage writes the page. Its tables have one row each for what can be looked up by name.
func docsPage(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(quoted(docsHead))
	profilesTable(t, &b)
	optionsTable(&b)
	schedulesTable(t, &b)
	reasonsTable(&b)
	return b.String()
}

func profilesTable(t *testing.T, b *strings.Builder) {
	t.Helper()
	b.WriteString("## Dialects\n\n")
	tableHead(b, "profile", "what", "request", "sign_type", "key", "acknowledged by", "schedule", "waits",
		"sends", "in", "headers", "sent besides params", "default notify_type", "notify_id in", "key rotation",
		"query in notify_url", "options")
	for _, r := range Table() {
		tableRow(b, code(r.Name), r.Summary, r.Method+" "+bodyKind(t, r.Name), codes(r.SignTypes), keyText(r),
			r.Ack, code(r.Schedule), waitsText(r.Waits), fmt.Sprint(r.Sends), brief(r.Sum), codes(r.Headers),
			codes(r.Adds), code(r.NotifyType), code(r.NotifyID), rotation(r),
			map[bool]string{true: "allowed", false: "refused"}[r.AllowQuery], codes(r.Options))
	}
	b.WriteString(quoted(docsDialects))
}

func keyText(r Row) string {
	if r.Unsigned {
		return "– **unsigned**"
	}
	return r.Key
}

func rotation(r Row) string {
	switch {
	case r.Unsigned:
		return ""
	case r.Overlap:
		return "both keys sign for `overlap`"
	}
	return "switches at `at`"
}

// bodyKind says what a real send of the profile carries, in its defaults.
func bodyKind(t *testing.T, name string) string {
	t.Helper()
	p, ok := ByName(name)
	if !ok {
		t.Fatalf("no profile %s", name)
	}
	m, n := sample(p)
	msg := encode(t, p, m, n, vectorTime)
	req := captured(msg)
	kind, _, _ := strings.Cut(req.Get("Content-Type"), ";")
	switch {
	case len(msg.Body) == 0 && msg.Query != "":
		return "query"
	case kind == "application/x-www-form-urlencoded":
		return "form"
	case strings.HasSuffix(kind, "/xml"):
		return "XML"
	case kind == "application/json":
		return "JSON"
	}
	t.Errorf("%s: no word for a body of %q", name, kind)
	return ""
}

func optionsTable(b *strings.Builder) {
	b.WriteString("## Options\n\n")
	tableHead(b, "profile", "option", "values", "what it says")
	for _, p := range All() {
		for _, o := range p.Options {
			tableRow(b, code(p.Name), code(o.Name), code(o.choices()), o.Doc)
		}
	}
	for _, o := range CommonOptions {
		tableRow(b, "every", code(o.Name), code(o.choices()), o.Doc)
	}
	b.WriteString("\n")
}

func schedulesTable(t *testing.T, b *strings.Builder) {
	t.Helper()
	b.WriteString("## Schedules\n\n")
	tableHead(b, "name", "waits", "sends", "in", "default of")
	for _, name := range retry.Names() {
		s, err := retry.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		var users []string
		for _, p := range All() {
			if p.Schedule == name {
				users = append(users, p.Name)
			}
		}
		tableRow(b, code(name), waitsText(s.Waits()), fmt.Sprint(s.Sends()), brief(s.Sum()), codes(users))
	}
	b.WriteString(quoted(docsSchedules))
}

// reasonsTable explains the replies first, which are the merchant's to mend, and then the rest.
func reasonsTable(b *strings.Builder) {
	b.WriteString(quoted(docsReasons))
	tableHead(b, "reason", "verdict", "near-miss", "cause", "cure")
	for _, r := range store.Reasons {
		verdict := code(string(store.VerdictOf(r)))
		switch r {
		case store.AckStatus:
			verdict = codes([]string{"refused", "http_4xx", "http_5xx"})
		case store.HTTPStatus:
			verdict = codes([]string{"http_4xx", "http_5xx"})
		}
		e := Explain(r)
		near := map[bool]string{true: "yes"}[r.NearMiss()]
		tableRow(b, code(string(r)), verdict, near, escaped(e.Cause), escaped(e.Cure))
	}
}

func tableHead(b *strings.Builder, names ...string) {
	tableRow(b, names...)
	b.WriteString(strings.Repeat("|---", len(names)) + "|\n")
}

func tableRow(b *strings.Builder, cells ...string) {
	for _, cell := range cells {
		b.WriteString("| " + cmp.Or(cell, "–") + " ")
	}
	b.WriteString("|\n")
}

// escaped keeps a text from being read as Markdown or HTML.
func escaped(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "_", `\_`, "*", `\*`).Replace(text)
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

func codes(texts []string) string {
	list := slices.Clone(texts)
	for i := range list {
		list[i] = code(list[i])
	}
	return strings.Join(list, ", ")
}

func waitsText(waits []time.Duration) string {
	list := make([]string, len(waits))
	for i, w := range waits {
		list[i] = brief(w)
	}
	return strings.Join(list, " ")
}

// brief writes a duration as people do: 24h24m, and not 24h24m0s.
func brief(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// TestTableNotifyID: where the table says that a notify_id is sent, a real send carries it there, and nowhere
// else.
func TestTableNotifyID(t *testing.T) {
	for _, row := range Table() {
		p, _ := ByName(row.Name)
		m, n := sample(p)
		msg := encode(t, p, m, n, vectorTime)
		at := ""
		if fields := string(msg.Body) + msg.Query; row.NotifyID != "" {
			for _, form := range []string{"%s=%s", `"%s":"%s"`, "<%s><![CDATA[%s]]>"} {
				if strings.Contains(fields, fmt.Sprintf(form, row.NotifyID, n.NotifyID)) {
					at = row.NotifyID
				}
			}
			if req := captured(msg); req.Get(row.NotifyID) == n.NotifyID {
				at = row.NotifyID
			}
		} else if strings.Contains(fmt.Sprint(msg.Header)+fields, n.NotifyID) {
			at = "somewhere"
		}
		if at != row.NotifyID {
			t.Errorf("%s: the notify_id is sent in %q, the table says %q", row.Name, at, row.NotifyID)
		}
	}
}

// TestReadmeRows: the README's short table has a row for every profile, in the same order.
func TestReadmeRows(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(readme), "\n## Profiles\n")
	if !ok {
		t.Fatal("README.md has no section Profiles")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var rows, want []string
	for _, found := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(table, -1) {
		rows = append(rows, found[1])
	}
	for _, p := range All() {
		want = append(want, p.Name)
	}
	if !slices.Equal(rows, want) {
		t.Errorf("README.md's table has rows for\n%v, want one for each of\n%v", rows, want)
	}
}
