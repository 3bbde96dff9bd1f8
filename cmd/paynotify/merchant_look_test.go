package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"paynotify/api"
)

// TestStatementIsVerified: what was cut off or changed on its way is not taken for a statement.
func TestStatementIsVerified(t *testing.T) {
	const rows = "record,amount\r\nnotification,1.00\r\ntotal,1.00\r\n"
	whole := rows + fmt.Sprintf("checksum,%x\r\n", sha256.Sum256([]byte(rows)))
	for name, c := range map[string]struct {
		body  string
		abort bool
		want  int
	}{
		"whole":           {whole, false, exitOK},
		"changed":         {strings.Replace(whole, "1.00", "9.00", 1), false, exitTemporary},
		"without the end": {rows, false, exitTemporary},
		"half a line":     {whole[:len(whole)-9], false, exitTemporary},
		"broken off":      {rows, true, exitTemporary},
		"empty":           {"", false, exitTemporary},
		"a line behind":   {whole + "total,1.00\r\n", false, exitTemporary},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(c.body))
				_ = http.NewResponseController(w).Flush()
				if c.abort {
					panic(http.ErrAbortHandler)
				}
			}))
			defer s.Close()
			code, out, errs := runAgainst(t, s.URL, "merchant", "statement", "m1", "--date", "2026-11-20")
			if code != c.want || out != c.body {
				t.Errorf("exit code %d, want %d; stdout %q", code, c.want, out)
			}
			if said := strings.Contains(errs, "not whole"); said != (c.want != exitOK) {
				t.Errorf("stderr %q", errs)
			}
		})
	}
}

// TestGapsOfALongList: a list may be longer than one request, and its answers are one.
func TestGapsOfALongList(t *testing.T) {
	var sizes []int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req api.GapsRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}
		n := len(req.OutTradeNos)
		sizes = append(sizes, n)
		v := api.GapsView{NeverSeen: req.OutTradeNos[:1], NotSpent: []api.GapView{}, Spent: n - 1}
		_ = json.NewEncoder(w).Encode(v)
	}))
	defer s.Close()
	var list strings.Builder
	for i := range 25_000 {
		fmt.Fprintf(&list, "%d\n%d\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "orders.txt")
	if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runAgainst(t, s.URL, "merchant", "gaps", "m1", file, "--json")
	if code != exitData || fmt.Sprint(sizes) != "[10000 10000 5000]" {
		t.Errorf("exit code %d, requests of %v: %s", code, sizes, errs)
	}
	want := `{"never_seen":["0","10000","20000"],"not_spent":[],"spent":24997}` + "\n"
	if out != want {
		t.Errorf("%s, want %s", out, want)
	}
}
