package store_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/store"
)

// chained makes a log of n entries.
func chained(t *testing.T, n int) []store.AuditEntry {
	t.Helper()
	var log []store.AuditEntry
	last := store.AuditEntry{}
	for i := range n {
		e, err := store.AuditEntry{Actor: "admin", Action: "merchant.pause", Object: fmt.Sprint(i)}.Ready()
		if err != nil {
			t.Fatal(err)
		}
		last = e.Follow(&last, time.UnixMicro(int64(1_000_000*i)))
		log = append(log, last)
	}
	return log
}

// The sums were computed by a program in another language that does what the comment of Chain says.
func TestChainAsDescribed(t *testing.T) {
	at := time.Date(2026, 11, 21, 16, 0, 0, 123_456_789, time.FixedZone("", 8*3600))
	first, err := store.AuditEntry{
		Actor: "k0000001", Source: "2001:db8::1", Action: "merchant.update", Object: "merchant/m1",
		Before: json.RawMessage("{ \"name\": \"Café <1>\",\n\"n\": 1.50 }"), RequestID: "req-1", Result: "ok",
	}.Ready()
	if err != nil {
		t.Fatal(err)
	}
	first = first.Follow(&store.AuditEntry{}, at)
	second, err := store.AuditEntry{
		Actor: "system", Action: "start", After: json.RawMessage("[1, 2, \"\u2028\"]"),
	}.Ready()
	if err != nil {
		t.Fatal(err)
	}
	second = second.Follow(&first, at)
	third := second
	third.Seq, third.At = -1, time.UnixMicro(-1)
	for i, c := range []struct {
		got  [32]byte
		want string
	}{
		{first.Sum, "153cc6d629159b301868c4c59b27ea19026385bc6081a4c90f642b2725fdbfd8"},
		{second.Sum, "19c3553618811b5e2cafdd84f24704c2cf56be8abb9fb16a12f2b897a8080418"},
		{third.Chain(second.Sum), "18c8c4747b7e520b727322be554a1dffd4912b009b3970940ede66a25e33f1ba"},
	} {
		if got := hex.EncodeToString(c.got[:]); got != c.want {
			t.Errorf("sum %d is %s, want %s", i+1, got, c.want)
		}
	}
	if first.Seq != 1 || second.Seq != 2 || first.At != time.UnixMicro(at.UnixMicro()).UTC() {
		t.Errorf("entries %d and %d, at %v", first.Seq, second.Seq, first.At)
	}
}

// Every field of an entry but the sum itself goes into the sum.
func TestChainCoversEveryField(t *testing.T) {
	e := store.AuditEntry{At: time.UnixMicro(0)}
	before := e.Chain([32]byte{})
	if e.Chain([32]byte{31: 1}) == before {
		t.Error("the sum does not change with the one before it")
	}
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "At" { // to the microsecond
			e.At = time.UnixMicro(1)
			if e.Chain([32]byte{}) == before {
				t.Error("the sum does not change with At")
			}
			e.At = time.UnixMicro(0)
			continue
		}
		each(t, v.Field(i), name, func(path string) {
			if changed := e.Chain([32]byte{}) != before; changed == (name == "Sum") {
				t.Errorf("with %s the sum changes: %v", path, changed)
			}
		})
	}
	a, b := store.AuditEntry{Actor: "ab", Source: "c"}, store.AuditEntry{Actor: "a", Source: "bc"}
	if a.Chain([32]byte{}) == b.Chain([32]byte{}) {
		t.Error("two entries have one sum because a text moved from a field to the next")
	}
}

// An entry that went through JSON, pretty or not, has the same sum.
func TestChainThroughJSON(t *testing.T) {
	in := store.AuditEntry{Before: json.RawMessage(` {"html" : "<b>&\u2028" , "x" : [ ] } `)}
	e, err := in.Ready()
	if err != nil {
		t.Fatal(err)
	}
	e = e.Follow(&store.AuditEntry{}, time.UnixMicro(5))
	again, err := e.Ready()
	if d := cmp.Diff(e, again); d != "" || err != nil {
		t.Errorf("made ready twice (-once +twice), %v:\n%s", err, d)
	}
	for _, encode := range []func(v any) ([]byte, error){
		json.Marshal, func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "\t") },
	} {
		text, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		var back store.AuditEntry
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if at, ok := store.VerifyChain([32]byte{}, []store.AuditEntry{back}); !ok {
			t.Errorf("the chain breaks at %d after a way through\n%s", at, text)
		}
	}
}

func TestVerifyChain(t *testing.T) {
	log := chained(t, 6)
	cut := func(from, to int) []store.AuditEntry {
		return append(append([]store.AuditEntry{}, log[:from]...), log[to:]...)
	}
	altered := func(i int, change func(e *store.AuditEntry)) []store.AuditEntry {
		es := append([]store.AuditEntry{}, log...)
		change(&es[i])
		return es
	}
	swapped := append([]store.AuditEntry{}, log...)
	swapped[2], swapped[3] = swapped[3], swapped[2]
	forged := altered(3, func(e *store.AuditEntry) { e.Actor = "nobody"; e.Sum = e.Chain(log[2].Sum) })
	for _, c := range []struct {
		name string
		prev [32]byte
		log  []store.AuditEntry
		want int64 // 0 = whole
	}{
		{"nothing", [32]byte{}, nil, 0},
		{"all", [32]byte{}, log, 0},
		{"a part", log[2].Sum, log[3:], 0},
		{"the end is missing, which nobody can see", [32]byte{}, log[:4], 0},
		{"the beginning is missing", [32]byte{}, log[2:], 1},
		{"one is missing", [32]byte{}, cut(2, 3), 3},
		{"two are missing", [32]byte{}, cut(2, 4), 3},
		{"one is there twice", [32]byte{}, append(append([]store.AuditEntry{}, log[:3]...), log[2:]...), 4},
		{"two are swapped", [32]byte{}, swapped, 3},
		{"one is altered", [32]byte{}, altered(4, func(e *store.AuditEntry) { e.Result = "x" }), 5},
		{"the last one is altered", [32]byte{}, altered(5, func(e *store.AuditEntry) { e.At = time.Now() }), 6},
		{"one is altered with its sum", [32]byte{}, forged, 5},
		{"a part behind something else", log[1].Sum, log[3:], 4},
		{"one without its sum", [32]byte{}, altered(0, func(e *store.AuditEntry) { e.Sum = [32]byte{} }), 1},
	} {
		if at, ok := store.VerifyChain(c.prev, c.log); at != c.want || ok != (c.want == 0) {
			t.Errorf("%s: breaks at %d, whole %v; want %d", c.name, at, ok, c.want)
		}
	}
}

func TestReadyRefuses(t *testing.T) {
	for _, e := range []store.AuditEntry{
		{Action: "a", Before: json.RawMessage("{")},
		{Action: "a", After: json.RawMessage("nul")},
		{Action: "a", After: json.RawMessage("\xff")},
		{Action: "a", RequestID: strings.Repeat("x", store.AuditBytesMax)},
	} {
		if _, err := e.Ready(); err == nil || len(err.Error()) > 250 {
			t.Errorf("%.60v: %v", e, err)
		}
	}
	for text, want := range map[string]string{`{"a":1}`: `{"a":1}`, "null": "null", "": `""`, `{"a`: `"{\"a"`} {
		if got := string(store.StoredJSON(text)); got != want {
			t.Errorf("%s that was stored is shown as %s, want %s", text, got, want)
		}
	}
}

// The log's clock waits when time goes back a little, and follows when somebody sets it.
func TestFollowClock(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	last := store.AuditEntry{Seq: 7, At: at}
	for d, want := range map[time.Duration]time.Duration{
		time.Hour: time.Hour, time.Microsecond: time.Microsecond, 0: 0, -time.Microsecond: 0, -time.Second: 0,
		-time.Second - time.Microsecond: -time.Second - time.Microsecond, -time.Hour: -time.Hour,
	} {
		if got := (store.AuditEntry{}).Follow(&last, at.Add(d)); got.At != at.Add(want) || got.Seq != 8 {
			t.Errorf("%v later: entry %d at %v", d, got.Seq, got.At)
		}
	}
}

func TestAPIKeyLive(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		k    store.APIKey
		want bool
	}{
		{store.APIKey{}, true},
		{store.APIKey{ExpiresAt: now.Add(1)}, true},
		{store.APIKey{ExpiresAt: now}, false},
		{store.APIKey{RevokedAt: now.Add(-1)}, false},
		{store.APIKey{RevokedAt: now.Add(time.Hour)}, false}, // another node's clock
		{store.APIKey{ExpiresAt: now.Add(time.Hour), RevokedAt: now}, false},
	} {
		if got := c.k.Live(now); got != c.want {
			t.Errorf("expires %v, revoked %v: live %v", c.k.ExpiresAt, c.k.RevokedAt, got)
		}
	}
}

func TestFirstRevoked(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	ks := []store.APIKey{{ID: "live", CreatedAt: at.Add(-time.Hour)}}
	if id := store.FirstRevoked(ks); id != "" {
		t.Errorf("of a live one: %q", id)
	}
	ks = append(ks, store.APIKey{ID: "c", RevokedAt: at.Add(1)}, store.APIKey{ID: "b", RevokedAt: at},
		store.APIKey{ID: "a", RevokedAt: at}, store.APIKey{ID: "0", RevokedAt: at.Add(2)})
	if id := store.FirstRevoked(ks); id != "a" {
		t.Errorf("the first one is %q, want a", id)
	}
}

func TestCheckMark(t *testing.T) {
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"callback", "", true},
		{strings.Repeat("n", store.MarkNameMax), strings.Repeat("v", store.MarkBytesMax), true},
		{"", "x", false},
		{strings.Repeat("n", store.MarkNameMax+1), "x", false},
		{"callback", strings.Repeat("v", store.MarkBytesMax+1), false},
	} {
		if err := store.CheckMark(c.name, c.value); (err == nil) != c.ok || err != nil && len(err.Error()) > 200 {
			t.Errorf("%.70q, %d bytes: %v", c.name, len(c.value), err)
		}
	}
}
