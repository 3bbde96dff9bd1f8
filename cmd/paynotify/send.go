package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"paynotify/api"
	"paynotify/retry"
)

// sendOptions are the flags of send.
type sendOptions struct {
	mch, file, key string
	params         []string
	texts          map[string]*string // member → flag's value
}

// newSendCommand has the server accept one notification.
func newSendCommand() *cobra.Command {
	o := sendOptions{texts: map[string]*string{}}
	c := &cobra.Command{
		Use:   "send --mch MCH_ID --param NAME=VALUE …",
		Short: "Accept one notification",
		Long: `Have the server accept one notification: it is durable when this command ends, and sent at once.

Parameters are the profile's own fields and are sent in the order given. --file takes the whole request as
JSON, as POST /v1/notifications does.`,
		Example: "  paynotify send --mch m1 --out-trade-no 20261121-1 \\\n" +
			"    --param trade_status=TRADE_SUCCESS --param total_amount=88.88\n" +
			"  paynotify send --file notification.json --idempotency-key 20261121-1",
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return send(cmd, o) },
	}
	f := c.Flags()
	f.StringVar(&o.mch, "mch", "", "the merchant")
	f.StringArrayVar(&o.params, "param", nil, "parameter as NAME=VALUE; may be repeated, the order is kept")
	f.StringVar(&o.file, "file", "", "the request as JSON (- = stdin), instead of the other flags")
	f.StringVar(&o.key, "idempotency-key", "", "the same key again makes no second notification")
	for member, usage := range map[string]string{
		"out_trade_no": "the merchant's order number",
		"notify_type":  "kind of notification; the profile's when left out",
		"notify_url":   "send there instead of the merchant's notify_url",
		"schedule":     "schedule for this one: a name or a list of waits",
	} {
		o.texts[member] = f.String(strings.ReplaceAll(member, "_", "-"), "", usage)
	}
	if err := c.RegisterFlagCompletionFunc("mch", completeMchFlag); err != nil {
		panic(err) // --mch stands above
	}
	completeFlag(c, "schedule", retry.Names())
	return c
}

func send(cmd *cobra.Command, o sendOptions) error {
	c, err := newClient(cmd)
	if err != nil {
		return err
	}
	body, err := o.body(cmd)
	if err != nil {
		return err
	}
	r := post(body, "v1", "notifications")
	if o.key != "" {
		r.header = map[string]string{"Idempotency-Key": o.key}
	}
	var got api.Receipt
	raw, err := c.do(cmd.Context(), r, &got)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printLine(cmd.OutOrStdout(), raw)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "accepted; see \"paynotify show %s\"\n", got.NotifyID)
	_, err = fmt.Fprintln(cmd.OutOrStdout(), got.NotifyID)
	return err
}

// body is the request. It is put together by hand because the order of the parameters is the order in which
// they are sent, and a map has none.
func (o sendOptions) body(cmd *cobra.Command) (json.RawMessage, error) {
	if o.file != "" {
		for _, name := range []string{"mch", "param", "out-trade-no", "notify-type", "notify-url", "schedule"} {
			if cmd.Flags().Changed(name) {
				return nil, usagef("--file brings the whole request; leave out --%s", name)
			}
		}
		raw, err := readInput(cmd, o.file)
		if err != nil {
			return nil, err
		}
		if !json.Valid(raw) {
			return nil, dataf("%s is no JSON", o.file)
		}
		return raw, nil
	}
	if o.mch == "" {
		p := usagef("send needs --mch, or --file")
		p.do = "usage: " + cmd.UseLine()
		return nil, p
	}
	var b bytes.Buffer
	member(&b, "mch_id", o.mch)
	for _, name := range []string{"notify_type", "out_trade_no", "notify_url", "schedule"} {
		if v := *o.texts[name]; v != "" {
			b.WriteByte(',')
			member(&b, name, v)
		}
	}
	var params bytes.Buffer
	seen := map[string]bool{}
	for _, p := range o.params {
		name, value, found := strings.Cut(p, "=")
		switch {
		case !found || name == "":
			return nil, usagef("--param %q: want NAME=VALUE", p)
		case seen[name]:
			return nil, usagef("--param %s is there twice", name)
		case len(seen) > 0:
			params.WriteByte(',')
		}
		seen[name] = true
		member(&params, name, value)
	}
	return json.RawMessage(fmt.Sprintf(`{%s,"params":{%s}}`, b.Bytes(), params.Bytes())), nil
}

func member(b *bytes.Buffer, name, value string) {
	n, _ := json.Marshal(name) // strings always marshal
	v, _ := json.Marshal(value)
	b.Write(n)
	b.WriteByte(':')
	b.Write(v)
}
