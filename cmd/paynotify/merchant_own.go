package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
)

// ownFiles are the files with a merchant's own TLS settings.
var ownFiles = []merchantField{
	{"tls-ca", "ca", "file with the authorities that its server is verified with, as PEM"},
	{"tls-cert", "client_cert", "file with the certificate that its server wants to see, as PEM"},
	{"tls-key", "client_key", "file with the private key of --tls-cert, as PEM"},
}

// ownFlags are the flags for what a merchant's server wants besides the profile's message.
func ownFlags(c *cobra.Command) {
	f := c.Flags()
	for _, t := range ownFiles {
		f.String(t.flag, "", t.usage)
	}
	f.String("tls-pin", "", "SHA-256 of a public key that its server, or an authority of it, must have")
	f.StringArray("header", nil,
		`header for every send as "NAME: VALUE", without a value to take it away; may be repeated`)
	f.String("header-file", "",
		"file with such headers, one a line: a command line is seen by other users of this machine")
}

// ownBody adds what the flags say of a merchant's own TLS settings and headers.
func ownBody(cmd *cobra.Command, body map[string]any) error {
	tls := map[string]any{}
	for _, t := range ownFiles {
		name, _ := cmd.Flags().GetString(t.flag)
		text, err := readKeyFile("--"+t.flag, name)
		if err != nil {
			return err
		}
		if text != "" {
			tls[t.field] = text + "\n"
		}
	}
	if cmd.Flags().Changed("tls-pin") {
		tls["pin_sha256"], _ = cmd.Flags().GetString("tls-pin")
	}
	headers, err := headerValues(cmd)
	if err != nil {
		return err
	}
	addTo(body, "tls", tls)
	addTo(body, "headers", headers)
	return nil
}

// addTo puts members over those that --file brought.
func addTo(body map[string]any, field string, members map[string]any) {
	if len(members) == 0 {
		return
	}
	given, _ := body[field].(map[string]any)
	if given == nil {
		given = map[string]any{}
	}
	maps.Copy(given, members)
	body[field] = given
}

// headerValues reads header lines; nil takes a header away. Errors quote no line, which may be a secret.
func headerValues(cmd *cobra.Command) (map[string]any, error) {
	lines, _ := cmd.Flags().GetStringArray("header")
	name, _ := cmd.Flags().GetString("header-file")
	text, err := readKeyFile("--header-file", name)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		if line = strings.Trim(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	values := map[string]any{}
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if _, twice := values[name]; !found || name == "" || twice {
			p := usagef("a header is not NAME: VALUE, or there twice")
			p.do = `write it like --header "X-Shop: 7"`
			return nil, p
		}
		if values[name] = nil; strings.TrimSpace(value) != "" {
			values[name] = strings.Trim(value, " \t")
		}
	}
	return values, nil
}

// ownRows prints a merchant's own settings, each certificate in one line.
func ownRows(row func(name, value string), m *api.MerchantView) {
	if m.TLS != nil {
		row("tls ca", certificates(deref(m.TLS.CA)))
		row("tls client_cert", certificates(deref(m.TLS.ClientCert)))
		row("tls pin_sha256", deref(m.TLS.PinSHA256))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		row("header", name+": "+m.Headers[name])
	}
}

func certificates(text string) string {
	var all []string
	for block, rest := pem.Decode(bytes.TrimSpace([]byte(text))); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c.Subject.String()+" until "+c.NotAfter.Format(time.DateOnly))
		}
	}
	return strings.Join(all, "; ")
}
