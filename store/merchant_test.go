package store

import (
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
