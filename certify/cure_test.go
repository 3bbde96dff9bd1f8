package certify

import (
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"paynotify/profile"
)

// Whatever fails, in whatever dialect, there is a cure in every language, with nothing left to fill in.
func TestCures(t *testing.T) {
	for _, p := range append(profile.All(), &profile.Profile{Name: "new", Key: profile.KeySecret}) {
		for _, c := range cases {
			for _, topic := range []topic{c.topic, topicAnswer} {
				cure := topicCure(p, topic, c.why)
				if cure.Why == "" || cure.Topic == "" || len(cure.Snippets) != len(Languages) {
					t.Fatalf("%s %s: %+v", p.Name, c.name, cure)
				}
				for _, s := range cure.Snippets {
					if strings.TrimSpace(s.Code) == "" {
						t.Errorf("%s %s: nothing in %s", p.Name, c.name, s.Language)
					}
					for _, left := range []string{"{yes}", "{no}", "{ack}", "{sign_type}", "\r"} {
						if strings.Contains(s.Code, left) {
							t.Errorf("%s %s, %s: %q is left in\n%s", p.Name, c.name, s.Language, left, s.Code)
						}
					}
				}
			}
		}
	}
}

// Every file is used, and every section is one that somebody asks for.
func TestCureFiles(t *testing.T) {
	for file, found := range cureTexts() {
		names := slices.Sorted(maps.Keys(found))
		var want []string
		for _, language := range Languages {
			low := strings.ToLower(language)
			want = append(want, low)
			if strings.HasPrefix(file, "answer_") {
				want = append(want, low+" yes", low+" no")
			}
		}
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("%s.txt has sections %q, want %q", file, names, want)
		}
		name, ofProfile := strings.CutPrefix(file, "verify_")
		if _, known := profile.ByName(name); ofProfile && !known && !slices.Contains(
			[]string{"rsa", "secret", "header"}, name) {
			t.Errorf("%s.txt belongs to no profile", file)
		}
	}
}

// The snippets are read by each language's own parser, where it is on this machine.
func TestCuresParse(t *testing.T) {
	check := map[string]func(code string) string{
		"PHP": command(t, func(code string) (string, []string) { return "<?php\n" + code, []string{"php", "-l"} }),
		"Node": command(t, func(code string) (string, []string) {
			return "async function f() {\n" + code + "\n}", []string{"node", "--check", "-"}
		}),
		"Python": command(t, func(code string) (string, []string) {
			return code, []string{"python3", "-c", "import ast,sys; ast.parse(sys.stdin.read())"}
		}),
		"Go": func(code string) string {
			text := "package p\nfunc f() {\n" + code + "\n}"
			if _, err := parser.ParseFile(token.NewFileSet(), "x.go", text, 0); err != nil {
				return err.Error()
			}
			return ""
		},
	}
	seen := map[string]bool{}
	for _, p := range profile.All() {
		for _, topic := range []topic{topicAnswer, topicOnce, topicVerify, topicCharset, topicOrder} {
			for _, s := range topicCure(p, topic, "why").Snippets {
				run := check[s.Language]
				if run == nil || seen[s.Language+s.Code] {
					continue
				}
				seen[s.Language+s.Code] = true
				if fault := run(s.Code); fault != "" {
					t.Errorf("%s %s, %s: %s\n%s", p.Name, topicNames[topic], s.Language, fault, s.Code)
				}
			}
		}
	}
}

// command runs a program on the text that wrap makes of a snippet; nil where it is not installed.
func command(t *testing.T, wrap func(code string) (text string, args []string)) func(string) string {
	t.Helper()
	if _, args := wrap(""); testing.Short() || !installed(args[0]) {
		return nil
	}
	return func(code string) string {
		text, args := wrap(code)
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			return err.Error() + ": " + string(out)
		}
		return ""
	}
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// One digit changes, and nothing else.
func TestTamper(t *testing.T) {
	for _, c := range []struct{ amount, text, want string }{
		{"total_amount", "a=1&total_amount=88.88&b=2", "a=1&total_amount=98.88&b=2"},
		{"fee", "<x><fee><![CDATA[9000]]></fee></x>", "<x><fee><![CDATA[8000]]></fee></x>"},
		{`"amount"`, `{"id":1,"amount":8888}`, `{"id":1,"amount":9888}`},
		{"", `{"resource":{"ciphertext":"ab0+1/=="}}`, `{"resource":{"ciphertext":"ab0+2/=="}}`},
		{"total_amount", "a=1", ""},
		{"a", "a=x", ""},
	} {
		got, err := tamperText([]byte(c.text), c.amount)
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v, want %q", c.text, got, err, c.want)
		}
	}
}
