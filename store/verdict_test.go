package store

import (
	"slices"
	"testing"
)

func TestReasonsAreComplete(t *testing.T) {
	seen := map[Reason]bool{}
	for _, r := range Reasons {
		if seen[r] {
			t.Errorf("%s is listed twice", r)
		}
		seen[r] = true
		if !slices.Contains(Verdicts, VerdictOf(r)) {
			t.Errorf("VerdictOf(%s) = %q, which is no verdict", r, VerdictOf(r))
		}
	}
	for r := range verdictOf {
		if !seen[r] {
			t.Errorf("%s has a verdict and is not in Reasons", r)
		}
	}
	if len(Reasons) != 43 {
		t.Errorf("%d reasons, the public list has 43", len(Reasons))
	}
	if VerdictOf("nonsense") != "" {
		t.Errorf("an unknown reason has the verdict %q", VerdictOf("nonsense"))
	}
}

func TestVerdictsAreComplete(t *testing.T) {
	reached := map[Verdict]bool{}
	for _, r := range Reasons {
		reached[VerdictOf(r)] = true
	}
	for status := 300; status < 600; status += 100 {
		reached[StatusVerdict(status)] = true
	}
	for _, v := range Verdicts {
		if !reached[v] {
			t.Errorf("no reason leads to %s", v)
		}
	}
	if len(Verdicts) != 13 || len(slices.Compact(slices.Sorted(slices.Values(Verdicts)))) != 13 {
		t.Errorf("verdicts are %v, want thirteen", Verdicts)
	}
}

func TestVerdictClass(t *testing.T) {
	want := map[Verdict]string{
		Acked: "acked", Refused: "refused", HTTP3xx: "refused", HTTP4xx: "refused", HTTP5xx: "refused",
		Timeout: "error", DNSError: "error", ConnectError: "error", TLSError: "error", BadReply: "error",
		Blocked: "error", Interrupted: "error", InternalError: "error",
	}
	for _, v := range Verdicts {
		if got := v.Class(); got != want[v] {
			t.Errorf("%s.Class() = %q, want %q", v, got, want[v])
		}
	}
}

func TestStatusVerdict(t *testing.T) {
	for status, want := range map[int]Verdict{
		200: Refused, 201: Refused, 204: Refused, 299: Refused, 300: HTTP3xx, 302: HTTP3xx, 399: HTTP3xx,
		400: HTTP4xx, 429: HTTP4xx, 499: HTTP4xx, 500: HTTP5xx, 503: HTTP5xx, 599: HTTP5xx,
	} {
		if got := StatusVerdict(status); got != want {
			t.Errorf("StatusVerdict(%d) = %s, want %s", status, got, want)
		}
	}
}

func TestNearMiss(t *testing.T) {
	want := []Reason{
		AckCase, AckQuoted, AckJSON, AckHTML, AckPHPNotice, AckExtraText, AckRepeated, AckUTF16, AckInvisible,
		AckNotXML, AckStatus,
	}
	for _, r := range Reasons {
		if got := r.NearMiss(); got != slices.Contains(want, r) {
			t.Errorf("%s.NearMiss() = %v", r, got)
		}
		if r.NearMiss() && VerdictOf(r) != Refused {
			t.Errorf("near-miss %s has the verdict %s", r, VerdictOf(r))
		}
	}
}
