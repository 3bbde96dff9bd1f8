package sqlitestore

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"paynotify/store/storetest"
)

var benchLarge = flag.String("large", "", "database for BenchmarkLooking, filled when it is not there; "+
	"empty: a new one")

// BenchmarkLooking measures what people look at in a store with -rows notifications: run it with
// -benchtime 1x.
func BenchmarkLooking(b *testing.B) {
	path := *benchLarge
	if path == "" {
		path = filepath.Join(b.TempDir(), "large.db")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		s := open(b, Options{Path: path})
		storetest.Fill(b, s, *benchRows)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Logf("RSS: %d MB", rss(b)>>20)
	storetest.Looking(b, s)
	b.Logf("RSS at the end: %d MB", rss(b)>>20)
}
