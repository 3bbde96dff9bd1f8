package redis

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Proxy stands between a client and a server and spoils what goes through it.
type Proxy struct {
	Addr string // 127.0.0.1:PORT, the same after Cut and Heal

	tb    testing.TB
	proxy *toxiproxy.Proxy
}

// NewProxy starts a proxy in front of an address, until the end of the test.
func NewProxy(tb testing.TB, addr string) *Proxy {
	tb.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics write to a logger of their own
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &Proxy{tb: tb}
	var err error
	for range portsMax {
		p.Addr = "127.0.0.1:" + FreePort(tb)
		p.proxy = toxiproxy.NewProxy(server, "redis", p.Addr, addr)
		if err = p.proxy.Start(); err == nil {
			tb.Cleanup(p.Close)
			return p
		}
	}
	tb.Fatalf("proxy: %v", err)
	return nil
}

// URL is what --store takes, of a server without a password behind the proxy.
func (p *Proxy) URL() string { return "redis://" + p.Addr + "/0" }

// Latency makes every reply d later; what is pipelined still is. 0 takes it away.
func (p *Proxy) Latency(d time.Duration) {
	p.tb.Helper()
	p.toxic("latency", "downstream", d > 0, map[string]any{"latency": d.Milliseconds()})
}

// Bandwidth lets that many KB a second through in each direction. 0 takes the limit away.
func (p *Proxy) Bandwidth(kbps int) {
	p.tb.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		p.toxic("bandwidth", stream, kbps > 0, map[string]any{"rate": kbps})
	}
}

// Hang keeps the connections and lets nothing through: what a firewall does that forgot us. Requests that are
// on their way are lost.
func (p *Proxy) Hang() {
	p.tb.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		p.toxic("timeout", stream, true, map[string]any{"timeout": 0})
	}
}

// HangReplies lets requests through and no reply: the server does what the client never hears of.
func (p *Proxy) HangReplies() {
	p.tb.Helper()
	p.toxic("timeout", "downstream", true, map[string]any{"timeout": 0})
}

// Cut closes every connection and refuses new ones.
func (p *Proxy) Cut() { p.proxy.Stop() }

// Heal takes every spoiling away and ends Cut.
func (p *Proxy) Heal() {
	p.tb.Helper()
	for _, kind := range []string{"latency", "bandwidth", "timeout"} {
		for _, stream := range []string{"upstream", "downstream"} {
			p.toxic(kind, stream, false, nil)
		}
	}
	if p.proxy.Enabled {
		return
	}
	if err := p.proxy.Start(); err != nil {
		p.tb.Fatalf("proxy: %v", err)
	}
}

// Point sends whoever comes from now on to another address and closes what is open.
func (p *Proxy) Point(addr string) {
	p.proxy.Stop()
	p.proxy.Upstream = addr
	p.Heal()
}

// Close ends the proxy before the test does.
func (p *Proxy) Close() { p.proxy.Stop() }

// toxic replaces or removes what toxiproxy calls a toxic.
func (p *Proxy) toxic(kind, stream string, on bool, attributes map[string]any) {
	p.tb.Helper()
	name := kind + "_" + stream
	if p.proxy.Toxics.GetToxic(name) != nil {
		if err := p.proxy.Toxics.RemoveToxic(p.tb.Context(), name); err != nil {
			p.tb.Fatalf("proxy: %v", err)
		}
	}
	if !on {
		return
	}
	text, err := json.Marshal(map[string]any{
		"name": name, "type": kind, "stream": stream, "toxicity": 1.0, "attributes": attributes,
	})
	if err != nil {
		p.tb.Fatal(err)
	}
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
		p.tb.Fatalf("proxy: %v", err)
	}
}
