package redisstore

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/store"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		text string
		want target
	}{
		{"redis://localhost", target{addrs: []string{"localhost:6379"}}},
		{"redis://10.0.0.1:7000/3", target{addrs: []string{"10.0.0.1:7000"}, db: 3}},
		{"redis://[::1]:7000/", target{addrs: []string{"[::1]:7000"}}},
		{"redis://[::1]", target{addrs: []string{"[::1]:6379"}}},
		{
			"rediss://app:p%40ss%2F%3a@cache.example/1",
			target{tls: true, user: "app", password: "p@ss/:", addrs: []string{"cache.example:6379"}, db: 1},
		},
		{"redis://:s3@cret@h", target{password: "s3@cret", addrs: []string{"h:6379"}}},
		{"redis://app@h", target{user: "app", addrs: []string{"h:6379"}}},
		{
			"redis-sentinel://:pw@h1,h2:5000,[::1]/2?master=my%20one&sentinel_user=u&sentinel_password=a@b",
			target{
				form: sentinel, password: "pw", addrs: []string{"h1:26379", "h2:5000", "[::1]:26379"}, db: 2,
				master: "my one", sentinelUser: "u", sentinelPassword: "a@b",
			},
		},
		{"rediss-sentinel://h?master=m", target{
			form: sentinel, tls: true, addrs: []string{"h:26379"}, master: "m",
		}},
		{"redis-cluster://u:p@h1:7001,h2/0", target{
			form: cluster, user: "u", password: "p", addrs: []string{"h1:7001", "h2:6379"},
		}},
		{"rediss-cluster://h1", target{form: cluster, tls: true, addrs: []string{"h1:6379"}}},
	} {
		got, err := parseURL(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if d := cmp.Diff(c.want, *got, cmp.AllowUnexported(target{})); d != "" {
			t.Errorf("%s: -want +got\n%s", c.text, d)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "redis://"},
		{"http://h", "redis://"},
		{"sqlite:x.db", "redis://"},
		{"redis:h", "redis://"},
		{"redis://", "host"},
		{"redis://h:0", "host"},
		{"redis://h:65536", "host"},
		{"redis://h:x", "host"},
		{"redis://h:1:2", "host"},
		{"redis://[::1", "host"},
		{"redis://[h]", "host"},
		{"redis://a b", "host"},
		{"redis://[", "host"},
		{"redis://[h]:1", "host"},
		{"redis://[127.0.0.1", "host"},
		{"redis://ä", "host"},
		{"redis://h1,h2", "redis-cluster://"},
		{"redis-cluster://h1,,h2", "host"},
		{"redis://h/x", "database"},
		{"redis://h/-1", "database"},
		{"redis-cluster://h/1", "database 0"},
		{"redis://h?db=1", `"db"`},
		{"redis-sentinel://h", "master=NAME"},
		{"redis-sentinel://h?master=a&master=b", "twice"},
		{"redis-sentinel://h?master=a&quorum=2", `"quorum"`},
		{"redis://:secret#more@h", "%23"},
		{"redis://:secret/more@h", "%2F"},
		{"redis://:secret?more@h", "%3F"},
		{"redis://:secret%zz@h", "%25"},
	} {
		err := CheckURL(c.text)
		if err == nil {
			t.Errorf("%q was taken", c.text)
			continue
		}
		for _, want := range []string{"store: ", c.want} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %q lacks %q", c.text, err, want)
			}
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(Redacted(c.text), "secret") {
			t.Errorf("%q: the password shows in %q or %q", c.text, err, Redacted(c.text))
		}
	}
}

func TestRedacted(t *testing.T) {
	for text, want := range map[string]string{
		"redis://u:secret@h/1":                                           "redis://h:6379/1",
		"rediss-cluster://:secret@h1,h2:7":                               "rediss-cluster://h1:6379,h2:7",
		"redis-sentinel://:secret@h/0?master=m&sentinel_password=secret": "redis-sentinel://h:26379/0?master=m",
		"redis://:secret@h/nonsense":                                     "redis://…",
		"secret":                                                         "(not the URL of a Redis)",
	} {
		if got := Redacted(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("redis-sentinel://u:p@h1,h2:1/0?master=m")
	f.Add("redis://[::1]:1/15")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseURL(text)
		if err != nil {
			return
		}
		again, err := parseURL(Redacted(text))
		if err != nil {
			t.Fatalf("%q redacted is %q: %v", text, Redacted(text), err)
		}
		got.user, got.password, got.sentinelUser, got.sentinelPassword = "", "", "", ""
		if d := cmp.Diff(got, again, cmp.AllowUnexported(target{})); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	})
}

// The certificate is verified always: there is no parameter that lets an impostor in.
func TestTLSIsVerified(t *testing.T) {
	t.Parallel()
	impostor := httptest.NewUnstartedServer(nil)
	impostor.Config.ErrorLog = log.New(io.Discard, "", 0)
	impostor.StartTLS()
	defer impostor.Close()
	addr := impostor.Listener.Addr().String()
	for name, o := range map[string]Options{
		"over the network":  {URL: "rediss://" + addr},
		"over other wires":  {URL: "rediss://" + addr, Dial: (&net.Dialer{}).DialContext},
		"a Cluster":         {URL: "rediss-cluster://" + addr},
		"behind a Sentinel": {URL: "rediss-sentinel://" + addr + "?master=m"},
	} {
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Health(t.Context()).Err
		if !errors.Is(err, store.ErrUnavailable) || name != "behind a Sentinel" &&
			!strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}
