package egress

import (
	"strings"
	"testing"
)

// TestHeaderLinesAreWhatLeaves holds the lines that people are shown against the bytes on the wire.
func TestHeaderLinesAreWhatLeaves(t *testing.T) {
	target, refused := (&Rules{}).CheckURL("https://shop.example.com/n")
	if refused != nil {
		t.Fatal(refused)
	}
	for _, header := range [][]Header{
		nil,
		{{"Content-Type", "text/plain"}, {"x-Notify-SIGN", ""}},
		{{"user-agent", "theirs"}, {"Content-Type", "text/plain"}, {"ACCEPT", "text/*"}},
		{{"Accept-Encoding", "gzip"}},
	} {
		r := Request{Target: target, Header: header, Body: []byte("a=1")}
		var want []string
		head, _, _ := strings.Cut(string(r.append(nil, "paynotify/1.2")), "\r\n\r\n")
		for _, line := range strings.Split(head, "\r\n")[1:] {
			if !strings.HasPrefix(line, "Host: ") && !strings.HasPrefix(line, "Content-Length: ") {
				want = append(want, line)
			}
		}
		var got []string
		for _, h := range r.HeaderLines("paynotify/1.2") {
			got = append(got, h.Name+": "+h.Value)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("shown %q, sent %q", got, want)
		}
	}
	if got := (&Request{}).HeaderLines("")[0].Value; got != New(Options{}).opts.UserAgent {
		t.Errorf("default User-Agent %q", got)
	}
}
