package egress

import (
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Proxy is an HTTP proxy that makes our connections. It must allow CONNECT to every port that a notify_url
// may name, 80 too. Only ParseProxy makes one.
type Proxy struct {
	host string     // a name or an address
	port uint16     // never 0
	addr netip.Addr // of an address; invalid for a name
	auth string     // the value of Proxy-Authorization; empty for none
}

// errProxy is what ParseProxy says. The text may hold a password, so none of it is repeated.
var errProxy = errors.New("want http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with %-escapes for " +
	"special characters in user and password")

// ParseProxy reads http://[user:password@]host:port. The error says the form and repeats nothing of the text.
func ParseProxy(text string) (*Proxy, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Opaque != "" || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return nil, errProxy
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return nil, errProxy
	}
	p := &Proxy{host: u.Hostname(), port: uint16(port)}
	if p.addr, err = netip.ParseAddr(p.host); err == nil {
		p.addr = p.addr.Unmap()
	} else {
		p.host, err = names.ToASCII(p.host)
		p.host = strings.TrimSuffix(p.host, ".")
		if err != nil || !validName(p.host) || numericLabel(p.host[strings.LastIndexByte(p.host, '.')+1:]) {
			return nil, errProxy
		}
	}
	if u.User != nil {
		password, _ := u.User.Password()
		if u.User.Username() == "" || strings.Contains(u.User.Username(), ":") {
			return nil, errProxy // Basic could not tell where the name ends
		}
		p.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return p, nil
}

// String is HOST:PORT, for people: without user and password.
func (p *Proxy) String() string { return net.JoinHostPort(p.host, strconv.Itoa(int(p.port))) }

// IsOwn reports whether the proxy's address is known to be one of this process's own listeners. A name is
// judged when it is dialled.
func (p *Proxy) IsOwn(r *Rules) bool {
	return p.addr.IsValid() && r.isOwn(netip.AddrPortFrom(p.addr, p.port))
}
