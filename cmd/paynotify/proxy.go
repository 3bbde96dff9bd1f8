package main

import (
	"context"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/dispatcher/egress"
)

// proxy is the proxy that makes all connections of the sends, nil for none.
func (c *Config) proxy() (*egress.Proxy, error) {
	if c.Egress.Proxy == "" {
		return nil, nil //nolint:nilnil // no proxy is no error, and egress.Options takes nil
	}
	return egress.ParseProxy(string(c.Egress.Proxy))
}

const ownProxy = "is a listener of this server itself; name the proxy's address"

// newClient makes the client of the sends. A proxy that does not work is told once, and so is its return.
func (e *engine) newClient(
	rules egress.Rules, userAgent string, r prometheus.Registerer,
) (*egress.Client, error) {
	proxy, err := e.cfg.proxy()
	if err == nil && proxy != nil && proxy.IsOwn(&rules) {
		err = fmt.Errorf("%s %s", proxy, ownProxy)
	}
	if err != nil {
		return nil, &problem{code: exitConfig, what: "egress.proxy", why: err.Error()}
	}
	o := egress.Options{
		Rules: rules, Resolver: e.cfg.Egress.Resolver, UserAgent: userAgent, Proxy: proxy,
		HeaderTimeout: headerTimeout(e.cfg.Dispatcher.Timeout),
	}
	if proxy != nil {
		up := prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "paynotify", Name: "egress_proxy_up",
			Help: "1 while the egress proxy makes connections, else 0. Only with egress.proxy.",
		})
		up.Set(1)
		r.MustRegister(up)
		o.ProxyChanged = func(why error) {
			if why == nil {
				up.Set(1)
				e.log.Info("the egress proxy works again", "proxy", proxy.String())
				return
			}
			up.Set(0)
			e.log.Warn("the egress proxy does not work: sends fail, and are not charged for 15 minutes",
				"proxy", proxy.String(), "err", why)
		}
	}
	return egress.New(o), nil
}

// proxy looks whether the proxy of the sends can be connected to.
func (d *doctor) proxy(ctx context.Context) {
	const check, cure = "proxy", "start the proxy, or correct egress.proxy"
	proxy, err := d.cfg.proxy()
	if err != nil || proxy == nil {
		return // none, or said by the configuration's own check
	}
	ctx, cancel := context.WithTimeout(ctx, dnsWait)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", proxy.String())
	if err != nil {
		d.fail(exitUnavailable, check, cure, "%s (egress.proxy) cannot be connected to: %s", proxy, err)
		return
	}
	c.Close()
	d.ok(check, "%s (egress.proxy) takes connections", proxy)
}
