package sqlitestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"paynotify/store"
)

// An operation that fails takes its transaction with it, not its neighbours: they run again, alone, and what
// is kept in memory is what is on disk.
func TestPoisonedBatch(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if _, err := s.CreateMerchant(ctx, store.Merchant{MchID: "m1"}); err != nil {
		t.Fatal(err)
	}
	as, err := s.Accept(ctx, []store.Incoming{benchItem("m1", true), benchItem("m1", true)}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	s.gate <- func() { close(entered); <-release }
	<-entered // whatever is asked for now makes one batch
	var all sync.WaitGroup
	ask := func(what string, want error, fn func() error) {
		queued := len(s.ops) + len(s.accepts)
		all.Go(func() {
			if err := fn(); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		})
		for len(s.ops)+len(s.accepts) == queued {
			runtime.Gosched() // until it is in the queue: its place in the batch matters
		}
	}
	var fresh []store.Accepted
	ask("Settle", nil, func() error { _, err := s.Settle(ctx, benchAcked(as[0].Claim)); return err })
	ask("Accept", nil, func() (err error) {
		fresh, err = s.Accept(ctx, []store.Incoming{benchItem("m1", true)}, time.Minute)
		return err
	})
	ask("the poison", store.ErrUnavailable, func() error {
		return s.do(ctx, func(w *writer) error {
			if err := w.begin(); err != nil {
				return err
			}
			return w.c.do("INSERT INTO live VALUES (2, x'', x'')") // against a CHECK
		})
	})
	ask("Cancel", nil, func() error { _, err := s.Cancel(ctx, as[1].NotifyID); return err })
	close(release)
	all.Wait()

	after, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if after.States[store.Spent] != before.States[store.Spent]+1 || after.States[store.Pending] != 1 ||
		after.States[store.Canceled] != 1 || after.InFlight != 2 {
		t.Fatalf("Stats: %+v, before: %+v", after, before)
	}
	if fresh[0].Claim == nil {
		t.Fatal("the accepted one was not claimed")
	}
	for _, c := range []*store.Claim{fresh[0].Claim, as[1].Claim} { // claims outlive the failed transaction
		if _, err := s.Settle(ctx, benchAcked(c)); err != nil {
			t.Fatal(err)
		}
		if n, attempts, err := s.Get(ctx, c.NotifyID); err != nil || n.State != store.Spent || len(attempts) != 1 {
			t.Fatalf("%s with %d attempts, %v", n.State, len(attempts), err)
		}
	}
	if after, err = s.Stats(ctx); err != nil || after.InFlight != 0 || after.States[store.Spent] != 3 {
		t.Fatalf("Stats at the end: %+v, %v", after, err)
	}
}

// The write-ahead log starts over under steady load: it does not grow with what was written.
func TestLogStartsOver(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if _, err := s.CreateMerchant(ctx, store.Merchant{MchID: "m1"}); err != nil {
		t.Fatal(err)
	}
	items := make([]store.Incoming, 500)
	for i := range items {
		items[i] = benchItem("m1", false)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if _, err := s.Accept(ctx, items, time.Minute); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	log, err := os.Stat(s.opts.Path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Stat(s.opts.Path)
	if err != nil {
		t.Fatal(err)
	}
	if most := file.Size() * 3 / 4; log.Size() > most {
		t.Fatalf("the log has %d MB, the database %d", log.Size()>>20, file.Size()>>20)
	}
}

// A canceled context gives up an operation that the writer has not begun, and only that.
func TestGivenUp(t *testing.T) {
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if _, err := s.CreateMerchant(context.Background(), store.Merchant{MchID: "m1"}); err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	s.gate <- func() { close(entered); <-release }
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Accept(ctx, []store.Incoming{benchItem("m1", true)}, time.Minute)
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Accept given up: %v", err)
	}
	close(release)
	st, err := s.Stats(context.Background())
	if err != nil || st.States[store.Pending] != 0 || st.InFlight != 0 {
		t.Fatalf("given up, and done all the same: %+v, %v", st, err)
	}
}
