package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/profile"
	"paynotify/store"
)

// captured is a notification of a profile on its way: the raw request, and files with the keys of both sides.
type captured struct {
	raw     string
	msg     profile.Message
	sender  []string // flags that bring the keys to sign with
	verify  []string // and to verify with
	options []string
}

func capturedOf(t *testing.T, p *profile.Profile, signType string, options ...string) captured {
	t.Helper()
	values, err := optionValues(options)
	if err != nil {
		t.Fatal(err)
	}
	m := &store.Merchant{MchID: "m1", Profile: p.Name, AppID: "app1", SignType: signType, Options: values}
	key, faults := profile.NewMaterial(p, m, profile.Material{}, profile.Material{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	now := time.Now()
	public, err := key.Public("m1", now)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := profile.LoadKeys(p, m, []profile.Material{key})
	if err != nil {
		t.Fatal(err)
	}
	c := captured{}
	c.msg, err = profile.Encode(p, profile.Input{
		Notification: &store.Notification{
			NotifyID: store.NewID(now, 0), MchID: "m1", Profile: p.Name, NotifyType: p.NotifyType,
			OutTradeNo: "o1", Params: json.RawMessage(`{"attach":"测试 A&B=1"}`), CreatedAt: now,
		},
		Merchant: m, Keys: keys, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.raw = c.msg.Method + " /notify?" + c.msg.Query + " HTTP/1.1\r\nHost: shop.example\r\n"
	for _, h := range c.msg.Header {
		c.raw += h.Name + ": " + h.Value + "\r\n"
	}
	if c.msg.Method == "POST" {
		c.raw += fmt.Sprintf("Content-Length: %d\r\n", len(c.msg.Body))
	}
	c.raw += "\r\n" + string(c.msg.Body)
	dir := t.TempDir()
	file := func(flag, text string) []string {
		if text == "" {
			return nil
		}
		name := filepath.Join(dir, strings.Trim(flag, "-")+fmt.Sprint(len(text)))
		if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{flag, name}
	}
	for _, o := range options {
		c.options = append(c.options, "--option", o)
	}
	if signType != "" {
		c.options = append(c.options, "--sign-type", signType)
	}
	c.sender = append(file("--private-key", key.PrivateKey+key.Whsk), file("--secret-file", key.Secret)...)
	c.verify = append(file("--public-key", public.PEM+public.Whpk), file("--secret-file", key.Secret)...)
	return c
}

// runAlone runs a command that needs no server.
func runAlone(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	err := root.ExecuteContext(context.Background())
	code = exitCode(context.Background(), err)
	report(&errs, code, err)
	return code, out.String(), errs.String()
}

func readChecked(t *testing.T, stdout string) (v checked) {
	t.Helper()
	if strings.Count(stdout, "\n") != 1 {
		t.Fatalf("not one line: %q", stdout)
	}
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// What any profile signs verifies, and breaks the right rule when a byte of it is another.
func TestVerifyEveryProfile(t *testing.T) {
	type settings struct {
		profile, signType string
		options           []string
	}
	all := []settings{
		{"form", "", []string{"header_signature=true"}},
		{"epay", "", []string{"header_signature=true"}},
		{"standard", "v1a", []string{"svix_headers=true"}},
		{"stripe", "", []string{"signature_header=X-Signature"}},
	}
	for _, p := range profile.All() {
		all = append(all, settings{profile: p.Name})
	}
	for _, s := range all {
		p, _ := profile.ByName(s.profile)
		c := capturedOf(t, p, s.signType, s.options...)
		args := append([]string{"verify", "--json", "--profile", p.Name}, append(c.verify, c.options...)...)
		code, stdout, stderr := runAlone(c.raw, args...)
		want := checked{Verified: true, Profile: p.Name, StringToSign: string(c.msg.StringToSign)}
		got := readChecked(t, stdout)
		if d := cmp.Diff(want, got, cmp.AllowUnexported(checked{})); d != "" || code != exitOK || stderr != "" {
			t.Errorf("%+v: exit code %d\n%s%s", s, code, d, stderr)
		}
		if c.msg.StringToSign == nil {
			continue // nothing is signed
		}
		// The last ordinary character of what is signed, wherever it is sent.
		at := strings.LastIndex(c.raw, "A%26B")
		if at < 0 {
			at = strings.LastIndex(c.raw, "A&B")
		}
		if at < 0 {
			at = strings.Index(c.raw, `"ciphertext":"`) + len(`"ciphertext":"`)
		}
		tampered := []byte(c.raw)
		tampered[at] ^= 1
		code, stdout, _ = runAlone(string(tampered), args...)
		got = readChecked(t, stdout)
		if code != exitData || got.Verified || got.Rule != "signature" || got.Detail == "" {
			t.Errorf("%+v, tampered: exit code %d, %s", s, code, stdout)
		}
	}
}

// legacyCapture is legacyOrder on the wire.
const legacyCapture = "POST /n HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n" +
	legacyOrder + legacySign

func legacyKey(t *testing.T, secret string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestVerifySaysWhy(t *testing.T) {
	key, secret := legacyKey(t, legacySecret+"\n"), "--secret-file"
	other, blank := legacyKey(t, "x"+legacySecret), legacyKey(t, legacySecret+" \n")
	noSign := strings.Replace(legacyCapture, "&sign=", "&sing=", 1)
	for _, c := range []struct {
		name, raw string
		args      []string
		code      int
		want      []string
	}{
		{"fine", legacyCapture, nil, exitOK, []string{
			"✓ verified  alipay_mapi", "out_trade_no 1",
			"notify_id=ac05099524730693a8b330c5ecf72da9786&out_trade_no=1&trade_status=TRADE_SUCCESS",
		}},
		{"a line end too many", legacyCapture + "\n", nil, exitData, []string{
			"✗ signature", "without the line end behind the body it verifies",
		}},
		{"another key", legacyCapture, []string{secret, other}, exitData, []string{
			"✗ signature", "compare the key",
		}},
		{"blanks round the key", legacyCapture, []string{secret, blank}, exitData, []string{
			"✗ signature", "without the blanks round the secret",
		}},
		{"no key", legacyCapture, []string{secret, ""}, exitData, []string{"no secret to verify with"}},
		{"another profile", legacyCapture, []string{"--profile", "jeepay"}, exitData, []string{
			"it verifies as profile alipay_mapi",
		}},
		{"no signature", noSign, nil, exitData, []string{"✗ missing"}},
		{"a sign_type", strings.Replace(legacyCapture, "=MD5", "=RSA", 1), nil, exitData, []string{"✗ sign_type"}},
		{"an escape", strings.Replace(legacyCapture, "_no=1", "_no=%1", 1), nil, exitData, []string{"✗ encoding"}},
		{"twice", legacyCapture + "&notify_id=1", nil, exitData, []string{"✗ parameter"}},
		{"no request", legacyOrder, nil, exitData, []string{"✗ request", "no request line"}},
		{"unsigned", legacyCapture, []string{"--profile", "form", "--secret-file", ""}, exitOK, []string{
			"! unsigned", "anybody could have sent this",
		}},
	} {
		args := append([]string{"verify", "-", "--profile", "alipay_mapi", "--secret-file", key}, c.args...)
		code, stdout, stderr := runAlone(c.raw, args...)
		for _, want := range c.want {
			if !strings.Contains(stdout, want) || code != c.code || stderr != "" {
				t.Errorf("%s: exit code %d, want %d and %q in\n%s%s", c.name, code, c.code, want, stdout, stderr)
			}
		}
	}
}

// Bytes that JSON cannot hold are written as the API writes them.
func TestVerifyStringToSignThatIsNoText(t *testing.T) {
	raw := strings.Replace(legacyCapture, "out_trade_no=1", `out_trade_no=%B6%A9\`, 1)
	code, stdout, stderr := runAlone(raw, "verify", "--json", "--profile", "alipay_mapi")
	v := readChecked(t, stdout)
	const want = `&out_trade_no=\xb6\xa9\\&`
	if code != exitData || v.Rule != "encoding" || !strings.Contains(v.StringToSign, want) {
		t.Errorf("exit code %d, %s", code, stdout)
	}
	if !strings.Contains(stderr, "not valid UTF-8") {
		t.Errorf("stderr %q", stderr)
	}
}

func TestVerifyAndListenRefuseTheSameKeys(t *testing.T) {
	rsa, _ := profile.ByName("alipay")
	c := capturedOf(t, rsa, "")
	public, private := c.verify[1], c.sender[1]
	secret := legacyKey(t, "abc")
	whpk := legacyKey(t, "whpk_ACPgGnFmzjHJqlhbUP1DdxYK4cMBHRx5/xvWU/jfPxo=")
	for _, args := range []struct {
		line string
		code int
		want string
	}{
		{"--profile alipay --secret-file " + secret, exitUsage, "give --public-key FILE"},
		{"--profile alipay_mapi --public-key " + public, exitUsage, "header_signature=true"},
		{"--profile form --secret-file " + secret, exitUsage, "no key: nothing is signed"},
		{"--profile alipay --public-key " + whpk, exitUsage, "give --public-key FILE"},
		{"--profile standard --public-key " + public, exitUsage, "whpk_"},
		{"--profile alipay --public-key " + private, exitData, "private key"},
		{"--profile alipay --public-key " + secret, exitData, "--public-key: no public key"},
		{"--profile alipai", exitUsage, `did you mean "alipay"?`},
		{"--profile alipay --option nope=1", exitUsage, "--option nope"},
		{"--profile alipay --option sign_type_in=tail", exitUsage, "body, omit, query"},
		{"--profile alipay --option header_signature=1", exitUsage, "true or false"},
		{"--profile alipay --option nope", exitUsage, "NAME=VALUE"},
		{"--profile alipay --sign-type MD5", exitUsage, "RSA2, RSA"},
		{"--profile alipay --public-key /nonexistent", exitNotFound, "nonexistent"},
	} {
		for _, command := range []string{"verify", "listen --listen 127.0.0.1:0"} {
			code, stdout, stderr := runAlone("", strings.Fields(command+" "+args.line)...)
			if code != args.code || !strings.Contains(stderr, args.want) || stdout != "" {
				t.Errorf("%s %s: exit code %d, want %d and %q in %q",
					command, args.line, code, args.code, args.want, stderr)
			}
		}
	}
	if code, _, _ := runAlone("", "verify", "/nonexistent", "--profile", "form"); code != exitNotFound {
		t.Errorf("a missing file: exit code %d", code)
	}
	if code, _, _ := runAlone("", "verify"); code != exitUsage {
		t.Errorf("no profile: exit code %d", code)
	}
	// Half of the keys would refuse everything: listen says so, verify says it in the result.
	for _, line := range []string{
		"--profile wechat_v3 --secret-file " + secret,
		"--profile epay --option header_signature=true --secret-file " + secret,
		"--profile epay --option header_signature=true --public-key " + public,
	} {
		code, _, stderr := runAlone("", strings.Fields("listen --listen 127.0.0.1:0 "+line)...)
		if code != exitUsage || !strings.Contains(stderr, "two keys") {
			t.Errorf("listen %s: exit code %d, %q", line, code, stderr)
		}
	}
}
