package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// configDocs says in one line what each key is for. Sections have a line where their name does not say it.
var configDocs = map[string]string{
	"listen": "Where the API listens, HOST:PORT; port 0 takes a free one.",
	"store": "Where everything is kept: sqlite:FILE, one file for one process; or Redis, for many processes: " +
		"redis://HOST:PORT/DB, redis-sentinel://HOST,HOST/DB?master=NAME, redis-cluster://HOST,HOST, with " +
		"rediss for redis over TLS, with USER:PASSWORD@ in front of the hosts where one is needed.",

	"dispatcher.workers": "Sends at the same time, over all merchants.",
	"dispatcher.timeout": "The longest that one send may take, up to the last byte of the reply.",
	"dispatcher.max_inflight_per_merchant": "Sends at the same time to a merchant that sets no max_inflight " +
		"of its own.",

	"egress":             "What sends may connect to; --dev lifts the rules for addresses and ports.",
	"egress.allow_cidrs": "Address ranges to open that the rules refuse, such as 10.1.0.0/16.",
	"egress.deny_cidrs":  "Address ranges to refuse, whatever allows them.",
	"egress.ports":       "Ports that a notify_url may name.",
	"egress.proxy": "Proxy that makes all connections, http://USER:PASSWORD@HOST:PORT; it is asked to CONNECT " +
		"to addresses that the rules passed, so it must allow that for all egress.ports. Variables such as " +
		"HTTP_PROXY are ignored.",
	"egress.require_https": "Refuse http notify_urls.",
	"egress.resolver":      "The one DNS server to ask, HOST:PORT; empty asks the system's.",

	"auth.admin_key":       "Bearer key of the API, for an admin. Without any key it answers this machine only.",
	"auth.admin_key_file":  "A file with the admin key, instead.",
	"auth.rate_per_second": "Requests that one key may make in a second of each process, 0 = no limit.",

	"master_key": "Seals the merchants' keys at rest: 32 bytes in base64, or 64 hex digits. Without one a key " +
		"is made beside the embedded store; with Redis it is required: openssl rand -base64 32 makes one.",
	"master_key_file": "A file with the master key, instead; of several lines the first seals, all open.",

	"retention":           "How long a notification is kept after it became final.",
	"retention.spent":     "Acknowledged ones.",
	"retention.exhausted": "Exhausted, canceled and quarantined ones.",
	"retention.shrink":    "When an acknowledged one shrinks to its outline, 0 = never; Redis only.",

	"metrics.listen": "HOST:PORT of a listener for /metrics and /debug/pprof/; empty: metrics at the API.",
	"metrics.merchants": "How many merchants get series of their own, by mch_id, all others sharing one; 0 = " +
		"none. 200 cost a scrape 50 KB more.",

	"callback": "Tells the platform what became of all merchants' notifications: notification.spent, " +
		"notification.exhausted and merchant.held, as messages of profile standard.",
	"callback.url":    "Where to POST; empty tells nobody.",
	"callback.secret": "Signs them: whsec_ and the base64 of 24 to 64 random bytes.",
	"notices": "Tells operators which merchants fail, are held, or let notifications exhaust. The log tells " +
		"it with or without.",
	"notices.url":    "Where to POST, as messages of profile standard; empty tells nobody.",
	"notices.secret": "Signs them, likewise.",

	"redis":               "For a store on Redis.",
	"redis.wait_replicas": "Replicas that must have a notification before it is accepted, 0 = none.",

	"log.level":  "debug, info, warn or error. Failed sends are logged at info, acknowledged ones at debug.",
	"log.format": "text, json, or auto: coloured text on a terminal, otherwise json.",
}

// sampleConfig is the commented paynotify.example.yaml: every key with its default.
func sampleConfig() string {
	var b strings.Builder
	b.WriteString("# Every key of paynotify's configuration with its default: paynotify serve --config FILE.\n" +
		"# An environment variable wins over the file: PAYNOTIFY_ and the key in capitals, _ for dots, for\n" +
		"# example PAYNOTIFY_DISPATCHER_WORKERS=512; lists by comma. A flag wins over both.\n" +
		"# An unknown key is an error that names it.\n")
	defaults := reflect.ValueOf(defaultConfig())
	open := ""
	for _, k := range configKeys {
		section, leaf, nested := strings.Cut(k.name, ".")
		indent := ""
		if !nested {
			leaf, open = section, ""
			b.WriteString("\n")
		} else {
			indent = "  "
			if section != open {
				open = section
				b.WriteString("\n" + comment("", configDocs[section]) + section + ":\n")
			}
		}
		value := yamlText(defaults.FieldByIndex(k.index).Interface())
		b.WriteString(comment(indent, configDocs[k.name]) + indent + leaf + ": " + value + "\n")
	}
	return b.String()
}

// comment wraps a line of documentation at 100 columns.
func comment(indent, text string) string {
	const columns = 100
	var b strings.Builder
	line := indent + "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > columns {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	if text != "" {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// yamlText writes a default as a person would.
func yamlText(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return shortDuration(v)
	case []int:
		return strings.ReplaceAll(fmt.Sprint(v), " ", ", ")
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case string:
		if v == "" {
			return `""`
		}
	case secret:
		return `""`
	}
	return fmt.Sprint(value)
}

// shortDuration writes 720h instead of 720h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// configHelp is the table of keys that serve's help ends with.
func configHelp() string {
	var b strings.Builder
	defaults := reflect.ValueOf(defaultConfig())
	for _, k := range configKeys {
		value := yamlText(defaults.FieldByIndex(k.index).Interface())
		fmt.Fprintf(&b, "  %-38s %-22s %s\n", k.name, value, configDocs[k.name])
	}
	return b.String()
}
