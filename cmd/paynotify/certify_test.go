package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/certify"
	"paynotify/profile"
	"paynotify/sandbox"
)

// readSheet reads what certify --json printed: the cases, and the last line.
func readSheet(t *testing.T, stdout string) (cases []certified, last map[string]any) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	for _, line := range lines[:len(lines)-1] {
		var c certified
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, name := range []string{"case", "passed", "verdict", "status", "reply", "cure"} {
			if !strings.Contains(line, `"`+name+`":`) {
				t.Errorf("%s has no %s", line, name)
			}
		}
		cases = append(cases, c)
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	return cases, last
}

func startShop(t *testing.T, shop *sandbox.Merchant) string {
	t.Helper()
	if err := shop.Start(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shop.Close() })
	return shop.URL()
}

// keysOf reads the key files that flags name.
func keysOf(t *testing.T, flags []string) (public, secret string) {
	t.Helper()
	for i := 0; i < len(flags); i += 2 {
		text, err := os.ReadFile(flags[i+1])
		if err != nil {
			t.Fatal(err)
		}
		if flags[i] == "--public-key" {
			public = string(text)
		} else {
			secret = strings.TrimSpace(string(text))
		}
	}
	return public, secret
}

// In every profile a verifying merchant passes and a naive one is found, from key files to JSON lines.
func TestCertifyEveryProfile(t *testing.T) {
	for _, p := range profile.All() {
		t.Run(p.Name, func(t *testing.T) {
			keys := capturedOf(t, p, "")
			public, secret := keysOf(t, keys.verify)
			args := append([]string{"--profile", p.Name, "--json"}, keys.sender...)
			for _, c := range []struct {
				shop     *sandbox.Merchant
				verifies bool
				failed   []string
			}{
				{&sandbox.Merchant{Profile: p.Name, PublicKey: public, Secret: secret}, !p.Unsigned, nil},
				{&sandbox.Merchant{Profile: p.Name}, false, []string{"tampered", "wrong_key", "probe"}},
			} {
				if p.Unsigned {
					c.failed = nil
				}
				code, stdout, stderr := runAlone("", append([]string{"certify", startShop(t, c.shop)}, args...)...)
				cases, last := readSheet(t, stdout)
				want := map[string]any{
					"passed": float64(len(certify.Names()) - len(c.failed)), "failed": float64(len(c.failed)),
					"verifies_signatures": c.verifies,
				}
				var names, failed []string
				for _, line := range cases {
					names = append(names, line.Case)
					if !line.Passed {
						failed = append(failed, line.Case)
					}
					taken := line.Verdict != nil && *line.Verdict == "acked" && *line.Status == 200
					if !line.Passed && (!taken || !strings.Contains(line.Cure, "PHP:\n")) {
						t.Errorf("%+v", line)
					}
				}
				wantCode := exitOK
				if c.failed != nil {
					wantCode = exitData
				}
				if d := cmp.Diff(want, last) + cmp.Diff(certify.Names(), names) + cmp.Diff(c.failed, failed); d != "" ||
					code != wantCode || !strings.HasPrefix(stderr, "certifying http://") {
					t.Errorf("exit code %d, %s\n%s", code, d, stderr)
				}
			}
		})
	}
}

func TestCertifyForPeople(t *testing.T) {
	secret := legacyKey(t, legacySecret)
	key := []string{"--profile", "alipay_mapi", "--secret-file", secret}
	for _, c := range []struct {
		shop *sandbox.Merchant
		args []string
		code int
		want []string
	}{
		{&sandbox.Merchant{Profile: "alipay_mapi", Secret: legacySecret}, key, exitOK, []string{
			"✓ good           acked 200 success", "✓ probe          refused ack_mismatch 200 fail",
			"7 passed, 0 failed. It verifies signatures.",
		}},
		{&sandbox.Merchant{}, key, exitData, []string{
			"✗ tampered       acked 200 success", "4 passed, 3 failed. It does NOT verify signatures",
			"\ntampered\nThe amount was changed", "  PHP\n    $p = $_POST;", "anything else: see above",
		}},
		{&sandbox.Merchant{Reply: "500"}, key, exitData, []string{
			"✗ good           http_5xx http_status 500", "cannot be told", "server answered with an error",
		}},
		{&sandbox.Merchant{Profile: "form"}, []string{"--profile", "form"}, exitOK, []string{
			"- tampered       not sent", "7 passed, 0 failed. Profile form signs nothing",
		}},
	} {
		url := startShop(t, c.shop)
		code, stdout, stderr := runAlone("", append([]string{"certify", url}, c.args...)...)
		for _, want := range c.want {
			if !strings.Contains(stdout, want) || code != c.code || stderr != "" {
				t.Errorf("%s: exit code %d, no %q in\n%s%s", c.shop.Reply, code, want, stdout, stderr)
			}
		}
	}
}

func TestCertifyUnsignedAndUnreachableJSON(t *testing.T) {
	url := startShop(t, &sandbox.Merchant{Profile: "form"})
	_, stdout, _ := runAlone("", "certify", url, "--profile", "form", "--json")
	cases, _ := readSheet(t, stdout)
	c := cases[2]
	if !c.Passed || c.Verdict != nil || c.Status != nil || !strings.Contains(c.Cure, "Nothing is signed") {
		t.Errorf("%+v", c)
	}
	gone := &sandbox.Merchant{}
	url = startShop(t, gone)
	gone.Close()
	code, stdout, _ := runAlone("", "certify", url, "--profile", "form", "--json")
	cases, last := readSheet(t, stdout)
	c = cases[0]
	if code != exitData || c.Passed || *c.Verdict != "connect_error" || c.Status != nil || c.Cure == "" {
		t.Errorf("exit code %d, %+v", code, c)
	}
	if c = cases[1]; c.Passed || c.Verdict != nil || !strings.Contains(c.Cure, "cannot be reached") {
		t.Errorf("%+v", c)
	}
	if last["failed"] != 4.0 || last["passed"] != 3.0 { // what needs a signature is not asked
		t.Errorf("%+v", last)
	}
}

// A certify that cannot even begin says what is missing, before anything is sent.
func TestCertifyRefusesWrongFlags(t *testing.T) {
	secret := legacyKey(t, legacySecret)
	alipay, _ := profile.ByName("alipay")
	private := capturedOf(t, alipay, "").sender[1]
	shop := &sandbox.Merchant{}
	url := startShop(t, shop)
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"", exitUsage, "needs URL"},
		{url, exitUsage, "--profile is missing"},
		{url + " --profile alipai", exitUsage, `did you mean "alipay"?`},
		{url + " --profile alipay", exitUsage, "needs --private-key"},
		{url + " --profile epay", exitUsage, "needs --secret-file"},
		{url + " --profile wechat_v3 --private-key " + private, exitUsage, "needs --secret-file"},
		{url + " --profile standard --sign-type v1a --secret-file " + secret, exitUsage, "needs --private-key"},
		{
			url + " --profile standard --private-key " + private + " --secret-file " + secret, exitUsage,
			"does not sign with --private-key",
		},
		{url + " --profile form --secret-file " + secret, exitUsage, "does not sign with --secret-file"},
		{url + " --profile alipay --private-key " + secret, exitData, "--private-key"},
		{url + " --profile standard --secret-file " + secret, exitData, "--secret-file"},
		{url + "?a=1 --profile epay --secret-file " + secret, exitUsage, "may have no query"},
		{"ftp://x/ --profile form", exitUsage, "URL: "},
		{url + " --profile form --serial 7F", exitData, "serial"},
	} {
		code, stdout, stderr := runAlone("", strings.Fields("certify "+c.line)...)
		if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("certify %s: exit code %d, want %d and %q in %q", c.line, code, c.code, c.want, stderr)
		}
		if strings.Contains(stderr, legacySecret) {
			t.Errorf("certify %s shows the secret: %s", c.line, stderr)
		}
	}
	if shop.Count() > 0 {
		t.Errorf("%d requests were sent", shop.Count())
	}
}
