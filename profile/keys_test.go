package profile

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paynotify/signer"
	"paynotify/store"
)

func TestNewMaterialRSA(t *testing.T) {
	keys, m := testKeys(t), &store.Merchant{MchID: "m1"}
	for _, form := range []string{"alipay_priv_pem", "alipay_priv_b64", "alipay_priv_pkcs1_b64"} {
		made, faults := NewMaterial(&alipay, m, Material{PrivateKey: keys[form]}, Material{})
		if len(faults) > 0 {
			t.Fatalf("%s: %+v", form, faults)
		}
		public, err := made.Public("m1", vectorTime)
		if err != nil || public.PEM != keys["alipay_pub_pem"] {
			t.Errorf("%s: public key %s, %v", form, public.PEM, err)
		}
		got, err := signer.Serial(public.Certificate)
		if err != nil || got != public.Serial || got == "" {
			t.Errorf("%s: serial %q of the certificate, %q told, %v", form, got, public.Serial, err)
		}
	}
	made, faults := NewMaterial(&alipay, m, Material{}, Material{})
	if len(faults) > 0 || made.Secret != "" {
		t.Fatalf("generated %+v, %+v", made, faults)
	}
	again, faults := NewMaterial(&alipay, m, made, Material{})
	if len(faults) > 0 || again != made {
		t.Error("a generated key is not taken back")
	}
}

func TestNewMaterialRefuses(t *testing.T) {
	keys := testKeys(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	smallPEM, err := signer.PrivatePEM(small)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		p     *Profile
		given Material
		want  string
	}{
		{"1024 bits", &alipay, Material{PrivateKey: smallPEM}, atPrivateKey},
		{"public", &alipay, Material{PrivateKey: keys["alipay_pub_pem"]}, atPrivateKey},
		{"junk", &alipay, Material{PrivateKey: "c2VjcmV0LWp1bms="}, atPrivateKey},
		{"secret for RSA", &alipay, Material{PrivateKey: keys["alipay_priv_pem"], Secret: "x"}, atSecret},
		{"serial for alipay", &alipay, Material{PrivateKey: keys["alipay_priv_pem"], Serial: "AB"}, atSerial},
		{"key for MD5", &alipayMapi, Material{PrivateKey: keys["alipay_priv_pem"]}, atPrivateKey},
		{"empty line", &alipayMapi, Material{Secret: "\n"}, atSecret},
		{"blank", &alipayMapi, Material{Secret: " topsecret"}, atSecret},
		{"two lines", &alipayMapi, Material{Secret: "topsecret\nmore"}, atSecret},
		{"long", &alipayMapi, Material{Secret: strings.Repeat("topsecret", 30)}, atSecret},
		{"secret for form", &form, Material{Secret: "topsecret"}, atSecret},
	} {
		made, faults := NewMaterial(c.p, &store.Merchant{}, c.given, Material{})
		if got := located(faults); got != c.want || made != (Material{}) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		wantComplete(t, faults)
		for _, f := range faults {
			if text := f.Message + f.Cure; strings.Contains(text, "topsecret") || strings.Contains(text, "c2Vjc") {
				t.Errorf("%s: key material in %+v", c.name, f)
			}
		}
	}
}

func TestNewMaterialSecret(t *testing.T) {
	for _, given := range []string{"tops3cret", "tops3cret\n", "tops3cret\r\n"} {
		made, faults := NewMaterial(&alipayMapi, &store.Merchant{}, Material{Secret: given}, Material{})
		if len(faults) > 0 || made.Secret != "tops3cret" {
			t.Errorf("%q: got %+v, %+v", given, made, faults)
		}
		if len(made.Warnings()) != 1 {
			t.Errorf("a short secret is not warned of: %q", made.Warnings())
		}
	}
	made, faults := NewMaterial(&alipayMapi, &store.Merchant{}, Material{}, Material{})
	if len(faults) > 0 || !regexp.MustCompile(`^[0-9a-z]{32}$`).MatchString(made.Secret) {
		t.Errorf("generated %+v, %+v", made, faults)
	}
	if len(made.Warnings()) != 0 {
		t.Errorf("a generated secret is warned of: %q", made.Warnings())
	}
	if public, err := made.Public("m1", vectorTime); public != (PublicHalf{}) || err != nil {
		t.Error("a secret has a public half")
	}
	made, faults = NewMaterial(&form, &store.Merchant{}, Material{}, Material{})
	if len(faults) > 0 || made != (Material{}) {
		t.Errorf("form: got %+v, %+v", made, faults)
	}
}

// TestKeysInForce: a send signs with the newest key whose time has come and is not over.
func TestKeysInForce(t *testing.T) {
	turn := vectorTime.Add(time.Hour)
	m := &store.Merchant{MchID: "m1", Keys: []store.Key{{From: turn}, {Until: turn.Add(time.Minute)}}}
	keys := loadKeys(t, &alipayMapi, m, Material{Secret: "new"}, Material{Secret: "old"})
	for at, want := range map[time.Time]string{
		turn.Add(-1): "old", turn: "new", turn.Add(time.Hour): "new",
	} {
		if key := keys.at(at); key == nil || string(key.secret) != want {
			t.Errorf("at %v: got %+v, want %s", at, key, want)
		}
	}
	if key := loadKeys(t, &alipayMapi, m, Material{Secret: "old"}).at(turn.Add(-1)); key == nil {
		t.Error("a key that the caller picked is not in force")
	}
	m.Keys = m.Keys[1:]
	if key := loadKeys(t, &alipayMapi, m, Material{Secret: "old"}).at(turn.Add(time.Minute)); key != nil {
		t.Error("a key is in force after its end")
	}
	if _, err := LoadKeys(&alipay, m, nil); err == nil {
		t.Error("an RSA merchant loads without a key")
	}
	if key := (*Keys)(nil).at(turn); key != nil || len((*Keys)(nil).inForce(turn)) > 0 {
		t.Error("no keys, and one is in force")
	}
	_, err := LoadKeys(&alipay, m, []Material{{PrivateKey: "c2VjcmV0"}})
	if err == nil || strings.Contains(err.Error(), "c2Vjc") {
		t.Errorf("a broken key: %v", err)
	}
	if _, err := LoadKeys(&form, m, nil); err != nil {
		t.Error(err)
	}
}

// overlapping are the profiles whose messages carry a signature of every key in force.
func overlapping(t testing.TB) (list []*Profile) {
	t.Helper()
	for _, p := range All() {
		if p.Overlap {
			list = append(list, p)
		}
	}
	if len(list) != 2 {
		t.Fatalf("%d profiles overlap", len(list))
	}
	return list
}

// whsecOf is a secret that both of them take, another for each number.
func whsecOf(i int) string {
	return fmt.Sprintf("whsec_%s%02d", strings.Repeat("A", 30), i)
}

// signaturesOf are the v1 signatures of a message, in its order.
func signaturesOf(t testing.TB, p *Profile, msg Message) (list []string) {
	t.Helper()
	at := slices.IndexFunc(msg.Header, func(h Header) bool {
		return h.Name == "webhook-signature" || h.Name == stripeHeader
	})
	if at < 0 {
		t.Fatalf("%s: no signature in %v", p.Name, msg.Header)
	}
	separator, v1 := " ", "v1,"
	if p == &stripe {
		separator, v1 = ",", "v1="
	}
	for _, item := range strings.Split(msg.Header[at].Value, separator) {
		if strings.HasPrefix(item, v1) {
			list = append(list, item)
		}
	}
	return list
}

// TestOverlap is one rotation with an overlap of a day: the old key alone before, then both with the new one
// first, then the new one alone. Dialects that carry one signature have the new one's from the same instant.
func TestOverlap(t *testing.T) {
	begin := vectorTime.Add(time.Hour)
	end := begin.Add(24 * time.Hour)
	newest, old := whsecOf(1), whsecOf(2)
	for _, p := range append(overlapping(t), &alipayMapi) {
		m, n := sample(p)
		m.Keys = []store.Key{{From: begin}, {Until: end}}
		keys := loadKeys(t, p, m, Material{Secret: newest}, Material{Secret: old})
		for _, c := range []struct {
			at       time.Time
			new, old bool
		}{
			{vectorTime, false, true},
			{begin.Add(-1), false, true},
			{begin, true, true},
			{end.Add(-1), true, true},
			{end, true, false},
			{end.AddDate(1, 0, 0), true, false},
		} {
			msg, err := Encode(p, Input{Notification: n, Merchant: m, Now: c.at, Keys: keys})
			if err != nil {
				t.Fatal(err)
			}
			for secret, want := range map[string]bool{newest: c.new, old: c.old && (p.Overlap || !c.new)} {
				if _, err := Verify(p, captured(msg), VerifyKeys{Secret: secret}); (err == nil) != want {
					t.Errorf("%s at %v: new key %t: %v", p.Name, c.at, secret == newest, err)
				}
			}
			if p.Overlap && c.new {
				alone := loadKeys(t, p, &store.Merchant{}, Material{Secret: newest})
				want, err := Encode(p, Input{Notification: n, Merchant: m, Now: c.at, Keys: alone})
				if err != nil || signaturesOf(t, p, msg)[0] != signaturesOf(t, p, want)[0] {
					t.Errorf("%s at %v: the new key's signature does not stand first", p.Name, c.at)
				}
			}
		}
	}
}

// TestOverlapAtRandom: whatever the times of service, a message has one signature of each key in force, in
// the keys' order, and is not sent when there is none.
func TestOverlapAtRandom(t *testing.T) {
	profiles := overlapping(t)
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.SampledFrom(profiles).Draw(rt, "profile")
		instant := rapid.Map(rapid.IntRange(0, 9), func(hours int) time.Time {
			if hours == 0 {
				return time.Time{}
			}
			return vectorTime.Add(time.Duration(hours) * time.Hour)
		})
		m, n := sample(p)
		now := vectorTime.Add(time.Duration(rapid.IntRange(0, 10).Draw(rt, "now")) * time.Hour)
		var materials []Material
		var want []string
		for i := range rapid.IntRange(1, 4).Draw(rt, "keys") {
			key := store.Key{From: instant.Draw(rt, "from"), Until: instant.Draw(rt, "until")}
			mat := Material{Secret: whsecOf(i)}
			m.Keys, materials = append(m.Keys, key), append(materials, mat)
			if key.From.After(now) || !key.Until.IsZero() && !key.Until.After(now) {
				continue
			}
			alone := Input{Notification: n, Merchant: m, Now: now, Keys: loadKeys(t, p, &store.Merchant{}, mat)}
			msg, err := Encode(p, alone)
			if err != nil {
				rt.Fatal(err)
			}
			want = append(want, signaturesOf(t, p, msg)...)
		}
		msg, err := Encode(p, Input{Notification: n, Merchant: m, Now: now, Keys: loadKeys(t, p, m, materials...)})
		if len(want) == 0 {
			if !errors.Is(err, errNoKey) {
				rt.Fatalf("no key in force: %v", err)
			}
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		if got := signaturesOf(t, p, msg); !slices.Equal(got, want) {
			rt.Fatalf("%s\n got %q\nwant %q", p.Name, got, want)
		}
	})
}

// probeDiffers lists what a probe has otherwise than the message that it stands for, by the names of fields
// and headers; what differs must have the same length.
func probeDiffers(t *testing.T, p *Profile, good, probe Message) (differs []string) {
	t.Helper()
	if good.Method != probe.Method || len(good.Header) != len(probe.Header) ||
		string(good.StringToSign) != string(probe.StringToSign) {
		t.Fatalf("%s: the probe has another shape: %v", p.Name, probe.Header)
	}
	compare := func(a, b Field) {
		if a.Name != b.Name || len(a.Value) != len(b.Value) {
			t.Errorf("%s: %v became %v", p.Name, a, b)
		}
		if a != b {
			differs = append(differs, a.Name)
		}
	}
	for i, h := range good.Header {
		compare(Field(h), Field(probe.Header[i]))
	}
	if good.Query == probe.Query && string(good.Body) == string(probe.Body) {
		return differs
	}
	_, keys := material(t, p)
	a, _ := Verify(p, captured(good), keys)
	b, _ := Verify(p, captured(probe), keys)
	if len(a.Fields) != len(b.Fields) || len(a.Fields) == 0 {
		t.Fatalf("%s: fields %v became %v", p.Name, a.Fields, b.Fields)
	}
	for i := range a.Fields {
		compare(a.Fields[i], b.Fields[i])
	}
	return differs
}

// TestProbe: in every profile a probe is the message that it stands for but for signatures, all of which are
// well-formed and wrong; the keys that it was made from go on signing.
func TestProbe(t *testing.T) {
	signatures := []string{
		"sign", "signature", headerSignature, wechatSignature, "webhook-signature", "svix-signature", stripeHeader,
	}
	for _, p := range All() {
		for _, m := range settings(p) {
			if !Signs(p, m) {
				continue
			}
			_, n := sample(p)
			mat := wholeKey(t, p, m)
			verify := verifyKeys(t, m, mat)
			keys := loadKeys(t, p, m, mat)
			in := Input{Notification: n, Merchant: m, Now: vectorTime, Keys: keys.Probe()}
			probe, err := Encode(p, in)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Verify(p, captured(probe), verify)
			breaks(t, err, RuleSignature, about(p, m))
			if again, err := Encode(p, in); err != nil || !cmp.Equal(again, probe) {
				t.Errorf("%s: another probe the second time (%v)", about(p, m), err)
			}
			in.Keys = keys
			good, err := Encode(p, in)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(p, captured(good), verify); err != nil {
				t.Errorf("%s: the keys are spoilt: %v", about(p, m), err)
			}
			differs := probeDiffers(t, p, good, probe)
			for _, name := range differs {
				if !slices.Contains(signatures, name) {
					t.Errorf("%s: %s differs", about(p, m), name)
				}
			}
			if optionBool(m, optionHeaderSignature) {
				_, err := verifyHeaderSignature(captured(probe), verify)
				breaks(t, err, RuleSignature, about(p, m)+", the header")
			}
		}
	}
}

// TestProbeDuringOverlap: none of a probe's signatures fits any of the keys.
func TestProbeDuringOverlap(t *testing.T) {
	for _, p := range overlapping(t) {
		m, n := sample(p)
		m.Keys = make([]store.Key, 2)
		keys := loadKeys(t, p, m, Material{Secret: whsecOf(1)}, Material{Secret: whsecOf(2)}).Probe()
		msg, err := Encode(p, Input{Notification: n, Merchant: m, Now: vectorTime, Keys: keys})
		if err != nil || len(signaturesOf(t, p, msg)) != 2 {
			t.Fatalf("%s: %v, %v", p.Name, msg.Header, err)
		}
		for i := 1; i <= 2; i++ {
			_, err := Verify(p, captured(msg), VerifyKeys{Secret: whsecOf(i)})
			breaks(t, err, RuleSignature, p.Name)
		}
	}
	v := readStandardVector(t)
	in := v.input(t, "v1a", Material{Secret: v.Secret, Whsk: v.Whsk})
	in.Keys = in.Keys.Probe()
	msg, err := Encode(&standard, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range []VerifyKeys{
		{Secret: v.Secret, SignType: "v1"}, {Ed25519: v.whpk(t), SignType: "v1a"},
	} {
		_, err := Verify(&standard, captured(msg), keys)
		breaks(t, err, RuleSignature, keys.SignType)
	}
}

// TestParseVerifyKeys: a public key in every form that is handed out, and a secret with its line end.
func TestParseVerifyKeys(t *testing.T) {
	keys := testKeys(t)
	for _, form := range []string{"wxv3_pub_pem", "wxv3_cert_pem"} {
		got, err := ParseVerifyKeys(keys[form], "", "RSA2")
		if err != nil || got.PublicKey == nil || !got.PublicKey.Equal(publicKey(t, keys["wxv3_pub_pem"])) ||
			got.SignType != "RSA2" {
			t.Errorf("%s: %+v, %v", form, got, err)
		}
	}
	whpk, err := ParseVerifyKeys(" "+keys["whpk"]+"\n", keys["whsec"]+"\r\n", "")
	if err != nil || signer.FormatWhpk(whpk.Ed25519) != keys["whpk"] || whpk.PublicKey != nil ||
		whpk.Secret != keys["whsec"] {
		t.Errorf("whpk: %+v, %v", whpk, err)
	}
	for _, private := range []string{keys["whsk"], keys["wxv3_priv_pem"], "whpk_" + keys["whsk"][5:], "junk"} {
		_, err := ParseVerifyKeys(private, "", "")
		if err == nil {
			t.Error("what is no public key was taken for one")
		}
		f := keyFault("at", err)
		wantComplete(t, []Fault{*f})
		wantNoKey(t, Material{PrivateKey: private}, []Fault{*f})
	}
}

// FuzzOpenKeys opens whatever a damaged store may hold: an error that shows nothing of it, or keys that make
// a message or an error.
func FuzzOpenKeys(f *testing.F) {
	for i, p := range All() {
		given, _ := material(f, p)
		f.Add(uint8(i), given.PrivateKey, given.Secret, given.Serial, given.Whsk, "")
	}
	f.Add(uint8(5), "", "whsec_", "", "whsk_", "")
	f.Add(uint8(0), "topsecret", "", "", "", "")
	f.Add(uint8(0), "topsecret", "", "", "", "{")
	profiles := All()
	f.Fuzz(func(t *testing.T, which uint8, privateKey, secret, serial, whsk, junk string) {
		p := profiles[int(which)%len(profiles)]
		m, n := sample(p)
		m.Keys = []store.Key{{ID: "k1"}}
		keys, err := OpenKeys(p, m, func(_, _ string, _ []byte) ([]byte, error) {
			plain, err := json.Marshal(Material{PrivateKey: privateKey, Secret: secret, Serial: serial, Whsk: whsk})
			return append(plain, junk...), err
		})
		if err != nil {
			if strings.Contains(err.Error(), "topsecret") {
				t.Error(err)
			}
			return
		}
		in := Input{Notification: n, Merchant: m, Now: vectorTime, Keys: keys}
		first, err := Encode(p, in)
		if err != nil {
			return // the opened key does not fit the profile
		}
		again, err := Encode(p, in)
		if err != nil || string(first.Body) != string(again.Body) || !slices.Equal(first.Header, again.Header) {
			t.Errorf("%s: the same input gave another message (%v)", p.Name, err)
		}
	})
}
