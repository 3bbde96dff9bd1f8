package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/dispatcher/egress"
	"paynotify/store"
)

// oneMerchant is a store that knows one merchant and nothing else: what a benchmark of accepting needs.
type oneMerchant struct {
	store.Store
	m store.Merchant
}

func (s *oneMerchant) Merchant(context.Context, string) (store.Merchant, error) { return s.m, nil }

// noIntake accepts and forgets.
type noIntake struct{ id string }

func (n noIntake) Accept(_ context.Context, ns []store.Notification) ([]store.Accepted, error) {
	out := make([]store.Accepted, len(ns))
	for i := range out {
		out[i] = store.Accepted{NotifyID: n.id, CreatedAt: time.Unix(1790000000, 123456000)}
	}
	return out, nil
}

func (noIntake) Nudge() {}

// payment is a usual notification of about 600 bytes.
const payment = `{"mch_id":"m1","notify_type":"trade_status_sync","out_trade_no":"20261121-000001",` +
	`"params":{"gmt_create":"2026-11-21 10:40:00","subject":"Blue cotton shirt, size M",` +
	`"seller_email":"shop@example.com","buyer_id":"2088102122524333","invoice_amount":"88.88",` +
	`"trade_no":"2026112122001424333",` +
	`"trade_status":"TRADE_SUCCESS","receipt_amount":"88.88","buyer_pay_amount":"88.88","point_amount":"0.00",` +
	`"total_amount":"88.88","gmt_payment":"2026-11-21 10:41:07","seller_id":"2088101106499364",` +
	`"buyer_logon_id":"buy***@example.com","passback_params":"cart%3D17"}}`

// discard is a ResponseWriter that keeps nothing, so that the benchmark measures ours alone.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

type rereader struct{ bytes.Reader }

func (*rereader) Close() error { return nil }

// benchmarkAccept measures the accept handler beyond net/http.
func benchmarkAccept(b *testing.B, key string) {
	m := store.Merchant{
		MchID: "m1", Profile: "alipay", NotifyURL: "https://shop.example.com/n", AppID: "2021000000000001",
	}
	a := api.New(api.Options{
		Store: &oneMerchant{m: m}, Intake: noIntake{store.NewID(time.Now(), 0)}, Rules: &egress.Rules{},
		AdminKey: "benchmark",
	})
	r := httptest.NewRequest(http.MethodPost, "/v1/notifications", nil)
	r.Header.Set("Authorization", "Bearer benchmark")
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	r.ContentLength = int64(len(payment))
	body := &rereader{}
	r.Body = body
	w := &discard{h: http.Header{}}
	b.SetBytes(int64(len(payment)))
	b.ReportAllocs()
	for b.Loop() {
		body.Reset([]byte(payment))
		clear(w.h)
		a.ServeHTTP(w, r)
	}
	if w.h.Get("Content-Type") != "application/json" {
		b.Fatalf("answer is %s", w.h.Get("Content-Type"))
	}
}

func BenchmarkAccept(b *testing.B) { benchmarkAccept(b, "") }
func BenchmarkAcceptIdempotent(b *testing.B) {
	benchmarkAccept(b, "5f0c7a52-3a7b-4d6e-9f0e-2b1c3d4e5f60")
}

// oneKey is a store that knows one API key.
type oneKey struct {
	store.Store
	k store.APIKey
}

func (s *oneKey) Key(context.Context, string) (store.APIKey, error) { return s.k, nil }
func (s *oneKey) Keys(context.Context) ([]store.APIKey, error)      { return []store.APIKey{s.k}, nil }

// BenchmarkAuthenticate measures what every request pays for being somebody's.
func BenchmarkAuthenticate(b *testing.B) {
	id, secret, key := api.NewKeyText()
	digest := sha256.Sum256([]byte(secret))
	s := &oneKey{k: store.APIKey{ID: id, Role: string(api.RoleIngest), Digest: digest[:]}}
	for _, c := range []struct{ name, configured, bearer string }{
		{"admin", "benchmark", "benchmark"}, {"key", "benchmark", key}, {"local", "", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			a := api.New(api.Options{Store: s, Intake: noIntake{}, Rules: &egress.Rules{}, AdminKey: c.configured})
			r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/notifications", nil)
			r.RemoteAddr = "127.0.0.1:5000"
			if c.bearer != "" {
				r.Header.Set("Authorization", "Bearer "+c.bearer)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, p := a.Auth.Authenticate(r); p != nil {
					b.Fatal(p)
				}
			}
		})
	}
}
