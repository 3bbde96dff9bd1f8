package keyring

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func TestDerive(t *testing.T) {
	a, b, both := load(t, keyA), load(t, keyB), load(t, keyB+"\n"+keyA)
	one := a.Derive("sessions")
	if len(one) != 1 || len(one[0]) != 32 {
		t.Fatalf("derives %d keys", len(one))
	}
	if again := load(t, keyA).Derive("sessions"); !bytes.Equal(again[0], one[0]) {
		t.Error("another ring with the same master key derives another one")
	}
	got := both.Derive("sessions")
	if len(got) != 2 || !bytes.Equal(got[0], b.Derive("sessions")[0]) || !bytes.Equal(got[1], one[0]) {
		t.Error("two master keys do not derive in their order what each derives alone")
	}
	if bytes.Equal(a.Derive("links")[0], one[0]) {
		t.Error("two labels give one key")
	}
	// What the store keeps in the clear must not be derivable: it comes of the same function.
	public := hex.EncodeToString(a.Derive("paynotify master key check")[0])
	if strings.Contains(a.Check(), public) {
		t.Error("a label gives the key-check value")
	}
	// The scheme, once and for all: another key would end all sessions and links at an upgrade.
	const want = "c9d18706ebea776e946d9a122bff94034c62c5c1b522632d2bba60f90699574d"
	if got := hex.EncodeToString(one[0]); got != want {
		t.Errorf("derived %s, want %s", got, want)
	}
}
