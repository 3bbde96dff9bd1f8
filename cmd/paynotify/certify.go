package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"paynotify/api"
	"paynotify/certify"
	"paynotify/dispatcher/egress"
	"paynotify/profile"
)

// newCertifyCommand drives a merchant's URL through what will happen to it. It needs no server.
func newCertifyCommand() *cobra.Command {
	var d dialect
	var keys certifyKeys
	c := &cobra.Command{
		Use:   "certify URL --profile P (--private-key FILE | --secret-file FILE)",
		Short: "Test a merchant's notify_url: good, forged, repeated and late notifications",
		Long: `Send a merchant's notify_url what a provider, and whoever pretends to be one, will send it sooner or
later, and print a sheet of what the receiving code must change, in PHP, Java, Go, Node and Python. It needs
no server and may reach this machine and private networks.

  good           a rightly signed payment: must be acknowledged
  duplicate      the same one again, as a resend: must be acknowledged again
  tampered       one digit of the amount changed after signing: must not be acknowledged
  wrong_key      signed with another key: must not be acknowledged
  wrong_charset  GBK bytes where UTF-8 is declared: acknowledged or refused, but answered cleanly,
                 without a page, a stack trace or a broken connection
  out_of_order   a later state first, then the earlier one: both must be acknowledged
  probe          a well-formed signature that is wrong: must not be acknowledged

The keys are those that the provider signs with: make some for the test and give the merchant the public
half or the secret. Orders are made up (certify-…), so the merchant's test setup must acknowledge orders that
it does not know. Acknowledged is what the profile's own rule says. A forgery that gets a near-miss of it,
such as SUCCESS in upper case, counts as taken. Where nothing is signed, forgeries are not sent.

--json prints one line a case, {"case","passed","verdict","status","reply","cure"}, with null where nothing
came, and a last one {"passed","failed","verifies_signatures"}. Exit code 0, or 65 when a case fails.`,
		Example: `  paynotify certify http://127.0.0.1:8000/notify --profile alipay --private-key test.pem
  paynotify certify https://shop.example/hook --profile standard --secret-file test.whsec
  paynotify certify http://127.0.0.1:8000/v3 --profile wechat_v3 --private-key test.pem --secret-file v3.key`,
		Args: needs("URL"),
		RunE: func(cmd *cobra.Command, args []string) error { return runCertify(cmd, args[0], &d, keys) },
	}
	d.flags(c, "")
	f := c.Flags()
	f.StringVar(&d.appID, "app-id", "2021000000000001", "the merchant's app id, where the profile sends one")
	f.StringVar(&d.partner, "partner", "", "the merchant's number, where the profile sends one")
	f.StringVar(&keys.privateFile, "private-key", "",
		"file with the private key to sign with: RSA as PEM or bare base64; whsk_… for sign type v1a")
	f.StringVar(&keys.secretFile, "secret-file", "",
		"file with the secret to sign with; for wechat_v3 the APIv3 key")
	f.StringVar(&keys.serial, "serial", "", "wechat_v3: the certificate's serial number, or PUB_KEY_ID_…")
	return c
}

// certifyKeys are the flags that bring what the provider signs with.
type certifyKeys struct{ privateFile, secretFile, serial string }

func runCertify(cmd *cobra.Command, rawURL string, d *dialect, keys certifyKeys) error {
	rules := egress.Rules{Dev: true}
	target, refused := rules.CheckURL(rawURL)
	if refused != nil {
		bad := usagef("URL: %s", refused.Rule)
		bad.do = refused.Cure
		return bad
	}
	if err := d.resolve(rawURL); err != nil {
		return err
	}
	key, err := keys.material(d)
	if err != nil {
		return err
	}
	r := certify.Run{Profile: d.p, Merchant: d.m, Key: key, Target: target}
	r.Client = egress.New(egress.Options{Rules: rules, UserAgent: "paynotify/" + readVersion().Version})
	defer r.Client.Close()

	s := sheet{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), json: wantsJSON(cmd)}
	s.paint = paletteFor(s.out)
	s.head(rawURL, d.p)
	sum, err := r.Do(cmd.Context(), s.result)
	if err != nil {
		return err
	}
	s.end(d.p, sum)
	switch {
	case s.err != nil:
		return s.err
	case sum.Failed > 0:
		return silent{exitData}
	}
	return nil
}

// material reads the keys to sign with; unlike a merchant that is added, a missing one is not generated, for
// who would verify it.
func (k certifyKeys) material(d *dialect) (given profile.Material, err error) {
	if given.PrivateKey, err = readKeyFile("--private-key", k.privateFile); err != nil {
		return given, err
	}
	if given.Secret, err = readKeyFile("--secret-file", k.secretFile); err != nil {
		return given, err
	}
	given.Serial = k.serial
	usesRSA, usesSecret, usesWebhook := d.uses()
	webhook := usesWebhook && d.m.SignType == "v1a"
	isWebhook := strings.HasPrefix(strings.TrimSpace(given.PrivateKey), "wh")
	switch {
	case given.PrivateKey == "" && (usesRSA || webhook):
		return given, missingKey(d, "--private-key", "the private key that the provider signs with")
	case given.Secret == "" && usesSecret:
		return given, missingKey(d, "--secret-file", "the secret that the provider and the merchant share")
	case given.PrivateKey != "" && !isWebhook && !usesRSA, given.PrivateKey != "" && isWebhook && !webhook:
		return given, uselessKey(d, "--private-key")
	case given.Secret != "" && !usesSecret:
		return given, uselessKey(d, "--secret-file")
	}
	made, faults := profile.NewMaterial(d.p, d.m, given, profile.Material{})
	if len(faults) > 0 {
		bad := dataf("%s: %s", flagOf(faults[0].Location), faults[0].Message)
		bad.do = faults[0].Cure
		return made, bad
	}
	return made, nil
}

func missingKey(d *dialect, flag, what string) error {
	bad := usagef("profile %s needs %s", d.p.Name, flag)
	bad.do = "give " + what
	return bad
}

func uselessKey(d *dialect, flag string) error {
	bad := usagef("profile %s does not sign with %s", d.p.Name, flag)
	bad.do = "leave it out"
	if flag == "--private-key" {
		bad.do += ", or set --sign-type v1a (standard) or --option header_signature=true"
	}
	return bad
}

// sheet prints what comes of the cases.
type sheet struct {
	out, notes io.Writer
	paint      palette
	json       bool
	cures      []certify.Result // that differ
	err        error            // the first of out
}

func (s *sheet) head(url string, p *profile.Profile) {
	w := s.out
	if s.json {
		w = s.notes
	}
	fmt.Fprintf(w, "certifying %s as a merchant of %s\n", url, p.Name)
}

// certified is one JSON line.
type certified struct {
	Case    string  `json:"case"`
	Passed  bool    `json:"passed"`
	Verdict *string `json:"verdict"`
	Status  *int    `json:"status"`
	Reply   *string `json:"reply"`
	Cure    string  `json:"cure"`
}

func (s *sheet) result(r certify.Result) {
	if s.json {
		line := certified{Case: r.Case, Passed: r.Passed, Cure: r.Cure.String()}
		if r.Cure.Why == "" && r.Skipped != "" {
			line.Cure = r.Skipped
		}
		if r.Verdict != "" {
			line.Verdict = new(string(r.Verdict))
		}
		if r.Status != 0 {
			line.Status, line.Reply = &r.Status, new(api.EscapeReply(r.Reply))
		}
		s.encode(line)
		return
	}
	mark := s.paint.green("✓")
	switch {
	case !r.Passed:
		mark = s.paint.red("✗")
	case r.Skipped != "":
		mark = s.paint.yellow("-")
	}
	const caseWidth, answerWidth = 14, 32
	s.printf("%s %s %s %s\n", mark, pad(r.Case, caseWidth), pad(s.answer(r), answerWidth), s.paint.dim(r.About))
	if !r.Passed && r.Detail != "" {
		s.printf("  %s %s\n", pad("", caseWidth), printable(r.Detail))
	}
	if r.Cure.Why != "" && r.Skipped == "" {
		s.cures = append(s.cures, r)
	}
}

// answer is what the merchant said, in few words.
func (s *sheet) answer(r certify.Result) string {
	if r.Verdict == "" {
		return "not sent"
	}
	words := string(r.Verdict)
	if r.Reason != "" && r.Reason != "ack_exact" {
		words += " " + string(r.Reason)
	}
	if r.Status != 0 {
		words += " " + strconv.Itoa(r.Status) + " " + replyShort(r.Reply)
	}
	return strings.TrimSpace(words)
}

func (s *sheet) end(p *profile.Profile, sum certify.Summary) {
	if s.json {
		s.encode(struct {
			Passed             int  `json:"passed"`
			Failed             int  `json:"failed"`
			VerifiesSignatures bool `json:"verifies_signatures"`
		}{sum.Passed, sum.Failed, sum.VerifiesSignatures})
		return
	}
	s.printf("\n%d passed, %d failed. %s\n", sum.Passed, sum.Failed, s.worth(p, sum))
	s.printCures()
}

// worth says what the merchant's signature check is worth.
func (s *sheet) worth(p *profile.Profile, sum certify.Summary) string {
	switch {
	case sum.VerifiesSignatures:
		return s.paint.green("It verifies signatures.")
	case !sum.Signed:
		return s.paint.yellow("Profile " + p.Name +
			" signs nothing: whoever learns the address can forge a payment.")
	case sum.ForgeriesTaken > 0:
		return s.paint.red("It does NOT verify signatures: payments can be forged.")
	}
	return s.paint.yellow(
		"Whether it verifies signatures cannot be told: the rightly signed payment was not acknowledged.")
}

// whyColumns is where the sentences of a cure are broken.
const whyColumns = 100

// printCures prints each cure once, with the cases that it is for.
func (s *sheet) printCures() {
	done := map[string]bool{}
	for _, r := range s.cures {
		s.printf("\n%s\n%s\n", s.paint.bold(r.Case), strings.Join(wrapWords(r.Cure.Why, whyColumns), "\n"))
		if len(r.Cure.Snippets) == 0 {
			continue
		}
		s.printf("%s:", r.Cure.Topic)
		if done[r.Cure.Topic] {
			s.printf(" see above\n")
			continue
		}
		done[r.Cure.Topic] = true
		s.printf("\n")
		for _, snippet := range r.Cure.Snippets {
			s.printf("\n  %s\n", s.paint.dim(snippet.Language))
			for line := range strings.SplitSeq(snippet.Code, "\n") {
				s.printf("    %s\n", strings.ReplaceAll(line, "\t", "    "))
			}
		}
	}
}

func (s *sheet) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(s.out, format, args...); s.err == nil {
		s.err = err
	}
}

func (s *sheet) encode(line any) {
	e := json.NewEncoder(s.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(line); s.err == nil {
		s.err = err
	}
}
