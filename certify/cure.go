package certify

import (
	"cmp"
	"embed"
	"fmt"
	"strings"
	"sync"

	"paynotify/profile"
	"paynotify/store"
)

// Cure says what a wrong answer does and how receiving code avoids it.
type Cure struct {
	Why      string    // sentences; empty when there is nothing to cure
	Topic    string    // what the snippets are about; the same topic has the same snippets
	Snippets []Snippet // one a language, in the order of Languages; none where no code is at fault
}

// Snippet is the cure in one language: the lines that matter, not a program.
type Snippet struct{ Language, Code string }

// Languages lists the languages of the snippets.
var Languages = []string{"PHP", "Java", "Go", "Node", "Python"}

// String is the whole cure as one text, empty when there is nothing to cure.
func (c Cure) String() string {
	var b strings.Builder
	b.WriteString(c.Why)
	for _, s := range c.Snippets {
		fmt.Fprintf(&b, "\n\n%s:\n%s", s.Language, s.Code)
	}
	return b.String()
}

// topic is what a cure is about.
type topic int

const (
	topicAnswer topic = iota
	topicOnce
	topicVerify
	topicCharset
	topicOrder
)

// topicNames are for people; the numbers of topics are the indices.
var topicNames = [...]string{
	topicAnswer: "Answer the acknowledgement and nothing else", topicOnce: "Book once, acknowledge always",
	topicVerify: "Verify the signature before anything else", topicCharset: "Refuse bytes that are no UTF-8",
	topicOrder: "Let a state only move forward",
}

// cureOf is the cure for an answer that a case must not get.
func cureOf(p *profile.Profile, c testCase, a answer) Cure {
	hint := profile.Explain(a.Reason).Hint()
	switch {
	case a.status == 0: // no code of the merchant's answered
		return Cure{Why: hint}
	case taken(a.Verdict, a.Reason) && !c.forgery && a.Verdict != store.Acked:
		return topicCure(p, topicAnswer, c.why+" "+hint) // a yes that nobody understands
	case c.name == caseGood && (a.Reason == store.AckMismatch || a.Reason == store.HTTPStatus):
		return topicCure(p, topicVerify, c.why+" Three causes are usual: the order number is made up, so the test"+
			" setup must acknowledge orders that it does not know; the keys do not belong together; the receiver"+
			" signs another text, which paynotify verify shows for a captured request. "+hint)
	case c.forgery && a.Reason.NearMiss():
		return topicCure(p, c.topic, c.why+" (The reply is no acknowledgement, but was meant as one.)")
	case c.forgery || c.topic == topicCharset:
		return topicCure(p, c.topic, c.why)
	}
	return topicCure(p, c.topic, c.why+" "+hint)
}

func topicCure(p *profile.Profile, t topic, why string) Cure {
	c := Cure{Why: strings.TrimSpace(why), Topic: topicNames[t]}
	for _, language := range Languages {
		c.Snippets = append(c.Snippets, Snippet{language, snippet(p, t, language)})
	}
	return c
}

//go:embed cures/*.txt
var cureFiles embed.FS

// cureTexts are the files' sections, by file and section: `[php]` begins one, and what stands before the
// first is for whoever edits the file.
var cureTexts = sync.OnceValue(func() map[string]map[string]string {
	files, err := cureFiles.ReadDir("cures")
	if err != nil {
		panic(err) // the files are part of the binary
	}
	texts := make(map[string]map[string]string, len(files))
	for _, f := range files {
		raw, err := cureFiles.ReadFile("cures/" + f.Name())
		if err != nil {
			panic(err)
		}
		texts[strings.TrimSuffix(f.Name(), ".txt")] = sections(string(raw))
	}
	return texts
})

func sections(text string) map[string]string {
	found := map[string]string{}
	name, body := "", []string(nil)
	keep := func() {
		if name != "" {
			found[name] = strings.TrimRight(strings.Join(body, "\n"), "\n")
		}
		body = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		head, isHead := strings.CutPrefix(line, "[")
		if head, closed := strings.CutSuffix(head, "]"); isHead && closed {
			keep()
			name = head
			continue
		}
		body = append(body, line)
	}
	keep()
	return found
}

// snippet is what a topic says in a language, with the dialect's yes, no and word put in.
func snippet(p *profile.Profile, t topic, language string) string {
	texts, low := cureTexts(), strings.ToLower(language)
	answers := texts[answerFile(p)]
	code := texts[cureFile(p, t)][low]
	code = fill(code, "{yes}", answers[low+" yes"])
	code = fill(code, "{no}", answers[low+" no"])
	signType := ""
	if len(p.SignTypes) > 0 {
		signType = p.SignTypes[0]
	}
	return strings.NewReplacer("{ack}", cmp.Or(p.Ack.Text, "success"), "{sign_type}", signType).Replace(code)
}

// cureFile is the file of a topic; a dialect without a text of its own has that of its kind of key.
func cureFile(p *profile.Profile, t topic) string {
	switch t {
	case topicOnce:
		return "once"
	case topicCharset:
		return "charset"
	case topicOrder:
		return "order"
	case topicVerify:
		if _, own := cureTexts()["verify_"+p.Name]; own {
			return "verify_" + p.Name
		}
		return map[profile.KeyNeed]string{
			profile.KeyNone: "verify_header", profile.KeyRSA: "verify_rsa", profile.KeyRSAAndSecret: "verify_rsa",
			profile.KeySecret: "verify_secret", profile.KeyWebhook: "verify_secret",
		}[p.Key]
	}
	return answerFile(p)
}

func answerFile(p *profile.Profile) string {
	switch p.Ack.Match {
	case "xml_return_code":
		return "answer_xml"
	case "status":
		return "answer_status"
	}
	return "answer_text"
}

// fill puts a text in place of a word, indented like the line that the word stands in.
func fill(code, word, text string) string {
	lines := strings.Split(code, "\n")
	for i, line := range lines {
		if strings.Contains(line, word) {
			indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
			lines[i] = strings.ReplaceAll(line, word, strings.ReplaceAll(text, "\n", "\n"+indent))
		}
	}
	return strings.Join(lines, "\n")
}
