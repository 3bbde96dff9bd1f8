package interop

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSDKs sends a notification of every dialect through the product to every SDK that we have for it. The
// SDK accepts it, the product takes its reply as an acknowledgement, and the same request with one byte
// changed is refused.
func TestSDKs(t *testing.T) {
	for _, d := range dialects {
		for _, s := range d.sdks {
			t.Run(d.name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				m := register(t, d.settings)
				h := s.handler(t, m)
				shop.serve(m, h)
				spent(t, send(t, m, d.notification))
				requests := shop.of(m)
				if len(requests) != 1 {
					t.Fatalf("the merchant received %d requests, want 1", len(requests))
				}
				if status, reply := requests[0].replay(h); !d.acked(status, reply) {
					t.Fatalf("the same request again: %d %s", status, reply)
				}
				tamperHeaders(t, d, h, requests[0])
				tamperBody(t, d, s, h, requests[0])
			})
		}
	}
}

// tamperHeaders changes one character of each signed header: near its beginning, where a timestamp may stand,
// and further on, still in the first of several signatures.
func tamperHeaders(t *testing.T, d dialect, h http.Handler, good received) {
	t.Helper()
	for _, name := range d.signed {
		was := good.header.Get(name)
		if len(was) < 10 {
			t.Errorf("header %s: %q", name, was)
			continue
		}
		for _, at := range []int{4, len(was) / 4} {
			value := []byte(was)
			value[at] ^= 1
			bad := good
			bad.header = good.header.Clone()
			bad.header.Set(name, string(value))
			if status, reply := bad.replay(h); d.acked(status, reply) {
				t.Errorf("header %s: %q is accepted in place of %q", name, value, was)
			}
		}
	}
}

var (
	// unsignedForm is what Alipay leaves unsigned.
	unsignedForm = regexp.MustCompile(`\bsign_type=[^&]*`)
	// digits are bytes that certainly mean something to the parsers of Node, which forgive broken markup and
	// broken base64.
	digits = regexp.MustCompile(`[^_%]([0-9])`)
)

const digitsTried = 60 // each is a request to another server

// tamperBody changes one byte of the body, each in turn, in a way that keeps ASCII.
func tamperBody(t *testing.T, d dialect, s sdk, h http.Handler, good received) {
	t.Helper()
	spots := spotsOf(d, s, good.body)
	if len(spots) == 0 {
		t.Error("there is no byte to change")
	}
	for _, i := range spots {
		bad := good
		bad.body = bytes.Clone(good.body)
		bad.body[i] ^= 1
		if sameForm(good, bad) {
			continue
		}
		if status, reply := bad.replay(h); d.acked(status, reply) {
			t.Errorf("accepted with byte %d %q in place of %q: …%s…", i, bad.body[i], good.body[i],
				bad.body[max(0, i-20):min(len(bad.body), i+20)])
		}
	}
}

// spotsOf lists the bytes whose change must be noticed.
func spotsOf(d dialect, s sdk, body []byte) (spots []int) {
	switch {
	case d.covered != nil:
		for _, span := range d.covered.FindAllSubmatchIndex(body, -1) {
			for i := span[2]; i < span[3]; i++ {
				spots = append(spots, i)
			}
		}
	case s.node:
		for _, span := range digits.FindAllSubmatchIndex(body, -1) {
			spots = append(spots, span[2])
		}
		if step := len(spots) / digitsTried; step > 1 {
			spots = slices.DeleteFunc(spots, func(i int) bool { return i%step != 0 })
		}
	default:
		for i := range body {
			spots = append(spots, i)
		}
	}
	for _, span := range unsignedForm.FindAllIndex(body, -1) {
		spots = slices.DeleteFunc(spots, func(i int) bool { return span[0] <= i && i < span[1] })
	}
	return spots
}

// sameForm reports whether two form bodies say the same, so that no merchant could tell them apart: hex
// digits of the other case, bits of the signature's base64 that stand for nothing, and sign_type, which
// Alipay leaves unsigned.
func sameForm(a, b received) bool {
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return false
	}
	left, err := url.ParseQuery(string(a.body))
	if err != nil {
		return false
	}
	right, err := url.ParseQuery(string(b.body))
	if err != nil {
		return false
	}
	for _, form := range []url.Values{left, right} {
		if sign, err := base64.StdEncoding.DecodeString(form.Get("sign")); err == nil {
			form.Set("sign", string(sign))
		}
	}
	return reflect.DeepEqual(left, right)
}
