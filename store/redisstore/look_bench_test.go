package redisstore

import (
	flags "flag"
	"testing"

	"paynotify/store"
	"paynotify/store/storetest"
	"paynotify/test/redis"
)

var (
	benchRows  = flags.Int("rows", 1_000_000, "notifications in BenchmarkLooking")
	benchLarge = flags.String("large", "", "URL of a Redis for BenchmarkLooking, filled when it is empty; "+
		"empty: a server of its own")
)

// BenchmarkLooking measures what people look at in a store with -rows notifications: run it with
// -benchtime 1x.
func BenchmarkLooking(b *testing.B) {
	url := *benchLarge
	if url == "" {
		url = redis.Start(b, "appendonly no").URL()
	}
	s := open(b, Options{URL: url, AllowVolatile: true})
	ns, _, err := s.List(b.Context(), store.Query{Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	if len(ns) == 0 {
		storetest.Fill(b, s, *benchRows)
	}
	storetest.Looking(b, s)
}
