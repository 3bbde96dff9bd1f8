package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"paynotify/dispatcher/egress"
	"paynotify/signer/keyring"
	"paynotify/store/redisstore"
)

// Bounds of the configuration. They keep a slip of the hand from becoming an outage.
const (
	workersMax         = 4096 // each may hold a connection, a file descriptor and some 100 KiB
	inflightMax        = 1000 // as for a merchant's own max_inflight
	timeoutMin         = 100 * time.Millisecond
	timeoutMax         = time.Minute    // a merchant that takes longer is down
	ratePerSecondMax   = 1_000_000      // requests of one key; nobody can send more
	keyCharsAdvised    = 16             // of an admin key; shorter ones can be guessed
	retentionAdvised   = 49 * time.Hour // idempotency keys live as long as their record
	secretFileBytesMax = 64 << 10
	merchantSeriesMax  = 10_000 // each costs a scrape 250 bytes; so many make one of 2.5 MB
)

// check looks at every value and at what does not fit together. Paths of key files are replaced by what
// stands in them.
func (c *Config) check(found *faults) (warnings []string) {
	checkHostPort(found, "listen", c.Listen)
	c.checkStore(found)
	within(found, "dispatcher.workers", c.Dispatcher.Workers, 1, workersMax)
	within(found, "dispatcher.max_inflight_per_merchant", c.Dispatcher.MaxInflight, 1, inflightMax)
	if t := c.Dispatcher.Timeout; t < timeoutMin || t > timeoutMax {
		found.add("dispatcher.timeout", "want %s to %s, have %s", timeoutMin, shortDuration(timeoutMax), t)
	} else if t > drainMax {
		warnings = append(warnings, fmt.Sprintf("dispatcher.timeout is longer than the %s that a stop waits "+
			"for sends; those are then interrupted and sent again", drainMax))
	}
	c.checkEgress(found)
	c.Callback.check(found, "callback")
	c.Notices.check(found, "notices")
	warnings = append(warnings, c.checkSecrets(found)...)
	warnings = append(warnings, c.checkRetention(found)...)
	if rate := c.Auth.RatePerSecond; !(rate >= 0 && rate <= ratePerSecondMax) {
		found.add("auth.rate_per_second", "want 0 to %d, have %v", ratePerSecondMax, rate)
	}
	if c.Metrics.Listen != "" {
		checkHostPort(found, "metrics.listen", c.Metrics.Listen)
		if c.Metrics.Listen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			found.add("metrics.listen", "is the same as listen; leave it empty to serve metrics beside the API")
		}
	}
	within(found, "metrics.merchants", c.Metrics.Merchants, 0, merchantSeriesMax)
	if _, err := c.logLevel(); err != nil {
		found.add("log.level", "want debug, info, warn or error, have %q", c.Log.Level)
	}
	if !slices.Contains([]string{"auto", "text", "json"}, c.Log.Format) {
		found.add("log.format", "want auto, text or json, have %q", c.Log.Format)
	}
	return warnings
}

// checkStore looks at the store's URL and at what holds for one kind of store only.
func (c *Config) checkStore(found *faults) {
	var err error
	if isRedisURL(c.Store) {
		err = redisstore.CheckURL(c.Store)
	} else {
		_, err = storePath(c.Store)
	}
	if err != nil {
		found.add("store", "%s", strings.TrimPrefix(err.Error(), "store: "))
	}
	switch n := c.Redis.WaitReplicas; {
	case n < 0:
		found.add("redis.wait_replicas", "want 0 or more, have %d", n)
	case n > 0 && !isRedisURL(c.Store):
		found.add("redis.wait_replicas", "is for a store on Redis; remove the key, or set store to a redis:// URL")
	}
}

func (c *Config) checkEgress(found *faults) {
	for _, key := range []string{"egress.allow_cidrs", "egress.deny_cidrs"} {
		list := c.Egress.AllowCIDRs
		if key == "egress.deny_cidrs" {
			list = c.Egress.DenyCIDRs
		}
		for _, text := range list {
			if _, err := parseCIDR(text); err != nil {
				found.add(key, "%s", err)
			}
		}
	}
	if len(c.Egress.Ports) == 0 {
		found.add("egress.ports", "is empty, so that nothing could be sent; name at least one port")
	}
	for _, port := range c.Egress.Ports {
		within(found, "egress.ports", port, 1, 65535)
	}
	if c.Egress.Resolver != "" {
		checkHostPort(found, "egress.resolver", c.Egress.Resolver)
	}
	if proxy, err := c.proxy(); err != nil {
		found.add("egress.proxy", "%s", err)
	} else if proxy != nil && proxy.IsOwn(&egress.Rules{Own: ownListeners(*c)}) {
		found.add("egress.proxy", ownProxy)
	}
}

// checkSecrets reads the key files and checks what they, or the keys in the file, say.
func (c *Config) checkSecrets(found *faults) (warnings []string) {
	for _, s := range []struct {
		key    string
		inline *secret
		file   string
	}{
		{"auth.admin_key", &c.Auth.AdminKey, c.Auth.AdminKeyFile},
		{"master_key", &c.MasterKey, c.MasterKeyFile},
	} {
		if s.file == "" {
			continue
		}
		if *s.inline != "" {
			found.add(s.key, "and %s_file are both set; keep one", s.key)
			continue
		}
		text, warning, err := readSecret(s.file)
		if err != nil {
			found.add(s.key+"_file", "%s", err)
			continue
		}
		if warning != "" {
			warnings = append(warnings, s.key+"_file: "+warning)
		}
		*s.inline = secret(text)
	}
	if key := string(c.Auth.AdminKey); key != "" {
		if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			found.add("auth.admin_key", "want visible ASCII characters without blanks: it travels in a header")
		} else if len(key) < keyCharsAdvised {
			warnings = append(warnings, fmt.Sprintf("auth.admin_key has %d characters; use at least %d random ones",
				len(key), keyCharsAdvised))
		}
	}
	if c.MasterKey != "" {
		if _, err := keyring.Load(string(c.MasterKey)); err != nil {
			found.add("master_key", "%s", err)
		}
	}
	return warnings
}

func (c *Config) checkRetention(found *faults) (warnings []string) {
	for _, r := range []struct {
		key string
		d   time.Duration
	}{{"retention.spent", c.Retention.Spent}, {"retention.exhausted", c.Retention.Exhausted}} {
		switch {
		case r.d <= 0:
			found.add(r.key, "want a positive duration, have %s", r.d)
		case r.d < retentionAdvised:
			warnings = append(warnings, fmt.Sprintf("%s is shorter than %s: a producer that repeats a request "+
				"after that makes a new notification", r.key, shortDuration(retentionAdvised)))
		}
	}
	switch shrink := c.Retention.Shrink; {
	case shrink < 0:
		found.add("retention.shrink", "want 0 or a positive duration, have %s", shrink)
	case shrink != defaultConfig().Retention.Shrink && !isRedisURL(c.Store):
		warnings = append(warnings, "retention.shrink does nothing with this store; it is for Redis")
	}
	return warnings
}

// readSecret reads a file that holds a key, without the line end that editors put there.
func readSecret(file string) (text, warning string, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", "", err
	}
	if !info.Mode().IsRegular() || info.Size() > secretFileBytesMax {
		return "", "", fmt.Errorf("%s is not a file with a key", file)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "", "", fmt.Errorf("%s is empty", file)
	}
	if info.Mode().Perm()&0o007 != 0 {
		warning = fmt.Sprintf("everybody on this machine can read %s; chmod 600 it", file)
	}
	return string(raw), warning, nil
}

func within(found *faults, key string, value, low, high int) {
	if value < low || value > high {
		found.add(key, "want %d to %d, have %d", low, high, value)
	}
}

func checkHostPort(found *faults, key, value string) {
	_, port, err := net.SplitHostPort(value)
	n, bad := strconv.Atoi(port)
	if err != nil || bad != nil || n < 0 || n > 65535 {
		found.add(key, "want HOST:PORT, like 127.0.0.1:8080; have %q", value)
	}
}

// redisSchemes name a store on Redis; with an s after redis the connections use TLS.
var redisSchemes = []string{
	"redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster",
}

func isRedisURL(store string) bool {
	scheme, _, _ := strings.Cut(store, ":")
	return slices.Contains(redisSchemes, scheme)
}

// storePath is the file of an embedded store.
func storePath(store string) (string, error) {
	scheme, path, found := strings.Cut(store, ":")
	switch {
	case !found || scheme != "sqlite":
		return "", fmt.Errorf("want sqlite:FILE, like sqlite:paynotify.db, or a redis:// URL; have %q",
			redactURL(store))
	case path == "" || strings.HasPrefix(path, ":memory:"):
		return "", fmt.Errorf("want a file after sqlite:, like sqlite:paynotify.db; have %q", store)
	case strings.HasPrefix(path, "//"):
		return "", fmt.Errorf("want sqlite:FILE without slashes in front of a relative path, "+
			"and one in front of an absolute one: sqlite:/var/lib/paynotify.db; have %q", store)
	}
	return path, nil
}

// redactURL keeps what may hold a password out of an error.
func redactURL(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "…" + text[i:]
	}
	return text
}

// storeName is the store as logs may show it: of a Redis neither user nor password.
func storeName(store string) string {
	if isRedisURL(store) {
		return redisstore.Redacted(store)
	}
	return store
}

func parseCIDR(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		if a, err := netip.ParseAddr(text); err == nil {
			return p, fmt.Errorf("want a range; for this one address write %s/%d", a, a.BitLen())
		}
		return p, fmt.Errorf("want a range like 10.1.0.0/16 or fd00::/8, have %q", text)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%s has bits set behind the prefix; write %s", p, p.Masked())
	}
	return p, nil
}

// rules are the egress rules of a checked configuration. own lists the listeners that no send may reach.
func (c *Config) rules(own func() []netip.AddrPort) egress.Rules {
	r := egress.Rules{RequireHTTPS: c.Egress.RequireHTTPS, Dev: c.Dev, Own: own}
	for _, text := range c.Egress.AllowCIDRs {
		if p, err := parseCIDR(text); err == nil {
			r.AllowCIDRs = append(r.AllowCIDRs, p)
		}
	}
	for _, text := range c.Egress.DenyCIDRs {
		if p, err := parseCIDR(text); err == nil {
			r.DenyCIDRs = append(r.DenyCIDRs, p)
		}
	}
	for _, port := range c.Egress.Ports {
		r.Ports = append(r.Ports, uint16(port)) //nolint:gosec // checked: 1 to 65535
	}
	return r
}

func (c *Config) logLevel() (slog.Level, error) {
	var level slog.Level
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		return level, fmt.Errorf("unknown level")
	}
	return level, level.UnmarshalText([]byte(c.Log.Level))
}
