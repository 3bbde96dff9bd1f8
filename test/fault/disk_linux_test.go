package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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
		switch status := r.tryProduce("acks", i); status {
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
	deadline := time.Now().Add(settled / 6)
	for i := 5000; r.tryProduce("acks", i) != http.StatusAccepted; i++ {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(r.dir, "engine.log"))
			t.Fatalf("there is space again, but nothing is accepted:\n%s", text)
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.finish()
}

// tryProduce accepts once and notes a promise; it returns the status.
func (r *rig) tryProduce(mch string, i int) int {
	r.t.Helper()
	order := fmt.Sprintf("%s-%d", mch, i)
	var answer struct {
		NotifyID string `json:"notify_id"`
		Type     string `json:"type"`
	}
	status, err := r.call("POST", "/v1/notifications", map[string]string{"Idempotency-Key": order},
		map[string]any{"mch_id": mch, "out_trade_no": order, "params": map[string]any{"total_fee": "1"}}, &answer)
	if err != nil {
		r.t.Fatal(err)
	}
	if status == http.StatusAccepted {
		r.mu.Lock()
		r.h.Accepted = append(r.h.Accepted, Accepted{NotifyID: answer.NotifyID, MchID: mch, OutTradeNo: order})
		r.mu.Unlock()
	}
	return status
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
