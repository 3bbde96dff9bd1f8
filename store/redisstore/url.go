package redisstore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Default ports of Redis and of Sentinel.
const (
	redisPort    = "6379"
	sentinelPort = "26379"
)

// form is how the Redis behind a URL is put together.
type form int

const (
	single form = iota
	sentinel
	cluster
)

// hostBytes are what the name of a host is made of.
const hostBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

// schemes are what a URL may begin with.
var schemes = map[string]struct {
	form form
	tls  bool
}{
	"redis":           {single, false},
	"rediss":          {single, true},
	"redis-sentinel":  {sentinel, false},
	"rediss-sentinel": {sentinel, true},
	"redis-cluster":   {cluster, false},
	"rediss-cluster":  {cluster, true},
}

// target is a Redis as a URL names it.
type target struct {
	form             form
	tls              bool
	addrs            []string // host:port, of Sentinels where form is sentinel
	master           string   // what the Sentinels call it
	user             string
	password         string
	sentinelUser     string
	sentinelPassword string
	db               int
}

// CheckURL says what is wrong with the URL of a Redis, and the cure. The forms are redis://HOST:PORT/DB,
// redis-sentinel://HOST,HOST/DB?master=NAME and redis-cluster://HOST,HOST, each with rediss instead of redis
// for TLS; user:password@ may stand in front of the hosts. No password is ever part of the error.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// Redacted is the URL of a Redis without user, password and parameters: fit for logs and errors.
func Redacted(text string) string {
	scheme, _, _ := strings.Cut(text, "://")
	if _, known := schemes[scheme]; !known {
		return "(not the URL of a Redis)"
	}
	t, err := parseURL(text)
	if err != nil {
		return scheme + "://…"
	}
	text = scheme + "://" + strings.Join(t.addrs, ",")
	if t.form != cluster {
		text += "/" + strconv.Itoa(t.db)
	}
	if t.form == sentinel {
		text += "?master=" + url.QueryEscape(t.master)
	}
	return text
}

// parseURL reads a URL. Package net/url cannot: it refuses a list of hosts with ports.
func parseURL(text string) (*target, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	s, known := schemes[scheme]
	if !known {
		return nil, errors.New("store: a Redis URL begins with redis://, redis-sentinel:// or " +
			"redis-cluster://, or with rediss instead of redis for TLS")
	}
	t := &target{form: s.form, tls: s.tls}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, rest := rest[:end], rest[end:]
	path, query, _ := strings.Cut(rest, "?")
	if strings.Contains(rest, "#") {
		return nil, errors.New("store: a Redis URL has no # part; write %23 for a # in the password")
	}
	if strings.Contains(path, "@") {
		return nil, errors.New("store: write %2F for a / in the password of a Redis URL")
	}
	if !strings.Contains(authority, "@") && strings.Contains(query, "@") {
		return nil, errors.New("store: write %3F for a ? in the password and %40 for an @ in a Redis URL")
	}
	if err := t.readUser(authority); err != nil {
		return nil, err
	}
	if err := t.readHosts(authority[strings.LastIndex(authority, "@")+1:]); err != nil {
		return nil, err
	}
	if err := t.readDB(path); err != nil {
		return nil, err
	}
	return t, t.readQuery(query)
}

// readUser reads user:password@, user@ and :password@.
func (t *target) readUser(authority string) error {
	at := strings.LastIndex(authority, "@")
	if at < 0 {
		return nil
	}
	user, password, _ := strings.Cut(authority[:at], ":")
	var err, err2 error
	t.user, err = url.PathUnescape(user)
	t.password, err2 = url.PathUnescape(password)
	if err != nil || err2 != nil {
		return errors.New("store: user or password of the Redis URL is not percent-encoded: write %25 for a %")
	}
	return nil
}

func (t *target) readHosts(hosts string) error {
	port := redisPort
	if t.form == sentinel {
		port = sentinelPort
	}
	for h := range strings.SplitSeq(hosts, ",") {
		addr, ok := hostPort(h, port)
		if !ok {
			return errors.New("store: a host in the Redis URL is not HOST, HOST:PORT or [IPv6]:PORT")
		}
		t.addrs = append(t.addrs, addr)
	}
	if t.form == single && len(t.addrs) > 1 {
		return errors.New("store: redis:// takes one host; use redis-sentinel:// or redis-cluster:// for several")
	}
	return nil
}

// hostPort completes an address with the port that it leaves out.
func hostPort(text, port string) (string, bool) {
	host := text
	switch {
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		host = text[1 : len(text)-1]
	case strings.Contains(text, ":"):
		var err error
		host, port, err = net.SplitHostPort(text)
		if err != nil {
			return "", false
		}
	}
	address := strings.HasPrefix(text, "[")
	if address && net.ParseIP(host) == nil || !address && (host == "" || strings.Trim(host, hostBytes) != "") {
		return "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return net.JoinHostPort(host, port), err == nil && n > 0
}

func (t *target) readDB(path string) error {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return nil
	}
	n, err := strconv.ParseUint(path, 10, 16)
	if err != nil {
		return errors.New("store: what follows the host in a Redis URL is the number of a database, like /0")
	}
	if t.form == cluster && n != 0 {
		return errors.New("store: Redis Cluster has database 0 only: leave the number out")
	}
	t.db = int(n)
	return nil
}

func (t *target) readQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("store: the parameters of the Redis URL are not percent-encoded")
	}
	allowed := map[string]*string{}
	if t.form == sentinel {
		allowed = map[string]*string{
			"master": &t.master, "sentinel_user": &t.sentinelUser, "sentinel_password": &t.sentinelPassword,
		}
	}
	for name, vs := range values {
		into := allowed[name]
		switch {
		case into == nil && t.form == sentinel:
			return fmt.Errorf("store: parameter %.20q of the Redis URL is unknown; there are master, "+
				"sentinel_user and sentinel_password", name)
		case into == nil:
			return fmt.Errorf("store: parameter %.20q of the Redis URL is unknown; only redis-sentinel:// has "+
				"parameters", name)
		case len(vs) > 1:
			return fmt.Errorf("store: parameter %s of the Redis URL stands there twice", name)
		}
		*into = vs[0]
	}
	if t.form == sentinel && t.master == "" {
		return errors.New("store: add ?master=NAME to the redis-sentinel URL: what the Sentinels call the master")
	}
	return nil
}
