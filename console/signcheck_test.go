package console

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/store"
)

const checkSecret = "testonly0123456789abcdefghijklmn"

// sent is the outcome of an attempt whose request is the merchant's own, signed as the dispatcher signs it.
func (w *world) sent(c store.Claim) store.Outcome {
	w.t.Helper()
	m, err := w.store.Merchant(w.t.Context(), c.MchID)
	if err != nil {
		w.t.Fatal(err)
	}
	p, _ := profile.ByName(c.Profile)
	keys, err := profile.OpenKeys(p, &m, w.ring.Open)
	if err != nil {
		w.t.Fatal(err)
	}
	o := refused(store.AckMismatch, "fail")(c)
	msg, err := profile.Encode(p, profile.Input{
		Notification: &c.Notification, Merchant: &m, Keys: keys, Now: c.ClaimedAt,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	target, refused := (&egress.Rules{}).CheckURL(m.NotifyURL)
	if refused != nil {
		w.t.Fatal(refused)
	}
	req := egress.Request{Target: target, Query: msg.Query, Method: msg.Method}
	o.Attempt.RequestSHA256 = msg.Digest(&req)
	return o
}

// TestSignatureCommands runs the commands that a page shows, for each way of signing there is.
func TestSignatureCommands(t *testing.T) {
	for _, program := range []string{"sh", "base64", "openssl", "od", "sed"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	secret := `"key":{"secret":"` + checkSecret + `"}`
	for name, more := range map[string]string{
		"alipay": "", "alipay/RSA": `"sign_type":"RSA"`, "alipay/gbk": `"charset":"gbk"`,
		"alipay/query": `"options":{"sign_type_in":"query"}`, "alipay_mapi": secret,
		"wechat_v2":      `"app_id":"wx1",` + secret,
		"wechat_v2/HMAC": `"app_id":"wx1","sign_type":"HMAC-SHA256",` + secret,
		"wechat_v3":      `"app_id":"wx1",` + secret, "standard": `"key":{"secret":"whsec_` +
			`dGVzdG9ubHlkb25vdHVzZWluYW55cHJvZHVjdGlvbg=="}`, "stripe": secret, "json_rsa": "",
		"json_rsa/RSA": `"sign_type":"RSA"`, "json_rsa/json": `"options":{"body":"json"}`, "epay": secret,
		"jeepay":      secret,
		"form/header": `"options":{"header_signature":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p, _, _ := strings.Cut(name, "/")
			if more != "" {
				more = "," + more
			}
			w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"`+p+
				`","notify_url":"https://shop.example.com/n"`+more+`}`)
			id := w.call("POST", "/v1/notifications",
				`{"mch_id":"m1","out_trade_no":"20261121","params":{"attach":"苹果 +&=1"}}`)["notify_id"].(string)
			w.settle("m1", w.sent)
			page := w.get("notifications/"+id).want(200, "As a curl command", "curl -X ", "What was signed",
				"Check the signature", "It must print: ")
			key := checkSecret
			if p == "standard" {
				key = "whsec_dGVzdG9ubHlkb25vdHVzZWluYW55cHJvZHVjdGlvbg=="
			}
			page.wantNone(key)
			commands, expect := textAt(t, page, "check")
			printed := runShell(t, commands, key)
			if p == "standard" || p == "stripe" {
				sent, _ := textAt(t, page, "sent")
				if printed = strings.Fields(printed)[0]; !strings.Contains(sent, printed) {
					t.Errorf("the commands print %q, which is not in the request:\n%s", printed, sent)
				}
			} else if expect = strings.TrimPrefix(expect, "It must print: "); expect == "" ||
				!strings.Contains(printed, expect) {
				t.Errorf("the commands print %q, the page promises %q:\n%s", printed, expect, commands)
			}
		})
	}
}

// textAt is the text of the element with an id, and of the one behind it.
func textAt(t *testing.T, r reply, id string) (text, behind string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if attr(n, "id") != id {
			continue
		}
		next := n.NextSibling
		for next != nil && next.Type != html.ElementNode {
			next = next.NextSibling
		}
		return textOf(n), textOf(next)
	}
	t.Fatalf("there is no element %s", id)
	return "", ""
}

func textOf(n *html.Node) string {
	var b strings.Builder
	if n != nil {
		for child := range n.Descendants() {
			if child.Type == html.TextNode {
				b.WriteString(child.Data)
			}
		}
	}
	return b.String()
}

// runShell runs commands where key.txt holds the secret, and returns what they print.
func runShell(t *testing.T, commands, secret string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key.txt"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-e")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(commands)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, out, commands)
	}
	return string(out)
}
