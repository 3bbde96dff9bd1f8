package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"paynotify/store"
)

// CreateKey stores a new API key … RevokeKey ends a key for good … Key returns an API key, live or not.
var keyCases = []testCase{
	{"Keys/create and read", keyCreate},
	{"Keys/all of them, oldest first", keyAll},
	{"Keys/revoke", keyRevoke},
	{"Keys/revoked stays revoked", keyStays},
	{"Keys/at the same time", keyConcurrent},
	{"Keys/as many as there may be", keyMost},
}

// apiKey is an API key with every field set that is not the store's.
func apiKey(id string, expires time.Time) store.APIKey {
	return store.APIKey{
		ID: id, Name: "Café “1” 店", Role: "operator", MchID: "m1", Digest: bytes.Repeat([]byte{0, 0xff}, 16),
		ExpiresAt: expires,
	}
}

func (e *env) createKey(k store.APIKey) store.APIKey {
	e.Helper()
	created, err := e.Store.CreateKey(e.ctx, k)
	e.must("CreateKey", err)
	return created
}

func (e *env) revokeKey(id string) store.APIKey {
	e.Helper()
	k, err := e.Store.RevokeKey(e.ctx, id)
	e.must("RevokeKey", err)
	return k
}

// key wants a key to be found as it is here.
func (e *env) key(want store.APIKey) {
	e.Helper()
	got, err := e.Store.Key(e.ctx, want.ID)
	e.must("Key", err)
	e.diff("API key", want, got)
}

func (e *env) noKey(id string) {
	e.Helper()
	if _, err := e.Store.Key(e.ctx, id); !errors.Is(err, store.ErrNoKey) {
		e.Fatalf("Key of nobody's ID %q: %v, want ErrNoKey", id, err)
	}
}

func (e *env) keys() []store.APIKey {
	e.Helper()
	all, err := e.Store.Keys(e.ctx)
	e.must("Keys", err)
	return all
}

func keyCreate(e *env) {
	e.noKey("k0000001")
	e.noKey("")
	if all := e.keys(); len(all) != 0 {
		e.Fatalf("a new store has %d keys", len(all))
	}
	in := apiKey("k0000001", e.in(time.Hour))
	in.CreatedAt, in.RevokedAt = e.in(-time.Hour), e.in(-time.Minute) // not the caller's
	before := e.Now().Truncate(time.Millisecond)
	got := e.createKey(in)
	if got.CreatedAt.Before(before) || got.CreatedAt.After(e.Now()) {
		e.Fatalf("created at %v, and it was %v", got.CreatedAt, before)
	}
	want := apiKey("k0000001", in.ExpiresAt)
	want.CreatedAt = got.CreatedAt
	e.diff("created API key", want, got)
	plain := e.createKey(store.APIKey{ID: "k0000002"})
	for _, open := range []func() store.Store{func() store.Store { return e.Store }, e.Reopen, e.Crash} {
		e.Store = open()
		e.key(want) // though nobody knew it when it was asked for before
		e.key(plain)
		e.noKey("k0000003")
		e.noKey("K0000001")
		if _, err := e.Store.CreateKey(e.ctx, store.APIKey{ID: "k0000001"}); !errors.Is(err, store.ErrExists) {
			e.Fatalf("CreateKey again: %v, want ErrExists", err)
		}
	}
	e.Advance(2 * time.Hour)
	e.key(want) // expired, and still there
	if want.Live(e.Now()) || !plain.Live(e.Now()) {
		e.Fatal("the expired key is taken for live, or the other one is not")
	}
}

func keyAll(e *env) {
	var want []store.APIKey
	for i := range 9 {
		want = append(want, e.createKey(apiKey(fmt.Sprintf("k%07d", i*7%9), time.Time{})))
		e.Advance(tick)
	}
	for i := range want {
		if i%3 == 0 {
			want[i] = e.revokeKey(want[i].ID)
		}
	}
	e.diff("all API keys", want, e.keys())
	e.Store = e.Reopen()
	e.diff("all API keys after reopening", want, e.keys())
}

func keyRevoke(e *env) {
	if _, err := e.Store.RevokeKey(e.ctx, "k0000001"); !errors.Is(err, store.ErrNoKey) {
		e.Fatalf("RevokeKey of nobody's ID: %v, want ErrNoKey", err)
	}
	want := e.createKey(apiKey("k0000001", time.Time{}))
	other := e.createKey(apiKey("k0000002", time.Time{}))
	e.key(want) // now every cache has it
	e.Advance(time.Second)
	before := e.Now().Truncate(time.Millisecond)
	got := e.revokeKey("k0000001")
	if got.RevokedAt.Before(before) || got.RevokedAt.After(e.Now()) || got.Live(e.Now()) {
		e.Fatalf("revoked at %v, and it was %v", got.RevokedAt, before)
	}
	want.RevokedAt = got.RevokedAt
	e.diff("revoked API key", want, got)
	e.key(want)
	e.key(other)
	e.Advance(time.Second)
	e.diff("API key revoked again", want, e.revokeKey("k0000001"))
	e.key(want)
}

func keyStays(e *env) {
	e.createKey(apiKey("k0000001", time.Time{}))
	live := e.createKey(apiKey("k0000002", time.Time{}))
	want := e.revokeKey("k0000001")
	for _, open := range []func() store.Store{e.Crash, e.Reopen, e.Crash} {
		e.Store = open()
		e.key(want)
		e.key(live)
		if _, err := e.Store.CreateKey(e.ctx, live); !errors.Is(err, store.ErrExists) {
			e.Fatalf("CreateKey of a live one: %v, want ErrExists", err)
		}
		if _, err := e.Store.CreateKey(e.ctx, want); !errors.Is(err, store.ErrExists) {
			e.Fatalf("CreateKey of a revoked one: %v, want ErrExists", err)
		}
		e.key(want)
	}
}

func keyConcurrent(e *env) {
	const callers = 16
	var mu sync.Mutex
	created := 0
	revoked := map[time.Time]bool{}
	together(callers, func(i int) {
		k := apiKey("k0000001", time.Time{})
		k.Name = fmt.Sprint(i)
		switch k, err := e.Store.CreateKey(e.ctx, k); {
		case err == nil:
			mu.Lock()
			created++
			mu.Unlock()
			if got, err := e.Store.Key(e.ctx, k.ID); err != nil || got.Name != k.Name {
				e.Errorf("Key just created: %q, %v; want %q", got.Name, err, k.Name)
			}
		case !errors.Is(err, store.ErrExists):
			e.Errorf("CreateKey: %v, want ErrExists", err)
		}
		k, err := e.Store.RevokeKey(e.ctx, "k0000001")
		if err != nil {
			e.Errorf("RevokeKey: %v", err)
		}
		if got, err := e.Store.Key(e.ctx, "k0000001"); err != nil || got.RevokedAt.IsZero() {
			e.Errorf("Key just revoked: %v, %v", got.RevokedAt, err)
		}
		mu.Lock()
		revoked[k.RevokedAt] = true
		mu.Unlock()
	})
	if created != 1 || len(revoked) != 1 {
		e.Fatalf("%d callers: created %d times, revoked at %d instants; want once each", callers, created,
			len(revoked))
	}
}

// keyMost fills the store with keys: then a new one takes the place of the one that was revoked first.
func keyMost(e *env) {
	const callers = 50
	id := func(i int) string { return fmt.Sprintf("k%07d", i) }
	together(callers, func(i int) {
		for ; i < store.KeysMax; i += callers {
			if _, err := e.Store.CreateKey(e.ctx, store.APIKey{ID: id(i)}); err != nil {
				e.Errorf("CreateKey %d: %v", i, err)
				return
			}
		}
	})
	if _, err := e.Store.CreateKey(e.ctx, store.APIKey{ID: "one-more"}); !errors.Is(err, store.ErrKeysMax) {
		e.Fatalf("CreateKey beyond %d: %v, want ErrKeysMax", store.KeysMax, err)
	}
	if _, err := e.Store.CreateKey(e.ctx, store.APIKey{ID: id(5)}); !errors.Is(err, store.ErrExists) {
		e.Fatalf("CreateKey of a known ID when there is no room: %v, want ErrExists", err)
	}
	for _, i := range []int{7000, 3, 5} {
		e.revokeKey(id(i))
		e.Advance(tick)
	}
	for i, gone := range []string{id(7000), id(3)} {
		e.noKey(fmt.Sprintf("new%05d", i))
		k := e.createKey(store.APIKey{ID: fmt.Sprintf("new%05d", i)})
		e.key(k)
		e.noKey(gone)
	}
	e.Store = e.Reopen()
	all := e.keys()
	known := func(id string) bool {
		return slices.ContainsFunc(all, func(k store.APIKey) bool { return k.ID == id })
	}
	if len(all) != store.KeysMax || known(id(7000)) || known(id(3)) || !known(id(5)) || !known("new00001") {
		e.Fatalf("%d keys, or the wrong ones were forgotten", len(all))
	}
}
