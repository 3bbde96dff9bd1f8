package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"paynotify/profile"
	"paynotify/signer"
	"paynotify/store"
)

// dialect are the flags that say how a merchant is told: of the commands that need no server.
type dialect struct {
	profile, signType, appID, partner string
	options                           []string

	p *profile.Profile
	m *store.Merchant // with these settings
}

func (d *dialect) flags(c *cobra.Command, profileDefault string) {
	f := c.Flags()
	f.StringVar(&d.profile, "profile", profileDefault, "the dialect: "+strings.Join(profileNames(), ", "))
	f.StringVar(&d.signType, "sign-type", "", "signature algorithm; the profile's first when left out")
	f.StringArrayVar(&d.options, "option", nil, "option of the profile as NAME=VALUE; may be repeated")
	completeFlag(c, "profile", profileNames())
	var signTypes []string
	for _, p := range profile.All() {
		signTypes = append(signTypes, p.SignTypes...)
	}
	completeFlag(c, "sign-type", signTypes)
}

// resolve finds the profile and checks the settings as the server does for a merchant. Every error is one of
// usage.
func (d *dialect) resolve(notifyURL string) error {
	if d.profile == "" {
		bad := usagef("--profile is missing")
		bad.do = "take one of " + strings.Join(profileNames(), ", ")
		return bad
	}
	p, ok := profile.ByName(d.profile)
	if !ok {
		bad := usagef("--profile: %q is unknown", d.profile)
		bad.do = didYouMean(d.profile, profileNames(), "take one of "+strings.Join(profileNames(), ", "))
		return bad
	}
	options, err := optionValues(d.options)
	if err != nil {
		return err
	}
	if d.partner != "" {
		options["partner"] = d.partner
	}
	d.p = p
	d.m = &store.Merchant{
		MchID: "certify", Profile: p.Name, NotifyURL: notifyURL, SignType: d.signType, AppID: d.appID,
		Options: options,
	}
	if faults := profile.CheckMerchant(p, d.m); len(faults) > 0 {
		bad := usagef("%s: %s", flagOf(faults[0].Location), faults[0].Message)
		bad.do = faults[0].Cure
		return bad
	}
	return nil
}

// flagOf is the flag that brings what stands at a location of the API's requests.
func flagOf(location string) string {
	at := strings.TrimPrefix(location, "body.")
	if name, ok := strings.CutPrefix(at, "options."); ok {
		return "--option " + name
	}
	switch at {
	case "notify_url":
		return "URL"
	case "key.secret":
		return "--secret-file"
	}
	return "--" + strings.ReplaceAll(strings.TrimPrefix(at, "key."), "_", "-")
}

// optionValues reads options: true and false are booleans, a value in brackets is a list.
func optionValues(given []string) (map[string]any, error) {
	options := map[string]any{}
	for _, o := range given {
		name, text, found := strings.Cut(o, "=")
		if !found || name == "" {
			return nil, usagef("--option %q: want NAME=VALUE", o)
		}
		var value any = text
		if text == "true" || text == "false" {
			value = text == "true"
		} else if strings.HasPrefix(text, "[") {
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				return nil, usagef("--option %s: the list is no JSON: %s", name, err)
			}
		}
		options[name] = value
	}
	return options, nil
}

// optionTexts are the options as a receiver is told of them.
func (d *dialect) optionTexts() map[string]string {
	texts := make(map[string]string, len(d.m.Options))
	for name, value := range d.m.Options {
		texts[name] = fmt.Sprint(value)
	}
	return texts
}

func (d *dialect) headerSignature() bool { return d.m.Options["header_signature"] == true }

// uses says which kinds of keys the settings sign with.
func (d *dialect) uses() (rsa, secret, webhook bool) {
	switch d.p.Key {
	case profile.KeyRSA:
		rsa = true
	case profile.KeySecret:
		secret = true
	case profile.KeyRSAAndSecret:
		rsa, secret = true, true
	case profile.KeyWebhook:
		secret, webhook = true, true
	case profile.KeyNone:
	}
	return rsa || d.headerSignature(), secret, webhook
}

func receiverKeyFlags(c *cobra.Command, publicKeyFile, secretFile *string) {
	f := c.Flags()
	f.StringVar(publicKeyFile, "public-key", "",
		"file with the public key or certificate to verify with; whpk_… for v1a of standard")
	f.StringVar(secretFile, "secret-file", "",
		"file with the shared secret to verify with; for wechat_v3 the APIv3 key, which decrypts")
}

// receiverKeys reads the keys that a merchant verifies with. One that would not be used is refused: whoever
// gives it expects that it is.
func (d *dialect) receiverKeys(publicKeyFile, secretFile string) (public, secret string, err error) {
	if public, err = readKeyFile("--public-key", publicKeyFile); err != nil {
		return "", "", err
	}
	if secret, err = readKeyFile("--secret-file", secretFile); err != nil {
		return "", "", err
	}
	usesRSA, usesSecret, usesWebhook := d.uses()
	isWebhook := strings.HasPrefix(strings.TrimSpace(public), "wh")
	useless := secret != "" && !usesSecret || public != "" && isWebhook && !usesWebhook ||
		public != "" && !isWebhook && !usesRSA
	if useless {
		bad := usagef("profile %s is not verified with that key", d.p.Name)
		bad.do = "give " + d.keyFlags()
		if public != "" && !isWebhook {
			bad.do += "; --option header_signature=true if the messages are signed in x-notify-* headers"
		}
		return "", "", bad
	}
	if _, err := profile.ParseVerifyKeys(public, "", ""); err != nil {
		return "", "", keyProblem("--public-key", "public key", err)
	}
	return public, secret, nil
}

// keyProblem names what a key file holds instead of the key that it should hold.
func keyProblem(flag, what string, err error) error {
	bad := dataf("%s: no %s", flag, what)
	bad.why = err.Error()
	if k, ok := errors.AsType[*signer.KeyError](err); ok {
		bad.why, bad.do = k.Message, k.Cure
	}
	return bad
}

// keyFlags says which flags bring the keys that the settings are verified with.
func (d *dialect) keyFlags() string {
	rsa, secret, webhook := d.uses()
	var flags []string
	if rsa {
		flags = append(flags, "--public-key FILE")
	}
	if secret {
		flags = append(flags, "--secret-file FILE")
	}
	if webhook {
		flags = append(flags, "(for v1a) --public-key FILE with whpk_…")
	}
	if len(flags) == 0 {
		return "no key: nothing is signed"
	}
	return strings.Join(flags, " and ")
}
