package certify

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// around is what stands round a snippet so that it runs: the request as the language's frameworks hand it
// over. The snippet refuses in its own way; only what gets past it prints VERIFIED.
var around = map[string]struct {
	program, before, after string
}{
	"PHP": {
		"php", `<?php
$in = json_decode(stream_get_contents(STDIN), true);
foreach ($in['header'] as $name => $value) {
    $_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] = $value;
}
if ($in['form']) { parse_str($in['body'], $_POST); }
parse_str($in['query'], $_GET);
$key = $in['secret'];
$publicKey = $in['public'];
`, "\necho 'VERIFIED';",
	},
	"Node": {
		"node", `
const crypto = require('crypto'), querystring = require('querystring')
const input = JSON.parse(require('fs').readFileSync(0))
const rawBody = input.body, key = input.secret, publicKey = input.public
const req = { get: name => input.header[name], query: { ...querystring.parse(input.query) } }
req.body = input.form ? { ...querystring.parse(rawBody) } : rawBody.startsWith('{') ? JSON.parse(rawBody) : {}
const res = { send() {}, type() { return res } }
function receive() {
`, "\nconsole.log('VERIFIED')\n}\nreceive()",
	},
	"Python": {
		"python3", `
import base64, hashlib, hmac, json, sys, urllib.parse
given = json.load(sys.stdin)
class Fields(dict):
    def to_dict(self): return dict(self)
class Request:
    form = Fields(urllib.parse.parse_qsl(given["body"] if given["form"] else "", keep_blank_values=True))
    args = Fields(urllib.parse.parse_qsl(given["query"], keep_blank_values=True))
request, key = Request(), given["secret"]
def receive():
`, "\n    print('VERIFIED')\nreceive()",
	},
}

// The snippets that need no library are run: they take what we sign, and refuse what certify forges.
func TestSnippetsVerify(t *testing.T) {
	for _, c := range []struct {
		profile   string
		options   map[string]any
		languages []string
	}{
		{"alipay_mapi", nil, []string{"PHP", "Node", "Python"}},
		{"epay", nil, []string{"PHP", "Node", "Python"}},
		{"jeepay", nil, []string{"PHP", "Node", "Python"}},
		{"wechat_v2", nil, []string{"Node"}}, // PHP's SimpleXML is a package of its own
		{"json_rsa", nil, []string{"PHP", "Node"}},
		{"json_rsa", map[string]any{"body": "json"}, []string{"PHP", "Node"}},
		{"form", map[string]any{"header_signature": true}, []string{"PHP", "Node"}},
	} {
		p, _ := profile.ByName(c.profile)
		m := &store.Merchant{MchID: "m1", Profile: p.Name, AppID: "app1", Options: c.options}
		given := profile.Material{}
		if p.Key != profile.KeySecret {
			given.PrivateKey = TestKey()
		}
		key, faults := profile.NewMaterial(p, m, given, profile.Material{})
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		s, err := (&Run{Profile: p, Merchant: m, Key: key}).begin()
		if err != nil {
			t.Fatal(err)
		}
		for _, kase := range cases {
			if kase.name != caseGood && !kase.forgery {
				continue
			}
			msg, err := kase.steps[0](s)
			if err != nil {
				t.Fatal(err)
			}
			for _, language := range c.languages {
				if !installed(around[language].program) {
					continue
				}
				said := runSnippet(t, language, snippet(p, topicVerify, language), msg, key)
				if (said == "VERIFIED") != (kase.name == caseGood) {
					t.Errorf("%s %v in %s: %s: said %q", c.profile, c.options, language, kase.name, said)
				}
			}
		}
	}
}

func runSnippet(t *testing.T, language, code string, msg profile.Message, key profile.Material) string {
	t.Helper()
	public, err := key.Public("m1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]string{}
	for _, h := range msg.Header {
		header[strings.ToLower(h.Name)] = h.Value
	}
	input, err := json.Marshal(map[string]any{
		"header": header, "query": msg.Query, "body": string(msg.Body), "secret": key.Secret, "public": public.PEM,
		"form": strings.Contains(header["content-type"], "form"),
	})
	if err != nil {
		t.Fatal(err)
	}
	a := around[language]
	if language == "PHP" { // the command line has no php://input
		code = strings.ReplaceAll(code, "file_get_contents('php://input')", "$in['body']")
	}
	if language == "Python" {
		code = "    " + strings.ReplaceAll(code, "\n", "\n    ")
	}
	args := map[string][]string{"PHP": {"-d", "display_errors=stderr"}}[language]
	script := writeScript(t, a.before+code+a.after)
	cmd := exec.CommandContext(t.Context(), a.program, append(slices.Clip(args), script)...)
	cmd.Stdin = strings.NewReader(string(input))
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("%s: %s%s\n%s", language, out, exit.Stderr, code)
	} else if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func writeScript(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "snippet")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
