package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const (
	keyA = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	keyB = "8f3c1a5be09d4427b6f0c2d1a0e97f6655443322110ffeeddccbbaa998877661"
)

func load(t testing.TB, text string) *Ring {
	t.Helper()
	ring, err := Load(text)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestSealOpen(t *testing.T) {
	ring := load(t, keyA)
	rapid.Check(t, func(t *rapid.T) {
		mch := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`).Draw(t, "mch")
		id := rapid.String().Draw(t, "id")
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed, err := ring.Seal(mch, id, plain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ring.Open(mch, id, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opens as %x, sealed %x (%v)", got, plain, err)
		}
		at := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
		bit := byte(1) << rapid.IntRange(0, 7).Draw(t, "bit")
		sealed[at] ^= bit
		if _, err := ring.Open(mch, id, sealed); err == nil {
			t.Fatalf("opens with byte %d changed", at)
		}
		sealed[at] ^= bit
		if _, err := ring.Open(mch, id, sealed[:at]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v, want ErrDamaged", at, err)
		}
	})
}

func TestSealedBelongsToOneKey(t *testing.T) {
	ring := load(t, keyA)
	plain := []byte("swordfish")
	sealed, err := ring.Seal("m1", "k1", plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range [][2]string{
		{"m2", "k1"}, {"m1", "k2"}, {"m1|k", "1"}, {"m", "1|k1"}, {"", "m1|k1"}, {"m1", ""},
	} {
		if _, err := ring.Open(other[0], other[1], sealed); !errors.Is(err, ErrDamaged) {
			t.Errorf("open as %q: %v, want ErrDamaged", other, err)
		}
	}
	if _, err := ring.Seal("m|1", "k1", plain); err == nil {
		t.Error("seals for a merchant whose id would be ambiguous")
	}
	if _, err := ring.Seal("m1", "k1", make([]byte, PlainBytesMax+1)); err == nil {
		t.Error("seals more than PlainBytesMax")
	}
	again, err := ring.Seal("m1", "k1", plain)
	if err != nil || bytes.Equal(again, sealed) {
		t.Errorf("seals the same twice alike (%v)", err)
	}
	if bytes.Contains(sealed, plain) {
		t.Error("the sealed value contains the plain one")
	}
}

func TestRotation(t *testing.T) {
	old, both, fresh := load(t, keyA), load(t, keyB+"\n"+keyA+"\n"), load(t, keyB)
	byOld, err := old.Seal("m1", "k1", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	byBoth, err := both.Seal("m1", "k1", []byte("y"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Open("m1", "k1", byOld); err != nil || string(got) != "x" {
		t.Errorf("the second key does not open: %q, %v", got, err)
	}
	if got, err := fresh.Open("m1", "k1", byBoth); err != nil || string(got) != "y" {
		t.Errorf("the first key does not seal: %q, %v", got, err)
	}
	if both.Current(byOld) || !both.Current(byBoth) || !old.Current(byOld) || old.Current(nil) {
		t.Error("Current does not tell which values want sealing again")
	}
	_, err = fresh.Open("m1", "k1", byOld)
	if !errors.Is(err, ErrWrongKey) || !strings.Contains(err.Error(), old.fingerprints()) {
		t.Errorf("open with a ring that lacks the key: %v, want ErrWrongKey naming %s", err, old.fingerprints())
	}
}

func TestVerifyCheck(t *testing.T) {
	old, both, fresh := load(t, keyA), load(t, keyB+"\n"+keyA), load(t, keyB)
	for _, c := range []struct {
		ring  *Ring
		value string
		ok    bool
	}{
		{old, old.Check(), true},
		{both, old.Check(), true},
		{both, fresh.Check(), true},
		{fresh, both.Check(), true},
		{fresh, old.Check(), false},
		{old, fresh.Check(), false},
		{old, "", false},
		{old, "nonsense", false},
		{old, old.Check() + "0", false},
	} {
		err := c.ring.VerifyCheck(c.value)
		if c.ok != (err == nil) || c.ok == errors.Is(err, ErrWrongKey) {
			t.Errorf("%v.VerifyCheck(%q): %v", c.ring, c.value, err)
		}
	}
	if old.Check() != load(t, keyA).Check() {
		t.Error("the check value of a key is not always the same")
	}
}

func TestLoad(t *testing.T) {
	asHex := hex.EncodeToString(raw(t, keyA))
	for _, text := range []string{
		keyA, keyA + "\n", keyA + "\r\n", "  " + keyA + "\t", "\ufeff" + keyA, asHex, strings.ToUpper(asHex),
		"# made 2026-11-21\n\n" + keyA + "\n" + keyB + "\n", Generate() + "\n" + keyA,
	} {
		if err := load(t, text).VerifyCheck(load(t, keyA).Check()); err != nil {
			t.Errorf("Load(%q): %v", text, err)
		}
	}
	if a, b := Generate(), Generate(); a == b || len(raw(t, a)) != 32 {
		t.Error("Generate does not make 32 new bytes")
	}
}

func raw(t testing.TB, key string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "master key: there is none; write 32 random bytes"},
		{"\n# nothing\n", "there is none"},
		{keyA[:40], "line 1: 30 bytes; want 32 bytes in standard base64 (44 characters) or 64 hex digits"},
		{keyA[:43], "line 1: not base64 or hex (43 characters)"},
		{keyA + "\n" + keyB[:62], "line 2: not base64 or hex (62 characters)"},
		{keyB[:60], "line 1: 45 bytes; want 32"},
		{strings.ReplaceAll(Generate(), "=", "-"), "line 1: not base64 or hex (44 characters)"},
		{keyA + " " + keyA, "line 1: not base64 or hex (89 characters)"},
		{"correct horse battery staple swordfish", "line 1: not base64 or hex"},
		{strings.Repeat("0", 64), "line 1: one byte 32 times is no key"},
		{strings.Repeat(keyA+"\n", 17), "line 17: a ring holds at most 16 keys"},
	} {
		_, err := Load(c.text)
		if !errors.Is(err, ErrMasterKey) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Load(%q): %v\nwant … %s …", c.text, err, c.want)
			continue
		}
		for _, word := range strings.Fields(c.text) {
			if len(word) > 5 && word != "nothing" && strings.Contains(err.Error(), word) {
				t.Errorf("error %q shows %q", err, word)
			}
		}
	}
}

// Canaries: however a ring is printed, logged or encoded, no key comes out, and no expanded key either.
func TestShowsNoKey(t *testing.T) {
	ring := load(t, keyA+"\n"+keyB)
	holder := struct {
		Ring *Ring
		Any  any
	}{ring, ring}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T %[1]v"} {
		shown = append(shown, fmt.Sprintf(verb, ring), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, []*Ring{ring}))
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "ring", ring, "holder", holder)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "ring", ring, "holder", holder)
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	_, wrong := load(t, Generate()).Open("m1", "k1", mustSeal(t, ring))
	shown = append(shown, log.String(), string(asJSON), ring.String(), wrong.Error(), ring.Check(),
		fmt.Sprint(load(t, Generate()).VerifyCheck(ring.Check())))
	all := strings.ToLower(strings.Join(shown, "\n"))
	for _, key := range [][]byte{raw(t, keyA), mustHex(t, keyB)} {
		for i := 0; i+4 <= len(key); i++ {
			part := key[i : i+4]
			for _, form := range []string{
				string(part), hex.EncodeToString(part), fmt.Sprint(part)[1:], fmt.Sprintf("%#v", part)[8:],
			} {
				if strings.Contains(all, strings.ToLower(form)) {
					t.Fatalf("bytes %d–%d of a key are shown as %q in\n%s", i, i+3, form, all)
				}
			}
		}
	}
	for _, text := range []string{keyA[:10], keyB[:10]} {
		if strings.Contains(all, strings.ToLower(text)) {
			t.Fatalf("%q is shown in\n%s", text, all)
		}
	}
	if !strings.Contains(all, "keyring("+ring.fingerprints()+")") {
		t.Error("the fingerprints are not shown")
	}
}

func mustSeal(t testing.TB, ring *Ring) []byte {
	t.Helper()
	sealed, err := ring.Seal("m1", "k1", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func mustHex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
