package main

import (
	"strings"
	"testing"
	"time"
)

// TestRetentionDeletesInTheBackground: what is older than retention goes, what is owed stays.
func TestRetentionDeletesInTheBackground(t *testing.T) {
	cfg := testConfig(t)
	e := testEngine(t, cfg)
	testMerchant(t, e, "success")
	send := func() string {
		code, id, errs := runAgainst(t, e.URL, "send", "--mch", "m1")
		if code != exitOK {
			t.Fatal(errs)
		}
		return strings.TrimSpace(id)
	}
	spent := send()
	eventually(t, "it is not spent", func() bool {
		_, out, _ := runAgainst(t, e.URL, "list", "--state", "spent")
		return strings.Contains(out, spent)
	})
	if code, _, errs := runAgainst(t, e.URL, "merchant", "pause", "m1"); code != exitOK {
		t.Fatal(errs)
	}
	pending := send()
	if err := e.Shutdown(); err != nil {
		t.Fatal(err)
	}
	cfg.Retention.Spent = time.Nanosecond
	e = testEngine(t, cfg)
	defer e.Shutdown()
	eventually(t, "it is not deleted", func() bool {
		code, _, _ := runAgainst(t, e.URL, "show", spent)
		return code == exitNotFound
	})
	if code, _, errs := runAgainst(t, e.URL, "show", pending); code != exitOK {
		t.Errorf("a pending one is gone: %s", errs)
	}
}
