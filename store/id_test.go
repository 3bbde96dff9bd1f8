package store

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNewIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Int64Range(0, 3_656_158_440_062_975).Draw(t, "us") // 36^10 - 1
		shard := rapid.IntRange(0, 35).Draw(t, "shard")
		at := time.UnixMicro(us)
		id := NewID(at, shard)
		if len(id) != NotifyIDChars || strings.Trim(id, base36) != "" {
			t.Fatalf("NewID = %q, want %d characters of [0-9a-z]", id, NotifyIDChars)
		}
		gotAt, gotShard, err := ParseID(id)
		if err != nil || !gotAt.Equal(at) || gotShard != shard {
			t.Fatalf("ParseID(%q) = %v, %d, %v; want %v, %d", id, gotAt, gotShard, err, at, shard)
		}
	})
}

func TestNewIDSortsByTime(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 999_999_000, time.UTC)
	var ids []string
	for _, later := range []int64{0, 1, 35, 36, 37, 1296, 1e6, 3.6e9, 1e13} { // µs
		ids = append(ids, NewID(time.UnixMicro(at.UnixMicro()+later), 35-len(ids)))
	}
	if !slices.IsSorted(ids) {
		t.Errorf("ids of later instants do not sort after those of earlier ones: %v", ids)
	}
}

func TestNewIDUnique(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	seen := map[string]bool{}
	var used [NotifyIDChars]map[byte]bool
	for range 20_000 {
		id := NewID(at, 3)
		if seen[id] {
			t.Fatalf("%s was made twice", id)
		}
		seen[id] = true
		for i := range id {
			if used[i] == nil {
				used[i] = map[byte]bool{}
			}
			used[i][id[i]] = true
		}
	}
	for i, chars := range used {
		want := 1
		if i > idTimeChars {
			want = 36
		}
		if len(chars) != want {
			t.Errorf("character %d of 20,000 ids has %d values, want %d", i, len(chars), want)
		}
	}
}

func TestParseIDRefuses(t *testing.T) {
	good := NewID(time.Now(), 0)
	for _, id := range []string{
		"", "x", good[:25], good + "0", "ABCDEFGHIJ" + good[10:], " " + good[1:], good[:25] + "\n",
		good[:25] + "-", "é" + good[2:], strings.Repeat("{", 26), strings.Repeat("/", 26),
		strings.Repeat("`", 26),
	} {
		if _, _, err := ParseID(id); !errors.Is(err, ErrBadID) {
			t.Errorf("ParseID(%q): %v, want ErrBadID", id, err)
		}
	}
}
