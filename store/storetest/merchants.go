package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"paynotify/store"
)

// Merchants are created, read, changed, paged through and deleted.
var merchantCases = []testCase{
	{"Merchants/create and read", merchantCreate},
	{"Merchants/update", merchantUpdate},
	{"Merchants/update at the same time", merchantUpdateConcurrent},
	{"Merchants/pages", merchantPages},
	{"Merchants/delete", merchantDelete},
}

// whole is a merchant with every field set.
func whole(mchID string, now time.Time) store.Merchant {
	return store.Merchant{
		MchID: mchID, Name: "Café “1” 店", Profile: "alipay", NotifyURL: "https://shop.example/notify?a=b",
		SignType: "RSA2", AppID: "2021000000000001", Charset: "gbk", Schedule: "15s,1m",
		Ack: store.Ack{
			Match: "json_path", Text: "ok", Status: []string{"200", "2xx"}, Path: "data.code",
			Lenient: []store.Reason{store.AckCase, store.AckQuoted},
		},
		MaxInflight: 7, RatePerSecond: 2.5,
		Options: map[string]any{"partner": "2088", "probe": true, "hosts": []any{"a.example", "b.example"}},
		Headers: map[string]string{"X-Shop": "c2VhbGVk"},
		TLS:     json.RawMessage(`{"ca":"PEM"}`),
		Keys: []store.Key{
			{
				ID: "k2", Sealed: []byte{0, 1, 0xff}, PublicKey: "PEM", Certificate: "PEM", Serial: "AB12",
				From: now, Until: now.Add(time.Hour), Whpk: "whpk_AAAA",
			},
			{ID: "k1", Sealed: []byte("sealed")},
		},
		Probe: &store.Probe{
			At: now, Verifies: new(false), Verdict: store.Acked, Reason: store.AckTrimmed, Status: 200,
			Reply: []byte{'s', 0, 0xff, '\n'},
		},
		Paused: true, PausedReason: "maintenance", PausedUntil: now.Add(time.Hour), Blocked: true,
	}
}

func merchantCreate(e *env) {
	if _, err := e.Store.Merchant(e.ctx, "m1"); !errors.Is(err, store.ErrNoMerchant) {
		e.Fatalf("Merchant of a stranger: %v, want ErrNoMerchant", err)
	}
	before := e.Now().Truncate(time.Millisecond)
	in := whole("m1", e.in(0))
	got, err := e.Store.CreateMerchant(e.ctx, in)
	e.must("CreateMerchant", err)
	if got.CreatedAt.Before(before) || got.CreatedAt.After(e.Now()) || got.Revision < 1 {
		e.Fatalf("created at %v with revision %d", got.CreatedAt, got.Revision)
	}
	want := in
	want.CreatedAt, want.Revision = got.CreatedAt, got.Revision
	e.diff("created merchant", want, got)
	read := func() {
		e.Helper()
		got, err := e.Store.Merchant(e.ctx, "m1")
		e.must("Merchant", err)
		e.diff("merchant", want, got)
	}
	read()
	if _, err = e.Store.CreateMerchant(e.ctx, store.Merchant{MchID: "m1"}); !errors.Is(err, store.ErrExists) {
		e.Fatalf("CreateMerchant again: %v, want ErrExists", err)
	}
	read()
	e.merchant("M1", nil) // another one: mch_id is case-sensitive
	e.Store = e.Reopen()
	read()
	e.Store = e.Crash()
	read()
}

func merchantUpdate(e *env) {
	created := e.merchant("m1", nil)
	e.Advance(time.Second)
	got := e.update("m1", func(m *store.Merchant) {
		createdAt, revision := m.CreatedAt, m.Revision
		*m = whole("m1", e.in(0))
		m.CreatedAt, m.Revision = createdAt, revision
	})
	if got.Revision <= created.Revision || !got.CreatedAt.Equal(created.CreatedAt) {
		e.Fatalf("updated: revision %d after %d, created at %v, was %v",
			got.Revision, created.Revision, got.CreatedAt, created.CreatedAt)
	}
	want := whole("m1", got.Keys[0].From)
	want.CreatedAt, want.Revision = got.CreatedAt, got.Revision
	e.diff("updated merchant", want, got)

	mine := errors.New("not like this")
	fails := func(m *store.Merchant) error { m.Name = "lost"; return mine }
	_, err := e.Store.UpdateMerchant(e.ctx, "m1", fails)
	if !errors.Is(err, mine) {
		e.Fatalf("UpdateMerchant whose change fails: %v, want its error", err)
	}
	_, err = e.Store.UpdateMerchant(e.ctx, "nobody", func(*store.Merchant) error { return nil })
	if !errors.Is(err, store.ErrNoMerchant) {
		e.Fatalf("UpdateMerchant of a stranger: %v, want ErrNoMerchant", err)
	}
	e.Store = e.Reopen()
	read, err := e.Store.Merchant(e.ctx, "m1")
	e.must("Merchant", err)
	e.diff("merchant after reopening", want, read)

	e.update("m1", func(m *store.Merchant) { m.Paused, m.Blocked = false, false })
	e.add("m1", 1)
	before := e.claimN("m1", 1)[0]
	after := e.update("m1", func(m *store.Merchant) { m.NotifyURL = "https://new.example/" })
	if before.MerchantRevision >= after.Revision {
		e.Fatalf("claim has revision %d, and the one after it is %d", before.MerchantRevision, after.Revision)
	}
}

func merchantUpdateConcurrent(e *env) {
	const callers = 20
	created := e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 1 })
	var revision atomic.Int64
	together(callers, func(int) {
		raise := func(m *store.Merchant) error { m.MaxInflight++; return nil }
		m, err := e.Store.UpdateMerchant(e.ctx, "m1", raise)
		if err != nil {
			e.Errorf("UpdateMerchant: %v", err)
		}
		for old := revision.Load(); m.Revision > old && !revision.CompareAndSwap(old, m.Revision); {
			old = revision.Load()
		}
	})
	m, err := e.Store.Merchant(e.ctx, "m1")
	e.must("Merchant", err)
	if m.MaxInflight != 1+callers || m.Revision != revision.Load() || m.Revision < created.Revision+callers {
		e.Fatalf("%d updates at the same time: cap %d, revision %d after %d",
			callers, m.MaxInflight, m.Revision, created.Revision)
	}
}

func merchantPages(e *env) {
	const all = 23
	want := make([]string, all)
	for i := range want {
		want[i] = fmt.Sprintf("m%02d", i*7%all) // not in order
		e.merchant(want[i], nil)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 5, all, 500} {
		got := []string{}
		for cursor := ""; ; {
			page, next, err := e.Store.Merchants(e.ctx, cursor, limit)
			e.must("Merchants", err)
			for _, m := range page {
				got = append(got, m.MchID)
			}
			if len(page) > limit || len(got) > all {
				e.Fatalf("a page of %d, asked for %d; %d merchants so far", len(page), limit, len(got))
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		e.diff(fmt.Sprintf("merchants by pages of %d", limit), want, got)
	}
}

func merchantDelete(e *env) {
	e.merchant("m1", nil)
	owing := func(why string) {
		e.Helper()
		if err := e.Store.DeleteMerchant(e.ctx, "m1"); !errors.Is(err, store.ErrHasPending) {
			e.Fatalf("DeleteMerchant with %s: %v, want ErrHasPending", why, err)
		}
		if _, err := e.Store.Merchant(e.ctx, "m1"); err != nil {
			e.Fatalf("a merchant that was not deleted is gone: %v", err)
		}
	}
	id := e.add("m1", 1)[0]
	owing("one due")
	c := e.claimID("m1", id)
	owing("one in flight")
	e.settle(c, refused(c, e.in(time.Hour)))
	owing("a retry in an hour")
	e.Advance(time.Hour + tick)
	c = e.claimID("m1", id)
	e.settle(c, exhausted(c))
	e.resend(id, false)
	owing("a resend that is owed")
	e.Advance(tick)
	c = e.claimID("m1", id)
	owing("a resend in flight")
	e.settle(c, acked(c))
	n, as := e.get(id)

	e.must("DeleteMerchant", e.Store.DeleteMerchant(e.ctx, "m1"))
	for range 2 {
		if _, err := e.Store.Merchant(e.ctx, "m1"); !errors.Is(err, store.ErrNoMerchant) {
			e.Fatalf("Merchant of a deleted one: %v, want ErrNoMerchant", err)
		}
		if err := e.Store.DeleteMerchant(e.ctx, "m1"); !errors.Is(err, store.ErrNoMerchant) {
			e.Fatalf("DeleteMerchant again: %v, want ErrNoMerchant", err)
		}
		gotN, gotAs := e.get(id)
		e.diff("notification of a deleted merchant", n, gotN)
		e.diff("attempts of a deleted merchant", as, gotAs)
		if got := e.listAll(store.Query{MchID: "m1"}); len(got) != 1 {
			e.Fatalf("List has %d notifications of the deleted merchant, want 1", len(got))
		}
		e.Store = e.Reopen()
	}
	e.merchant("m1", nil)
	e.spend()
	if got := e.listAll(store.Query{MchID: "m1"}); len(got) != 2 {
		e.Fatalf("List has %d notifications of the merchant that came back, want 2", len(got))
	}
}
