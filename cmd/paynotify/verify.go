package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"paynotify/api"
	"paynotify/profile"
)

// newVerifyCommand checks a captured request. It needs no server.
func newVerifyCommand() *cobra.Command {
	var d dialect
	var publicKeyFile, secretFile string
	c := &cobra.Command{
		Use:   "verify [FILE|-] --profile P",
		Short: "Check a captured request: which rule it breaks, and the string to sign",
		Long: `Check a captured notification as the merchants of a profile do: the raw HTTP request with its request
line and headers, an empty line, and the body. It is read from FILE, or from stdin. No clock is looked at, so
that an old capture verifies.

Of the body as many bytes count as Content-Length says, or as its chunks have; without either, all of them.

Exit code 0: it verifies. 65: it does not; the rule that it breaks is one of
  request     the capture is no HTTP request, or not one of this profile
  encoding    escapes, charset or document cannot be read
  parameter   a parameter stands twice, or cannot be signed
  missing     there is no signature
  sign_type   it is not the signature type expected
  signature   the signature does not fit
  decrypt     what is encrypted cannot be read

--json prints one line: {"verified","profile","rule","detail","string_to_sign"}. A string to sign that is not
valid UTF-8 is written there as the API writes replies: each byte of a control character or of invalid text as
\xNN, a backslash as \\.`,
		Example: `  paynotify verify notify.http --profile alipay --public-key shop.pem
  paynotify show NOTIFY_ID --curl                  # prints what was sent, to compare with
  paynotify verify --profile jeepay --secret-file shop.key --json < notify.http`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.resolve(""); err != nil {
				return err
			}
			public, secret, err := d.receiverKeys(publicKeyFile, secretFile)
			if err != nil {
				return err
			}
			name := "-"
			if len(args) > 0 {
				name = args[0]
			}
			if in, ok := cmd.InOrStdin().(*os.File); ok && name == "-" && isTerminal(in) {
				fmt.Fprintln(cmd.ErrOrStderr(), "paste the request, then end it with Ctrl-D")
			}
			raw, err := readAtMost(cmd, name, captureBytesMax)
			if err != nil {
				return err
			}
			keys, err := profile.ParseVerifyKeys(public, secret, d.m.SignType)
			if err != nil {
				return keyProblem("--public-key", "public key", err)
			}
			keys.Options = d.optionTexts()
			return verifyCapture(cmd, d.p, raw, keys)
		},
	}
	d.flags(c, "")
	receiverKeyFlags(c, &publicKeyFile, &secretFile)
	return c
}

// checked is what came of a captured request.
type checked struct {
	Verified     bool   `json:"verified"`
	Profile      string `json:"profile"`
	Rule         string `json:"rule"`
	Detail       string `json:"detail"`
	StringToSign string `json:"string_to_sign"`

	read  profile.Verification
	notes []string
	hints []string
}

func verifyCapture(cmd *cobra.Command, p *profile.Profile, raw []byte, keys profile.VerifyKeys) error {
	v := check(p, raw, keys)
	out := cmd.OutOrStdout()
	if wantsJSON(cmd) {
		for _, note := range slices.Concat(v.notes, v.hints) {
			fmt.Fprintln(cmd.ErrOrStderr(), note)
		}
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			return err
		}
	} else if _, err := io.WriteString(out, v.text(p, paletteFor(out))); err != nil {
		return err
	}
	if !v.Verified {
		return silent{exitData}
	}
	return nil
}

// check verifies a capture.
func check(p *profile.Profile, raw []byte, keys profile.VerifyKeys) checked {
	v := checked{Profile: p.Name}
	c, err := parseCapture(raw)
	v.notes = c.notes
	if err != nil {
		v.Rule, v.Detail = string(profile.RuleRequest), err.Error()
		return v
	}
	v.read, err = profile.Verify(p, c.CapturedRequest, keys)
	v.StringToSign = string(v.read.StringToSign)
	if !utf8.ValidString(v.StringToSign) {
		v.StringToSign = api.EscapeReply(v.read.StringToSign)
		v.notes = append(v.notes, `the string to sign is not valid UTF-8: such bytes are written as \xNN`)
	}
	if v.Verified = err == nil; v.Verified {
		return v
	}
	if broken, ok := errors.AsType[*profile.VerifyError](err); ok {
		v.Rule, v.Detail = string(broken.Rule), broken.Detail
	} else {
		v.Rule, v.Detail = string(profile.RuleRequest), err.Error()
	}
	v.hints = hints(p, c.CapturedRequest, keys, profile.Rule(v.Rule))
	return v
}

// text is the check for people.
func (v checked) text(p *profile.Profile, paint palette) string {
	var b strings.Builder
	switch {
	case v.Verified && len(v.read.StringToSign) == 0:
		fmt.Fprintf(&b, "%s  %s signs nothing: anybody could have sent this\n", paint.yellow("! unsigned"), p.Name)
	case v.Verified:
		fmt.Fprintf(&b, "%s  %s\n", paint.green("✓ verified"), p.Name)
	default:
		fmt.Fprintf(&b, "%s  %s: %s\n", paint.red("✗ "+v.Rule), p.Name, printable(v.Detail))
	}
	for _, f := range []profile.Field{
		{Name: "notify_id", Value: v.read.NotifyID}, {Name: "out_trade_no", Value: v.read.OutTradeNo},
	} {
		if f.Value != "" {
			fmt.Fprintf(&b, "  %s %s\n", paint.dim(pad(f.Name, len("out_trade_no"))), printable(f.Value))
		}
	}
	if text := v.read.StringToSign; text != nil {
		fmt.Fprintf(&b, "\nString to sign, %d bytes (· is a blank, ↵ a line end):\n  %s\n", len(text),
			strings.ReplaceAll(strings.TrimSuffix(profile.Visible(text), "↵"), "↵", "↵\n  ")+lineEnd(text))
		if p.Key == profile.KeySecret && bytes.HasSuffix(text, []byte("&key=")) {
			b.WriteString("  " + paint.dim("the secret stands behind it when it is signed") + "\n")
		}
	}
	for _, list := range [][]string{v.notes, v.hints} {
		for i, line := range list {
			if i == 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "%s %s\n", paint.yellow("→"), line)
		}
	}
	return b.String()
}

// lineEnd shows a line end at the end of a text on the text's own last line.
func lineEnd(text []byte) string {
	if bytes.HasSuffix(text, []byte("\n")) {
		return "↵"
	}
	return ""
}

// trial is one guess at what went wrong: the change that would undo it.
type trial struct {
	hint   string
	change func(req *profile.CapturedRequest, keys *profile.VerifyKeys) (changed bool)
}

// body is a trial of another body.
func bodyTrial(hint string, change func([]byte) []byte) trial {
	return trial{hint, func(req *profile.CapturedRequest, _ *profile.VerifyKeys) bool {
		body := change(req.Body)
		changed := !bytes.Equal(body, req.Body)
		req.Body = body
		return changed
	}}
}

// trials are the usual accidents of captures and of set-ups, each of which can be proved by undoing it.
func trials(p *profile.Profile) []trial {
	list := []trial{
		bodyTrial("without the line end behind the body it verifies: an editor, or echo, put it there",
			func(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }),
		bodyTrial(`with LF in place of CRLF it verifies: something changed the line ends of the body`,
			func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }),
		bodyTrial("with the JSON written compactly it verifies: something has formatted the body, and the"+
			" signature is over its bytes",
			func(b []byte) []byte {
				var compact bytes.Buffer
				if json.Compact(&compact, b) != nil {
					return b
				}
				return compact.Bytes()
			}),
		{
			"without the blanks round the secret it verifies: take them out of the file",
			func(_ *profile.CapturedRequest, keys *profile.VerifyKeys) bool {
				given := keys.Secret
				keys.Secret = strings.TrimSpace(given)
				return keys.Secret != given
			},
		},
	}
	for _, signType := range p.SignTypes {
		list = append(list, trial{
			"with --sign-type " + signType + " it verifies",
			func(_ *profile.CapturedRequest, keys *profile.VerifyKeys) bool {
				given := keys.SignType
				keys.SignType = signType
				return given != signType
			},
		})
	}
	return list
}

// hints finds out why a request was refused: what is proved first, then what is usual.
func hints(
	p *profile.Profile, req profile.CapturedRequest, keys profile.VerifyKeys, rule profile.Rule,
) []string {
	for _, t := range trials(p) {
		other, otherKeys := req, keys
		if !t.change(&other, &otherKeys) {
			continue
		}
		if _, err := profile.Verify(p, other, otherKeys); err == nil {
			return []string{t.hint}
		}
	}
	for _, other := range profile.All() {
		if other == p || other.Unsigned {
			continue
		}
		if _, err := profile.Verify(other, req, keys); err == nil {
			return []string{"it verifies as profile " + other.Name}
		}
	}
	noKey := keys.PublicKey == nil && keys.Ed25519 == nil && keys.Secret == ""
	switch {
	case rule == profile.RuleSignature && !noKey:
		return []string{
			"compare the key: it must belong to this merchant and this environment, and be the newest",
			"compare the string above with the sender's, byte for byte: a log or an editor may have changed it",
		}
	case rule == profile.RuleDecrypt:
		return []string{"compare the secret with the APIv3 key that the merchant has"}
	}
	return nil
}
