package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/text/encoding/simplifiedchinese"

	"paynotify/profile"
	"paynotify/sandbox"
)

// keyFileBytesMax is far above any key or certificate in PEM.
const keyFileBytesMax = 64 << 10

// listenOptions are the flags of listen.
type listenOptions struct {
	dialect

	address, reply            string
	publicKeyFile, secretFile string
}

func newListenCommand() *cobra.Command {
	var o listenOptions
	c := &cobra.Command{
		Use:   "listen",
		Short: "Plays a merchant: prints each notification, verifies it, answers it",
		Long: `listen plays a merchant on this machine. It prints every notification, verifies its signature as
merchants do, decrypts what is encrypted, books each notify_id once and answers as told by --reply; a
notification whose signature does not hold is refused in the way of its profile. --option and --sign-type
say how the sender is set. Ctrl-C ends it.

Replies:
` + replyHelp(),
		Example: `  paynotify listen --listen 127.0.0.1:9000 --profile alipay --public-key shop.pem
  paynotify listen --profile alipay_mapi --secret-file shop.key --reply flaky:3
  paynotify listen --profile wechat_v3 --public-key shop.pem --secret-file apiv3.key
  paynotify listen --profile form --option header_signature=true --public-key shop.pem`,
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return listen(cmd, &o) },
	}
	o.flags(c, "alipay")
	f := c.Flags()
	f.StringVar(&o.address, "listen", "127.0.0.1:9000", "where to listen, HOST:PORT; port 0 takes a free one")
	receiverKeyFlags(c, &o.publicKeyFile, &o.secretFile)
	f.StringVar(&o.reply, "reply", "success", "what to answer, one of the replies above")
	var replies []string
	for _, r := range sandbox.Replies() {
		replies = append(replies, r.Name)
	}
	completeFlag(c, "reply", replies)
	return c
}

func replyHelp() string {
	var b strings.Builder
	for _, r := range sandbox.Replies() {
		fmt.Fprintf(&b, "  %-11s %s\n", r.Name, r.About)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// listen runs the merchant until ctx ends.
func listen(cmd *cobra.Command, o *listenOptions) error {
	printer := &hitPrinter{out: cmd.OutOrStdout(), profile: o.dialect.profile, json: wantsJSON(cmd)}
	printer.paint = paletteFor(printer.out)
	m, err := o.merchant(printer.print)
	if err != nil {
		return err
	}
	ln, err := listenOn("--listen", o.address)
	if err != nil {
		return err
	}
	// The first line comes before anything that a sender can cause.
	printer.mu.Lock()
	err = m.Start(ln)
	switch {
	case err != nil:
	case printer.json:
		printer.encode(map[string]string{"listening": m.URL()})
	default:
		fmt.Fprintf(printer.out, "listening on %s\n", m.URL())
	}
	printer.mu.Unlock()
	if err != nil {
		return dataf("%s", err)
	}
	defer m.Close() //nolint:errcheck // the process ends
	if profile.Signs(o.p, o.m) && m.PublicKey == "" && m.Secret == "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "signatures are not checked: give %s\n", o.keyFlags())
	}
	<-cmd.Context().Done()
	if errors.Is(context.Cause(cmd.Context()), errTerminated) {
		return nil
	}
	return errInterrupted
}

// merchant makes the merchant that the flags describe.
func (o *listenOptions) merchant(log func(sandbox.Hit)) (*sandbox.Merchant, error) {
	if err := sandbox.CheckReply(o.reply); err != nil {
		return nil, usagef("--reply: %s", err)
	}
	if err := o.resolve(""); err != nil {
		return nil, err
	}
	m := &sandbox.Merchant{
		Reply: o.reply, Profile: o.p.Name, SignType: o.signType, Options: o.optionTexts(), Log: log,
	}
	var err error
	if m.PublicKey, m.Secret, err = o.receiverKeys(o.publicKeyFile, o.secretFile); err != nil {
		return nil, err
	}
	// A merchant with half of its keys would refuse everything.
	rsa, secret, webhook := o.uses()
	half := m.Secret != "" && m.PublicKey == "" && rsa || m.PublicKey != "" && m.Secret == "" &&
		secret && !webhook && o.p.Key != profile.KeyRSAAndSecret
	if half {
		bad := usagef("profile %s with these options is verified with two keys", o.p.Name)
		bad.do = "give " + o.keyFlags()
		return nil, bad
	}
	return m, nil
}

// readKeyFile reads a key; an empty name means none.
func readKeyFile(flag, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	unreadable := func(err error) error {
		return &problem{code: exitNotFound, what: flag + ": cannot read " + name, why: errors.Unwrap(err).Error()}
	}
	f, err := os.Open(name)
	if err != nil {
		return "", unreadable(err)
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, keyFileBytesMax+1))
	switch {
	case err != nil:
		return "", unreadable(err)
	case len(text) > keyFileBytesMax:
		return "", dataf("%s: %s has more than %d bytes, that is no key", flag, name, keyFileBytesMax)
	case strings.TrimSpace(string(text)) == "":
		return "", dataf("%s: %s is empty", flag, name)
	}
	return strings.Trim(string(text), "\r\n"), nil
}

// hitPrinter prints what the merchant receives.
type hitPrinter struct {
	mu      sync.Mutex // requests overlap, lines must not
	out     io.Writer
	paint   palette
	profile string
	json    bool
}

func (p *hitPrinter) print(h sandbox.Hit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.json {
		p.encode(jsonHit(p.profile, h))
		return
	}
	io.WriteString(p.out, p.text(h)) //nolint:errcheck // a closed pipe ends the process
}

func (p *hitPrinter) encode(line any) {
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	e.Encode(line) //nolint:errcheck // a closed pipe ends the process
}

// hitRecord is one JSON line of listen.
type hitRecord struct {
	At         string            `json:"at"`
	Profile    string            `json:"profile"`
	Method     string            `json:"method"`
	Path       string            `json:"path"`
	NotifyID   string            `json:"notify_id"`
	OutTradeNo string            `json:"out_trade_no"`
	Posts      int               `json:"posts"`
	Duplicate  bool              `json:"duplicate"`
	Signature  sandbox.Signature `json:"signature"`
	Rule       string            `json:"rule"`
	Detail     string            `json:"detail"`
	Reply      string            `json:"reply"`
	Params     map[string]string `json:"params"`
	Body       string            `json:"body"`
}

func jsonHit(profile string, h sandbox.Hit) hitRecord {
	params := map[string]string{}
	for _, p := range readable(h.Params) {
		if _, twice := params[p.Name]; !twice {
			params[p.Name] = p.Value
		}
	}
	return hitRecord{
		At: h.At.UTC().Format(timeMicro), Profile: profile, Method: h.Method, Path: h.Path,
		NotifyID: h.NotifyID, OutTradeNo: h.OutTradeNo, Posts: h.Posts, Duplicate: h.Duplicate,
		Signature: h.Signature, Rule: h.Rule, Detail: h.Detail, Reply: h.Reply,
		Params: params, Body: string(h.Body),
	}
}

// timeMicro is RFC 3339 with microseconds.
const timeMicro = "2006-01-02T15:04:05.000000Z07:00"

// text is one line about a request, and its parameters.
func (p *hitPrinter) text(h sandbox.Hit) string {
	var b strings.Builder
	sign, paint := "✓ "+string(h.Signature), p.paint.green
	switch h.Signature {
	case sandbox.Rejected:
		sign, paint = "✗ "+h.Rule, p.paint.red
	case sandbox.Unsigned, sandbox.Unchecked:
		sign, paint = "! "+string(h.Signature), p.paint.yellow
	case sandbox.Verified:
	}
	fmt.Fprintf(&b, "%s %s  %s  %s %s", h.At.Format(clock), paint(pad(sign, signWidth)), p.profile, h.Method,
		printable(h.Path))
	if h.NotifyID != "" {
		fmt.Fprintf(&b, "  %s", printable(cut(h.NotifyID, idMax)))
	}
	fmt.Fprintf(&b, "  post %d", h.Posts)
	if h.Duplicate {
		b.WriteString(" (booked before)")
	}
	fmt.Fprintf(&b, "  → %s\n", h.Reply)
	if h.Detail != "" {
		fmt.Fprintf(&b, "%s%s\n", indent, p.paint.red(printable(h.Detail)))
	}
	width := 0
	params := readable(h.Params)
	for _, q := range params {
		width = max(width, min(utf8.RuneCountInString(q.Name), 24))
	}
	for _, q := range params {
		fmt.Fprintf(&b, "%s%s %s\n", indent, p.paint.dim(fmt.Sprintf("%-*s", width, printable(q.Name))), value(q))
	}
	if len(params) == 0 && len(h.Body) > 0 {
		fmt.Fprintf(&b, "%s%s\n", indent, printable(string(h.Body[:min(len(h.Body), shownBytes)])))
	}
	return b.String()
}

const (
	clock      = "15:04:05.000"
	indent     = "             " // as wide as the time and a blank
	shownBytes = 4096            // of a body that is no form
	signWidth  = 11              // "! unchecked"
	idMax      = 64              // of a stranger's notify_id
	signShown  = 24              // characters of a signature: nobody reads more
)

// readable turns the parameters of a GBK form into UTF-8.
func readable(params []sandbox.Param) []sandbox.Param {
	gbk := slices.ContainsFunc(params, func(p sandbox.Param) bool {
		return p.Name == "charset" && strings.HasPrefix(strings.ToLower(p.Value), "gb")
	})
	if !gbk {
		return params
	}
	plain := slices.Clone(params)
	decoder := simplifiedchinese.GBK.NewDecoder()
	for i := range plain {
		if v, err := decoder.String(plain[i].Value); err == nil {
			plain[i].Value = v
		}
	}
	return plain
}

// value shows a parameter; --json has signatures whole.
func value(q sandbox.Param) string {
	v := printable(q.Value)
	if q.Name == "sign" && len(v) > signShown {
		return fmt.Sprintf("%s… (%d characters)", v[:signShown], len(v))
	}
	return v
}

// printable keeps what a stranger sent from steering the terminal: control characters, and bytes that are no
// UTF-8, become \xNN.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < utf8.RuneSelf && unicode.IsControl(r):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}
