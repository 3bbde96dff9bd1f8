package api

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// FuzzReadNotification feeds arbitrary bytes to the reader of the hot path. Whatever it accepts must be what
// encoding/json reads too, and its params must be the given ones without white space.
func FuzzReadNotification(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"mch_id":"m1","params":{}}`,
		`{"mch_id":"m1","params":{"a":[1, 2 ,{"b":"c\" } "}]}}`,
		`{"mch_id":"\u006d1","params":{"a":1e2,"b":-0.0},"x":1}`,
		`{"mch_id":"m1","mch_id":"m1"}`, "{\"a\":\"\xff\"}",
		`{"mch_id":"m1","params":{"a":"\ud83d\ude00"}} `, `{"mch_id":"m1","params":{}} {}`, `{"params":{"a":"\\"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := readers.Get().(*reader)
		defer r.free()
		r.body = append(r.body[:0], text...)
		var n NotificationRequest
		if p := r.document(func() { n = r.readNotification(requestNames) }); p != nil {
			if p.Offset == nil || *p.Offset < 0 || *p.Offset > int64(len(text)) {
				t.Errorf("offset %v of %d bytes", p.Offset, len(text))
			}
			return
		}
		if !json.Valid(text) || !utf8.Valid(text) {
			t.Fatalf("read what is no JSON: %q", text)
		}
		if len(r.faults) > 0 {
			return
		}
		var same NotificationRequest
		if err := json.Unmarshal(text, &same); err != nil {
			t.Fatal(err)
		}
		var params bytes.Buffer
		if err := json.Compact(&params, same.Params); err != nil {
			t.Fatal(err)
		}
		if n.MchID != same.MchID || n.OutTradeNo != same.OutTradeNo || n.NotifyType != same.NotifyType ||
			n.Schedule != same.Schedule || n.NotifyURL != same.NotifyURL || !bytes.Equal(n.Params, params.Bytes()) {
			t.Errorf("read %+v (params %s), want %+v (params %s)", n, n.Params, same, params.Bytes())
		}
		n.digest()
	})
}

// TestReplyIsExactProperty checks that an escaped reply is safe to show and can be read back to its bytes.
func TestReplyIsExactProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reply := rapid.SliceOf(rapid.Byte()).Draw(t, "reply")
		shown := EscapeReply(reply)
		if !utf8.ValidString(shown) {
			t.Fatalf("%q is no UTF-8", shown)
		}
		var back []byte
		for i := 0; i < len(shown); {
			switch c := shown[i]; {
			case c < 0x20 || c == 0x7f:
				t.Fatalf("%q has a control character", shown)
			case c != '\\':
				back = append(back, c)
				i++
			case shown[i+1] == '\\':
				back = append(back, c)
				i += 2
			default:
				var b byte
				for _, digit := range shown[i+2 : i+4] {
					b = b<<4 | byte(bytes.IndexRune([]byte("0123456789abcdef"), digit))
				}
				back = append(back, b)
				i += 4
			}
		}
		if !bytes.Equal(back, reply) {
			t.Fatalf("%q reads back as %q", shown, back)
		}
	})
}

func TestNearest(t *testing.T) {
	for typed, want := range map[string]string{
		"notify_typ": "notify_type", "mchid": "mch_id", "param": "params", "Params": "params",
		"scheduel": "schedule",
		"colour":   "", "x": "", "": "", "notifyurl": "notify_url",
	} {
		if got := nearest(typed, requestNames); got != want {
			t.Errorf("nearest to %q is %q, want %q", typed, got, want)
		}
	}
}

// TestAskersAreBounded checks that a flood of addresses costs no more than a fixed amount of memory.
func TestAskersAreBounded(t *testing.T) {
	a := newAskers(func() time.Time { return time.Unix(0, 0) })
	for i := range 3 * askersMax {
		a.allow(netip.AddrFrom4([4]byte{198, byte(i >> 16), byte(i >> 8), byte(i)}))
		if len(a.of) > askersMax {
			t.Fatalf("%d peers are remembered", len(a.of))
		}
	}
}
