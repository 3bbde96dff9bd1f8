package sqlitestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"paynotify/store"
)

// smallDisk mounts a file system of a few megabytes, which takes root.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// probeNow has the writer look for space, as it does every second.
func (s *Store) probeNow() {
	done := make(chan struct{})
	s.gate <- func() { s.w.probe(); close(done) }
	<-done
}

// On a full disk nothing new is accepted or sent, what is in flight can be settled, and when there is space
// again everything goes on in the same process, with nothing lost.
func TestFullDisk(t *testing.T) {
	ctx := context.Background()
	dir := smallDisk(t, "24m")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Path: filepath.Join(dir, "full.db")})
	_, keyErr := s.CreateKey(ctx, store.APIKey{ID: "key00000"})
	_, err := s.CreateMerchant(ctx, store.Merchant{MchID: "m1", MaxInflight: 500})
	if err := errors.Join(keyErr, err); err != nil {
		t.Fatal(err)
	}
	var accepted []string
	var claims []store.Claim
	for err == nil {
		var as []store.Accepted
		as, err = s.Accept(ctx, []store.Incoming{benchItem("m1", true), benchItem("m1", true)}, time.Hour)
		for _, a := range as {
			accepted = append(accepted, a.NotifyID)
			if a.Claim != nil {
				claims = append(claims, *a.Claim)
			}
		}
	}
	if !errors.Is(err, store.ErrFull) || !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Accept on a full disk after %d: %v, want ErrFull", len(accepted), err)
	}
	accessWhenFull(t, s)
	if _, err := s.Claim(ctx, "m1", 1, time.Hour); !errors.Is(err, store.ErrFull) {
		t.Fatalf("Claim on a full disk: %v, want ErrFull", err)
	}
	for i := range claims {
		if _, err := s.Settle(ctx, benchAcked(&claims[i])); err != nil {
			t.Fatalf("settling %d of %d on a full disk: %v", i, len(claims), err)
		}
	}
	if w, err := s.Wakes(ctx, 10); err != nil || len(w.Lanes) != 0 || !w.Next.After(w.Now) {
		t.Fatalf("Wakes on a full disk: %+v, %v", w, err)
	}
	s.probeNow() // still full
	_, err = s.Accept(ctx, []store.Incoming{benchItem("m1", false)}, time.Hour)
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("Accept on a disk that is still full: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.probeNow()
	as, err := s.Accept(ctx, []store.Incoming{benchItem("m1", false)}, time.Hour)
	e, auditErr := s.Audit(ctx, store.AuditEntry{Action: "a"})
	if err != nil || auditErr != nil || e.Seq != 1 || s.Health(ctx).Err != nil {
		t.Fatalf("with space again: %v, audit entry %d, %v, %v", err, e.Seq, auditErr, s.Health(ctx).Err)
	}
	if st, err := os.Stat(s.w.reservePath()); err != nil || st.Size() != reserveBytes {
		t.Fatalf("the reserve was not built again: %v", err)
	}
	accepted = append(accepted, as[0].NotifyID)
	for _, id := range accepted {
		if _, _, err := s.Get(ctx, id); err != nil {
			t.Fatalf("accepted, and lost: %s: %v", id, err)
		}
	}
	for i := range claims {
		if n, _, err := s.Get(ctx, claims[i].NotifyID); err != nil || n.State != store.Spent {
			t.Fatalf("settled on the full disk: %s, %v", n.State, err)
		}
	}
	soundWith(t, s, len(accepted))
}

// accessWhenFull wants a store on a full disk to say so, to keep nothing new of access either, and to let go
// on what must.
func accessWhenFull(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	if h := s.Health(ctx); !errors.Is(h.Err, store.ErrFull) {
		t.Fatalf("Health on a full disk: %v", h.Err)
	}
	if _, err := s.CreateKey(ctx, store.APIKey{ID: "key00001"}); !errors.Is(err, store.ErrFull) {
		t.Errorf("CreateKey on a full disk: %v, want ErrFull", err)
	}
	if _, err := s.Audit(ctx, store.AuditEntry{Action: "a"}); !errors.Is(err, store.ErrFull) {
		t.Errorf("Audit on a full disk: %v, want ErrFull", err)
	}
	if _, err := s.RevokeKey(ctx, "key00000"); err != nil {
		t.Errorf("RevokeKey on a full disk: %v", err)
	}
	if k, err := s.Key(ctx, "key00000"); err != nil || k.RevokedAt.IsZero() {
		t.Errorf("revoked on a full disk: at %v, %v", k.RevokedAt, err)
	}
	if done, err := s.SetMark(ctx, "callback", "", "1"); !done || err != nil {
		t.Errorf("SetMark on a full disk: %v, %v", done, err)
	}
}

// soundWith wants a store to count so many notifications, and its file to be sound. It closes the store.
func soundWith(t *testing.T, s *Store, want int) {
	t.Helper()
	st, err := s.Stats(context.Background())
	if err != nil || st.States[store.Pending]+st.States[store.Spent] != want {
		t.Fatalf("Stats count %v, accepted were %d, %v", st.States, want, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if rep, err := Fsck(s.opts.Path); err != nil || !rep.Sound() {
		t.Fatalf("fsck: %+v, %v", rep, err)
	}
}
