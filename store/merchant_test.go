package store

import (
	"strconv"
	"testing"
	"time"
)

func TestMerchantHeldReason(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		m    Merchant
		want string
	}{
		{"open", Merchant{}, ""},
		{"paused", Merchant{Paused: true}, HeldMerchantPaused},
		{"paused until later", Merchant{Paused: true, PausedUntil: now.Add(1)}, HeldMerchantPaused},
		{"paused until now", Merchant{Paused: true, PausedUntil: now}, ""},
		{"was paused", Merchant{Paused: true, PausedUntil: now.Add(-1)}, ""},
		{"until without a pause", Merchant{PausedUntil: now.Add(time.Hour)}, ""},
		{"blocked", Merchant{Blocked: true}, HeldAddressBlocked},
		{"paused and blocked", Merchant{Paused: true, Blocked: true}, HeldMerchantPaused},
		{"was paused, and blocked", Merchant{Paused: true, PausedUntil: now, Blocked: true}, HeldAddressBlocked},
	} {
		if got := c.m.HeldReason(now); got != c.want {
			t.Errorf("%s: held for %q, want %q", c.name, got, c.want)
		}
		if got := c.m.Open(now); got != (c.want == "") {
			t.Errorf("%s: open %v", c.name, got)
		}
		if got := c.m.PausedAt(now); got != (c.want == HeldMerchantPaused) {
			t.Errorf("%s: paused %v", c.name, got)
		}
	}
}

func TestProbeVerifies(t *testing.T) {
	for _, c := range []struct {
		verdict Verdict
		reason  Reason
		status  int
		want    string
	}{
		{Acked, AckExact, 200, "false"},
		{Acked, AckTrimmed, 200, "false"},
		{Refused, AckMismatch, 200, "true"},
		{Refused, AckEmpty, 204, "true"},
		{HTTP4xx, HTTPStatus, 401, "true"},
		{HTTP5xx, HTTPStatus, 500, "true"},
		{HTTP4xx, HTTPStatus, 429, "unknown"},
		{HTTP5xx, HTTPStatus, 503, "unknown"},
		{HTTP5xx, AckStatus, 500, "unknown"},
		{Refused, AckCase, 200, "unknown"},
		{Refused, Encoded, 200, "unknown"},
		{HTTP3xx, Redirect, 302, "unknown"},
		{Timeout, TimeoutHeaders, 0, "unknown"},
		{DNSError, DNSNXDomain, 0, "unknown"},
		{ConnectError, ConnReset, 0, "unknown"},
		{TLSError, TLSExpired, 0, "unknown"},
		{BadReply, Truncated, 200, "unknown"},
		{Blocked, AddressBlocked, 0, "unknown"},
		{Interrupted, Crash, 0, "unknown"},
		{InternalError, Internal, 0, "unknown"},
	} {
		got := "unknown"
		if v := ProbeVerifies(c.verdict, c.reason, c.status); v != nil {
			got = strconv.FormatBool(*v)
		}
		if got != c.want {
			t.Errorf("%s %s %d: %s, want %s", c.verdict, c.reason, c.status, got, c.want)
		}
	}
}

func TestRateBurst(t *testing.T) {
	for rate, want := range map[float64]float64{0.01: 1, 1: 1, 1.5: 1.5, 50: 50} {
		if got := RateBurst(rate); got != want {
			t.Errorf("RateBurst(%v) = %v, want %v", rate, got, want)
		}
	}
}

func TestSends(t *testing.T) {
	for schedule, want := range map[string]int{"alipay": 8, "15s,1m,5m": 4, "0": 2, "nonsense": 0} {
		n := Notification{Schedule: schedule}
		if got := n.Sends(); got != want {
			t.Errorf("schedule %q has %d sends, want %d", schedule, got, want)
		}
	}
}
