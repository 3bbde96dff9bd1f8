package main

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"paynotify/retry"
)

// merchantField is a flag that sets one field of a merchant.
type merchantField struct{ flag, field, usage string }

// merchantTexts are the fields that are texts.
var merchantTexts = []merchantField{
	{"name", "name", "name for people"},
	{"notify-url", "notify_url", "where notifications are POSTed"},
	{"sign-type", "sign_type", "signature algorithm; the profile's first when left out"},
	{"app-id", "app_id", "the merchant's app id, where the profile sends one"},
	{"charset", "charset", "utf-8 or gbk"},
	{"schedule", "schedule", `schedule name or list of waits such as "15s,1m,5m"`},
}

func merchantFlags(c *cobra.Command) {
	f := c.Flags()
	for _, t := range merchantTexts {
		f.String(t.flag, "", t.usage)
	}
	f.Int("max-inflight", 0, "sends at the same time, 1 to 1000")
	f.Float64("rate-per-second", 0, "sends a second; 0 = no limit")
	f.StringArray("option", nil, "option of the profile as NAME=VALUE; may be repeated")
	f.String("ack-match", "", "exact, trim, trim_fold, xml_return_code, status or json_path")
	f.String("ack-text", "", "what the reply must say")
	f.StringSlice("ack-status", nil, "statuses that may acknowledge, such as 200 or 2xx")
	f.String("ack-path", "", "where the text stands, for json_path")
	f.StringSlice("ack-lenient", nil, "near-misses to accept all the same, such as ack_case")
	ownFlags(c)
	completeFlag(c, "schedule", retry.Names())
	completeFlag(c, "charset", []string{"utf-8", "gbk"})
	completeFlag(c, "ack-match",
		[]string{"exact", "trim", "trim_fold", "xml_return_code", "status", "json_path"})
}

// completeFlag completes a flag from a closed list.
func completeFlag(c *cobra.Command, flag string, words []string) {
	err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag does not exist: a slip in the lines above
	}
}

// merchantBody is what --file and the flags say, as the API takes it.
func merchantBody(cmd *cobra.Command) (map[string]any, error) {
	body := map[string]any{}
	f := cmd.Flags()
	if f.Lookup("file") != nil && f.Changed("file") {
		name, _ := f.GetString("file")
		raw, err := readInput(cmd, name)
		if err != nil {
			return nil, err
		}
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.UseNumber()
		if err := dec.Decode(&body); err != nil {
			return nil, dataf("%s is no JSON object: %s", name, err)
		}
	}
	for _, t := range merchantTexts {
		if f.Changed(t.flag) {
			body[t.field], _ = f.GetString(t.flag)
		}
	}
	if f.Lookup("profile") != nil && f.Changed("profile") {
		body["profile"], _ = f.GetString("profile")
	}
	if f.Changed("max-inflight") {
		body["max_inflight"], _ = f.GetInt("max-inflight")
	}
	if f.Changed("rate-per-second") {
		body["rate_per_second"], _ = f.GetFloat64("rate-per-second")
	}
	if err := optionBody(cmd, body); err != nil {
		return nil, err
	}
	ackBody(cmd, body)
	if err := ownBody(cmd, body); err != nil {
		return nil, err
	}
	return body, nil
}

// optionBody adds the options.
func optionBody(cmd *cobra.Command, body map[string]any) error {
	given, _ := cmd.Flags().GetStringArray("option")
	values, err := optionValues(given)
	if err != nil || len(values) == 0 {
		return err
	}
	options, _ := body["options"].(map[string]any)
	if options == nil {
		options = map[string]any{}
	}
	maps.Copy(options, values)
	body["options"] = options
	return nil
}

func ackBody(cmd *cobra.Command, body map[string]any) {
	f := cmd.Flags()
	ack, _ := body["ack"].(map[string]any)
	if ack == nil {
		ack = map[string]any{}
	}
	for _, name := range []string{"match", "text", "path"} {
		if f.Changed("ack-" + name) {
			ack[name], _ = f.GetString("ack-" + name)
		}
	}
	if f.Changed("ack-lenient") {
		ack["lenient"], _ = f.GetStringSlice("ack-lenient")
	}
	if f.Changed("ack-status") {
		texts, _ := f.GetStringSlice("ack-status")
		status := []any{}
		for _, t := range texts {
			if n, err := strconv.Atoi(t); err == nil {
				status = append(status, n)
				continue
			}
			status = append(status, t)
		}
		ack["status"] = status
	}
	if len(ack) > 0 {
		body["ack"] = ack
	}
}

func keyFlags(c *cobra.Command) {
	c.Flags().String("private-key", "",
		"file with the private key to sign with: RSA as PEM or bare base64; whsk_… for sign type v1a")
	c.Flags().String("secret-file", "", "file with the secret to sign with; for wechat_v3 the APIv3 key")
	c.Flags().String("serial", "", "wechat_v3: the certificate's serial number, or PUB_KEY_ID_…")
}

// keyBody reads the key files, and what stands beside them.
func keyBody(cmd *cobra.Command) (map[string]string, error) {
	key := map[string]string{}
	for flag, field := range map[string]string{"private-key": "private_key", "secret-file": "secret"} {
		name, _ := cmd.Flags().GetString(flag)
		text, err := readKeyFile("--"+flag, name)
		if err != nil {
			return nil, err
		}
		if text != "" {
			key[field] = text
		}
	}
	if serial, _ := cmd.Flags().GetString("serial"); serial != "" {
		key["serial"] = serial
	}
	return key, nil
}
