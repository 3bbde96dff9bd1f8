package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"paynotify/dispatcher/egress"
)

const (
	dnsWait    = 3 * time.Second // a merchant's name that takes longer eats its send's time
	idleConns  = 1024            // that egress keeps open at most
	otherFiles = 256             // store, Redis, logs, listeners
)

// buildYear is a year that a true clock cannot be before.
const buildYear = 2025

// clock looks at this machine's clock. It stands in signed messages; when a send is due, the store's decides.
func (d *doctor) clock(context.Context) {
	const check = "clock"
	now := time.Now()
	if now.Year() < buildYear {
		d.fail(exitConfig, check, "set the clock", "it says %s: merchants refuse signatures with such times",
			now.UTC().Format(time.RFC3339))
		return
	}
	synced, errMax, known := clockState()
	switch {
	case !known:
		d.ok(check, "%s; whether it is synchronised is not known here", now.UTC().Format(time.RFC3339))
	case !synced:
		d.warn(check, "run an NTP client, such as chrony or systemd-timesyncd",
			"%s, and the kernel does not know it to be synchronised", now.UTC().Format(time.RFC3339))
	default:
		d.ok(check, "%s, synchronised, off by %s at most", now.UTC().Format(time.RFC3339), errMax)
	}
}

// descriptors compares the limit of open files with what sends and callers may need together.
func (d *doctor) descriptors(context.Context) {
	const check = "file descriptors"
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		d.warn(check, "", "the limit cannot be read: %s", err)
		return
	}
	least := uint64(d.cfg.Dispatcher.Workers + otherFiles) //nolint:gosec // 1 to 4096 workers
	whole := least + idleConns + connsMax
	const cure = "ulimit -n 65536; with systemd LimitNOFILE=65536, with Docker --ulimit nofile=65536"
	switch have := limit.Cur; {
	case have < least:
		d.fail(exitConfig, check, cure, "%d, and the sends alone need %d (dispatcher.workers and what stays open)",
			have, least)
	case have < whole:
		d.warn(check, cure, "%d; with every worker and caller busy %d are needed", have, whole)
	default:
		d.ok(check, "%d here, of %d that could be needed", have, whole)
	}
}

// dns asks the resolver that the sends will use for the name servers of the root: a question that every
// resolver can answer, and that tells nobody anything.
func (d *doctor) dns(ctx context.Context) {
	const check = "dns"
	ctx, cancel := context.WithTimeout(ctx, dnsWait)
	defer cancel()
	r, who := &net.Resolver{PreferGo: true}, "the system's resolver"
	if server := d.cfg.Egress.Resolver; server != "" {
		who = server
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}
	}
	began := time.Now()
	_, err := r.LookupNS(ctx, ".")
	took := time.Since(began).Round(100 * time.Microsecond)
	var said *net.DNSError
	answered := err == nil || errors.As(err, &said) && said.IsNotFound
	switch {
	case answered:
		d.ok(check, "%s answers in %s", who, took)
	case d.cfg.Egress.Resolver != "":
		d.fail(exitUnavailable, check, "name a DNS server that answers in egress.resolver, or leave it empty",
			"%s (egress.resolver) does not answer: %s", who, reasonOfDNS(err))
	default:
		d.warn(check, "see /etc/resolv.conf, or name a DNS server in egress.resolver; merchants whose notify_url "+
			"is an address need none", "%s does not answer, so no name can be sent to: %s", who, reasonOfDNS(err))
	}
}

// reasonOfDNS is the cause without the question, which means nothing to people.
func reasonOfDNS(err error) string {
	if said, ok := errors.AsType[*net.DNSError](err); ok {
		return said.Err
	}
	return err.Error()
}

// touchy are addresses that a merchant must not make us send to, and what they are.
var touchy = []struct{ addr, what string }{
	{"127.0.0.1", "this machine"},
	{"::1", "this machine"},
	{"169.254.169.254", "the cloud's metadata, which hands out credentials"},
	{"fd00:ec2::254", "the cloud's metadata, which hands out credentials"},
}

// egress says what the rules for sends let through that they normally would not.
func (d *doctor) egress(context.Context) {
	const check = "egress"
	rules := d.cfg.rules(ownListeners(d.cfg))
	if d.cfg.Dev {
		d.warn(check, "leave out --dev in production", "--dev: sends may reach loopback and private addresses")
	} else {
		for _, t := range touchy {
			if rules.CheckAddr(netip.MustParseAddr(t.addr)) == nil {
				d.warn(check, "narrow egress.allow_cidrs, or add "+t.addr+" to egress.deny_cidrs",
					"egress.allow_cidrs opens %s: %s", t.addr, t.what)
			}
		}
	}
	if set := proxyVariables(); len(set) > 0 {
		d.warn(check, "", "%s set, and ignored: only egress.proxy counts", strings.Join(set, ", "))
	}
	for _, own := range ownListeners(d.cfg)() {
		if target := "http://" + own.String() + "/notify"; !refusesOwn(&rules, target) {
			d.fail(exitBug, check, "please report it", "a send could reach our own listener %s", own)
			return
		}
	}
	schemes := "http and https"
	if d.cfg.Egress.RequireHTTPS {
		schemes = "https"
	}
	rule := d.cfg.Egress
	d.ok(check, "%s to public addresses, ports %s; opened besides: %s; refused besides: %s; "+
		"never our own listeners", schemes, yamlText(rule.Ports), orNothing(rule.AllowCIDRs),
		orNothing(rule.DenyCIDRs))
}

func orNothing(texts []string) string {
	if len(texts) == 0 {
		return "nothing"
	}
	return strings.Join(texts, ", ")
}

// ownListeners are the configured listeners, as far as their addresses are known before they listen.
func ownListeners(c Config) func() []netip.AddrPort {
	var own []netip.AddrPort
	for _, text := range []string{c.Listen, c.Metrics.Listen} {
		host, port, err := net.SplitHostPort(text)
		if host == "" {
			host = "0.0.0.0"
		}
		ap, bad := netip.ParseAddrPort(net.JoinHostPort(host, port))
		if err == nil && bad == nil && ap.Port() != 0 {
			own = append(own, ap)
		}
	}
	return func() []netip.AddrPort { return own }
}

func refusesOwn(rules *egress.Rules, url string) bool {
	_, refused := rules.CheckURL(url)
	return refused != nil
}

func proxyVariables() (set []string) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		for _, n := range []string{name, strings.ToLower(name)} {
			if os.Getenv(n) != "" {
				set = append(set, n)
			}
		}
	}
	return set
}

// access says who will be let in.
func (d *doctor) access(context.Context) {
	const check = "access"
	host, _, _ := net.SplitHostPort(d.cfg.Listen)
	local := slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, host)
	switch {
	case d.cfg.Auth.AdminKey != "":
		d.ok(check, "the API wants auth.admin_key, on %s", d.cfg.Listen)
	case local:
		d.ok(check, "no auth.admin_key: the API answers this machine only, and API keys, on %s", d.cfg.Listen)
	default:
		d.warn(check, fmt.Sprintf("set auth.admin_key, or listen on 127.0.0.1 instead of %s", d.cfg.Listen),
			"no auth.admin_key: the API listens on %s and still answers this machine only, and API keys", d.cfg.Listen)
	}
}
