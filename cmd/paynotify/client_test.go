package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"paynotify/api"
)

// runAgainst runs a command line against a server and returns the exit code and what was printed.
func runAgainst(t *testing.T, url string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(append([]string{"--server", url}, args...), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestRefusalsBecomeExitCodes(t *testing.T) {
	for status, want := range map[int]int{
		400: exitData, 401: exitAuth, 403: exitAuth, 404: exitNotFound, 408: exitTemporary, 409: exitTemporary,
		413: exitData, 415: exitData, 422: exitData, 429: exitTemporary, 500: exitBug, 503: exitTemporary,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/problem+json")
				if status == 503 {
					w.Header().Set("Retry-After", "7")
				}
				w.WriteHeader(status)
				json.NewEncoder(w).Encode(api.Problem{
					Type: "/problems/x", Title: "The Title", Status: status, Detail: "the detail",
				})
			}))
			defer s.Close()
			code, out, errs := runAgainst(t, s.URL, "list")
			if code != want || out != "" {
				t.Errorf("exit code %d, stdout %q; want %d and nothing", code, out, want)
			}
			if !strings.Contains(errs, "error: the title") || !strings.Contains(errs, "why: the detail") {
				t.Errorf("stderr %q", errs)
			}
			if status == 503 && !strings.Contains(errs, "try again in 7 s") {
				t.Errorf("stderr %q does not say when to try again", errs)
			}
			if lines := strings.Count(errs, "\n"); lines > 3 {
				t.Errorf("%d lines: %q", lines, errs)
			}
		})
	}
}

// TestForeignServers: what stands at the URL may be anything.
func TestForeignServers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"html": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>\x1b[31mhello") },
		"html error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html>nginx")
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(h)
			defer s.Close()
			for _, command := range []string{"list", "health"} {
				code, _, errs := runAgainst(t, s.URL, command)
				if code != exitUnavailable || !strings.Contains(errs, s.URL) || strings.Contains(errs, "\x1b") {
					t.Errorf("%s: exit code %d, stderr %q; want %d and the URL", command, code, errs, exitUnavailable)
				}
			}
		})
	}
}

func TestTokenIsSentAndNotShown(t *testing.T) {
	got := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		w.WriteHeader(http.StatusTeapot)
	}))
	defer s.Close()
	t.Setenv("PAYNOTIFY_TOKEN", "from-the-environment")
	_, _, errs := runAgainst(t, s.URL, "list")
	if got != "Bearer from-the-environment" || strings.Contains(errs, "from-the-environment") {
		t.Errorf("got %q, stderr %q", got, errs)
	}
	if runAgainst(t, s.URL, "list", "--token", "from-the-flag"); got != "Bearer from-the-flag" {
		t.Errorf("got %q", got)
	}
	if code, _, errs := runAgainst(t, s.URL, "list", "--token", "two\nlines"); code != exitUsage ||
		strings.Contains(errs, "two") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
}

// TestEveryCommandChecksItsArguments: without Args cobra takes anything in silence.
func TestEveryCommandChecksItsArguments(t *testing.T) {
	root := newRootCommand()
	for _, c := range root.Commands() {
		for _, sub := range append(c.Commands(), c) {
			if sub.Args == nil {
				t.Errorf("%s has no Args", sub.CommandPath())
			}
			if sub.Short == "" {
				t.Errorf("%s has no Short", sub.CommandPath())
			}
		}
	}
}
