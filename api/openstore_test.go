package api_test

import (
	"context"
	"path/filepath"
	"testing"

	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// openStore opens an embedded store that lives as long as the test.
func openStore(t *testing.T) store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.db")
	s, err := sqlitestore.Open(context.Background(), sqlitestore.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
