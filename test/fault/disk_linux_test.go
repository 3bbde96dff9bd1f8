package fault

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDiskFull fills the disk under the running product. The API says 503 and never a false 202, sending
// stops before the dial; when there is space again everything goes on by itself, and nothing is lost.
func TestDiskFull(t *testing.T) {
	r := newRig(t, map[string]*merchant{"acks": {acksFrom: 1, schedule: quick}})
	r.dir = smallDisk(t, "40m")
	r.start("")
	r.register()
	for i := range 20 {
		r.produce(context.Background(), "acks", i)
	}
	ballast := filepath.Join(r.dir, "ballast")
	fill(t, ballast)
	refused := 0
	for i := 100; i < 4000 && refused < 20; i++ {
		status, err := r.offer("acks", i)
		if err != nil {
			t.Fatal(err)
		}
		switch status {
		case http.StatusAccepted:
		case http.StatusServiceUnavailable:
			refused++
		default:
			t.Fatalf("status %d on a full disk, want 202 or 503", status)
		}
	}
	if refused == 0 {
		t.Fatal("the disk is full and everything is accepted all the same")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	await(t, settled/6, "there is space again, but nothing is accepted", func() bool {
		status, _ := r.offer("acks", 5000)
		return status == http.StatusAccepted
	})
	r.finish()
}

// smallDisk mounts a file system of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("needs to mount a tmpfs, as root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes until there is no space left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}
