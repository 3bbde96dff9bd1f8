package profile

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"paynotify/signer"
	"paynotify/store"
)

// otherRSA is a second key that every profile takes.
func otherRSA(t testing.TB) string {
	t.Helper()
	return testKeys(t)["generic_priv_pem"]
}

// settings are the ways in which a profile can sign: each sign_type, without and with the header signature.
func settings(p *Profile) (list []*store.Merchant) {
	types := p.SignTypes
	if len(types) == 0 {
		types = []string{""}
	}
	for _, signType := range types {
		for _, header := range []bool{false, true} {
			m, _ := sample(p)
			m.SignType = signType
			if header {
				m.Options = map[string]any{optionHeaderSignature: true}
			}
			list = append(list, m)
		}
	}
	return list
}

func about(p *Profile, m *store.Merchant) string {
	return fmt.Sprintf("%s %s header_signature %t", p.Name, m.SignType, optionBool(m, optionHeaderSignature))
}

// newMaterial makes material that must not be refused.
func newMaterial(t testing.TB, p *Profile, m *store.Merchant, given, kept Material) Material {
	t.Helper()
	made, faults := NewMaterial(p, m, given, kept)
	if len(faults) > 0 {
		t.Fatalf("%s: %+v", about(p, m), faults)
	}
	return made
}

// wholeKey is a key with all parts that the merchant needs; only the RSA key, which takes long to make, is a
// given one.
func wholeKey(t testing.TB, p *Profile, m *store.Merchant) Material {
	t.Helper()
	var given Material
	if partsOf(p, m).rsa {
		given.PrivateKey = testKeys(t)["alipay_priv_pem"]
	}
	return newMaterial(t, p, m, given, Material{})
}

// verifyKeys is what a merchant gets to verify with: the public halves as they are handed out, and the
// secret.
func verifyKeys(t testing.TB, m *store.Merchant, mat Material) VerifyKeys {
	t.Helper()
	public, err := mat.Public(m.MchID, vectorTime)
	if err != nil {
		t.Fatal(err)
	}
	keys := VerifyKeys{Secret: mat.Secret, SignType: m.SignType, Options: map[string]string{}}
	if public.PEM != "" {
		keys.PublicKey = publicKey(t, public.Certificate)
		if !keys.PublicKey.Equal(publicKey(t, public.PEM)) {
			t.Error("certificate and public key differ")
		}
	}
	if public.Whpk != "" {
		if keys.Ed25519, err = signer.ParseWhpk(public.Whpk); err != nil {
			t.Error(err)
		}
	}
	if optionBool(m, optionHeaderSignature) {
		keys.Options[optionHeaderSignature] = "true"
	}
	return keys
}

// sendWith encodes the profile's sample with a key.
func sendWith(t testing.TB, p *Profile, m *store.Merchant, mat Material) CapturedRequest {
	t.Helper()
	_, n := sample(p)
	msg, err := Encode(p, Input{Notification: n, Merchant: m, Now: vectorTime, Keys: loadKeys(t, p, m, mat)})
	if err != nil {
		t.Fatalf("%s: %v", about(p, m), err)
	}
	return captured(msg)
}

// TestGeneratedVerifies: what is generated when a caller gives no key signs what its public half verifies,
// for every profile, sign_type and header signature; the key is taken back as it is, and lacks nothing.
func TestGeneratedVerifies(t *testing.T) {
	for _, p := range All() {
		for _, m := range settings(p) {
			made := newMaterial(t, p, m, Material{}, Material{})
			if _, err := Verify(p, sendWith(t, p, m, made), verifyKeys(t, m, made)); err != nil {
				t.Errorf("%s: %v", about(p, m), err)
			}
			if again := newMaterial(t, p, m, made, Material{}); again != made {
				t.Errorf("%s: a generated key is not taken back as it was", about(p, m))
			}
			if complete, err := Complete(p, m, made); err != nil || complete != made {
				t.Errorf("%s: a whole key is completed: %v", about(p, m), err)
			}
			if Signs(p, m) != (made != Material{}) {
				t.Errorf("%s: signs %t, key of %d bytes", about(p, m), Signs(p, m), len(made.Secret+made.PrivateKey))
			}
			if texts := made.Warnings(); len(texts) > 0 {
				t.Errorf("%s: a generated key is warned of: %q", about(p, m), texts)
			}
		}
	}
}

// TestGivenVerifies: the same with the keys that callers bring.
func TestGivenVerifies(t *testing.T) {
	for _, p := range All() {
		given, want := material(t, p)
		for _, m := range settings(p) {
			need := partsOf(p, m)
			brought := Material{Secret: given.Secret}
			if need.rsa {
				brought.PrivateKey = testKeys(t)["alipay_priv_pkcs1_b64"]
			}
			if need.whsk { // as callers bring it, beside no RSA key: there is one field
				brought.PrivateKey = " " + given.Whsk + "\n"
			}
			made := newMaterial(t, p, m, brought, Material{})
			keys := verifyKeys(t, m, made)
			if _, err := Verify(p, sendWith(t, p, m, made), keys); err != nil {
				t.Errorf("%s: %v", about(p, m), err)
			}
			if need.whsk && !keys.Ed25519.Equal(want.Ed25519) || !need.whsk && keys.Ed25519 != nil {
				t.Errorf("%s: another whpk", about(p, m))
			}
			if need.rsa && !need.whsk && !keys.PublicKey.Equal(publicKey(t, testKeys(t)["alipay_pub_pem"])) {
				t.Errorf("%s: another public key", about(p, m))
			}
			if need.secret && made.Secret != given.Secret {
				t.Errorf("%s: another secret", about(p, m))
			}
		}
	}
}

// TestRotationKeeps: a rotation renews what signs and keeps what serves something else, unless the caller
// gives that too.
func TestRotationKeeps(t *testing.T) {
	header := map[string]any{optionHeaderSignature: true}
	for _, p := range All() {
		for _, m := range settings(p) {
			need, withHeader := partsOf(p, m), optionBool(m, optionHeaderSignature)
			if p.Key == KeyRSA && withHeader {
				continue // the same key signs both
			}
			kept := wholeKey(t, p, m)
			fresh := newMaterial(t, p, m, Material{}, kept)
			keepsRSA := withHeader && (p.Key == KeySecret || p.Key == KeyWebhook)
			if need.rsa && (fresh.PrivateKey == kept.PrivateKey) != keepsRSA {
				t.Errorf("%s: RSA key kept: %t", about(p, m), !keepsRSA)
			}
			if need.secret && (fresh.Secret == kept.Secret) != (p.Key == KeyRSAAndSecret) {
				t.Errorf("%s: secret kept: %t", about(p, m), fresh.Secret == kept.Secret)
			}
			if need.whsk && fresh.Whsk == kept.Whsk {
				t.Errorf("%s: whsk_ key kept", about(p, m))
			}
			if _, err := Verify(p, sendWith(t, p, m, fresh), verifyKeys(t, m, fresh)); err != nil {
				t.Errorf("%s: after the rotation: %v", about(p, m), err)
			}
			if m.Options = nil; withHeader && !partsOf(p, m).rsa {
				if left := newMaterial(t, p, m, Material{}, kept); left.PrivateKey != "" {
					t.Errorf("%s: an RSA key that nothing needs is kept", about(p, m))
				}
			}
		}
		if p.Key != KeySecret && p.Key != KeyWebhook {
			continue
		}
		m, _ := sample(p)
		m.Options = header
		kept := wholeKey(t, p, m)
		if got := newMaterial(t, p, m, Material{PrivateKey: otherRSA(t)}, kept); got.PrivateKey != otherRSA(t) {
			t.Errorf("%s: a given RSA key does not take the place of the kept one", p.Name)
		}
	}
	for _, p := range All() {
		if p.Key != KeyRSAAndSecret {
			continue
		}
		m, _ := sample(p)
		given, _ := material(t, p)
		given.Serial = "PUB_KEY_ID_0116"
		kept := newMaterial(t, p, m, given, Material{})
		got := newMaterial(t, p, m, Material{PrivateKey: otherRSA(t)}, kept)
		if got.Secret != given.Secret || got.Serial != "" || got.PrivateKey != otherRSA(t) {
			t.Errorf("%s: the serial belongs to the key before: %q", p.Name, got.Serial)
		}
		const other = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
		if got := newMaterial(t, p, m, Material{Secret: other}, kept); got.Secret != other {
			t.Errorf("%s: a given secret does not take the place of the kept one", p.Name)
		}
	}
}

// TestCompleteAndLacks: an option or sign_type that asks for another signature is seen to lack its part, and
// completing adds just that.
func TestCompleteAndLacks(t *testing.T) {
	for _, p := range All() {
		for _, before := range settings(p) {
			have := wholeKey(t, p, before)
			key := storeKey(t, before, have)
			for _, after := range settings(p) {
				was, needs := partsOf(p, before), partsOf(p, after)
				lacks := needs.rsa && !was.rsa || needs.whsk && !was.whsk
				if got := Lacks(p, after, key); got != lacks {
					t.Errorf("%s, then %s: lacks %t", about(p, before), about(p, after), got)
				}
				complete, err := Complete(p, after, have)
				if err != nil {
					t.Fatal(err)
				}
				if (complete == have) == lacks {
					t.Errorf("%s, then %s: changed %t", about(p, before), about(p, after), complete != have)
				}
				for name, part := range map[string][2]string{
					"private_key": {have.PrivateKey, complete.PrivateKey}, "secret": {have.Secret, complete.Secret},
					"whsk": {have.Whsk, complete.Whsk},
				} {
					if part[0] != "" && part[0] != part[1] {
						t.Errorf("%s, then %s: %s became another", about(p, before), about(p, after), name)
					}
				}
				if Lacks(p, after, storeKey(t, after, complete)) {
					t.Errorf("%s, then %s: lacks something still", about(p, before), about(p, after))
				}
				if _, err := Verify(p, sendWith(t, p, after, complete), verifyKeys(t, after, complete)); err != nil {
					t.Errorf("%s, then %s: %v", about(p, before), about(p, after), err)
				}
			}
		}
	}
}

// storeKey is the key's record as it is stored.
func storeKey(t *testing.T, m *store.Merchant, mat Material) *store.Key {
	t.Helper()
	public, err := mat.Public(m.MchID, vectorTime)
	if err != nil {
		t.Fatal(err)
	}
	return &store.Key{
		PublicKey: public.PEM, Certificate: public.Certificate, Serial: public.Serial, Whpk: public.Whpk,
	}
}

// TestWebhookKeys: private_key is what it looks like, where two kinds of it are used, and is refused where
// the merchant would ignore it.
func TestWebhookKeys(t *testing.T) {
	keys := testKeys(t)
	whsk, whsec, pem := keys["whsk"], keys["whsec"], keys["alipay_priv_pem"]
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(whsk, "whsk_"))
	if err != nil {
		t.Fatal(err)
	}
	seed := "whsk_" + base64.StdEncoding.EncodeToString(raw[:ed25519.SeedSize])
	for _, c := range []struct {
		name, signType string
		header         bool
		given          Material
		want           string // what is refused; else private_key and whsk must be as follows
		pem, whsk      string // ? = generated
	}{
		{"none", "v1", false, Material{Secret: whsec}, "", "", ""},
		{"none, v1a", "v1a", false, Material{Secret: whsec}, "", "", "?"},
		{"whsk", "v1a", false, Material{PrivateKey: whsk}, "", "", whsk},
		{"seed", "v1a", false, Material{PrivateKey: seed}, "", "", whsk},
		{"whsk, header", "v1a", true, Material{PrivateKey: whsk}, "", "?", whsk},
		{"PEM, header", "v1", true, Material{PrivateKey: pem}, "", pem, ""},
		{"PEM, v1a and header", "v1a", true, Material{PrivateKey: pem}, "", pem, "?"},
		{"whsk with v1", "v1", false, Material{PrivateKey: whsk}, atPrivateKey, "", ""},
		{"whsk with v1 by default", "", false, Material{PrivateKey: whsk}, atPrivateKey, "", ""},
		{"whsk with v1 and header", "v1", true, Material{PrivateKey: whsk}, atPrivateKey, "", ""},
		{"PEM with v1", "v1", false, Material{PrivateKey: pem}, atPrivateKey, "", ""},
		{"PEM with v1a", "v1a", false, Material{PrivateKey: pem}, atPrivateKey, "", ""},
		{"whpk", "v1a", false, Material{PrivateKey: keys["whpk"]}, atPrivateKey, "", ""},
		{"whsk cut", "v1a", false, Material{PrivateKey: whsk[:60]}, atPrivateKey, "", ""},
		{"whsec as private key", "v1a", true, Material{PrivateKey: whsec}, atPrivateKey, "", ""},
		{"plain secret", "v1", false, Material{Secret: "topsecret-topsecret-topsecret-00"}, atSecret, "", ""},
		{"short whsec", "v1", false, Material{Secret: "whsec_dG9wc2VjcmV0"}, atSecret, "", ""},
		{"whsk as secret", "v1a", false, Material{Secret: whsk}, atSecret, "", ""},
		{"serial", "v1", true, Material{Serial: "AB"}, atSerial, "", ""},
		{
			"two faults", "v1", false,
			Material{PrivateKey: whsk, Secret: "x"},
			atPrivateKey + ", " + atSecret, "", "",
		},
	} {
		options := map[string]any{optionHeaderSignature: c.header}
		m := &store.Merchant{MchID: "m1", SignType: c.signType, Options: options}
		made, faults := NewMaterial(&standard, m, c.given, Material{})
		if got := located(faults); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		wantComplete(t, faults)
		wantNoKey(t, c.given, faults)
		if c.want != "" {
			if made != (Material{}) {
				t.Errorf("%s: refused, and made all the same", c.name)
			}
			continue
		}
		fits := func(got, want string) bool { return got == want || want == "?" && got != "" }
		if !fits(made.PrivateKey, c.pem) || !fits(made.Whsk, c.whsk) ||
			!fits(made.Secret, cmp.Or(c.given.Secret, "?")) {
			t.Errorf("%s: private_key %t, whsk %t", c.name, made.PrivateKey != "", made.Whsk != "")
		}
	}
}

// wantNoKey fails when eight characters in a row of a given key stand in a fault.
func wantNoKey(t *testing.T, given Material, faults []Fault) {
	t.Helper()
	const window = 8
	said, err := json.Marshal(faults)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{given.PrivateKey, given.Secret, given.Whsk} {
		for line := range strings.FieldsSeq(strings.ReplaceAll(text, "-", " ")) {
			for i := 0; i+window <= len(line); i++ {
				if bytes.Contains(said, []byte(line[i:i+window])) {
					t.Fatalf("%s shows part of the key", said)
				}
			}
		}
	}
}

// TestUnusableKeys: whatever part of a key a profile has no use for, or cannot read, is refused by name, and
// nothing of it is said.
func TestUnusableKeys(t *testing.T) {
	keys := testKeys(t)
	for _, p := range All() {
		m, _ := sample(p)
		need := partsOf(p, m)
		for _, c := range []struct {
			given Material
			used  bool
			at    string
		}{
			{Material{PrivateKey: keys["alipay_priv_pem"]}, need.rsa, atPrivateKey},
			{Material{PrivateKey: keys["alipay_priv_b64"][:900]}, false, atPrivateKey},
			{Material{PrivateKey: keys["alipay_pub_pem"]}, false, atPrivateKey},
			{Material{PrivateKey: keys["whsk"]}, false, atPrivateKey},
			{Material{PrivateKey: "\n"}, false, atPrivateKey},
			{Material{Secret: keys["whsec"]}, need.secret && p.Key != KeyRSAAndSecret, atSecret},
			{Material{Secret: keys["whsec"] + "\t"}, false, atSecret},
			{Material{Secret: "two\nlines of topsecret"}, false, atSecret},
			{Material{Secret: strings.Repeat("topsecret", 30)}, false, atSecret},
			{Material{Serial: "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"}, p.Key == KeyRSAAndSecret, atSerial},
			{Material{Serial: "PUB_KEY_ID_0114232134912410000000000000"}, p.Key == KeyRSAAndSecret, atSerial},
			{Material{Serial: "PUB_KEY_ID_"}, false, atSerial},
			{Material{Serial: "5157f09e"}, false, atSerial},
			{Material{Serial: strings.Repeat("A", 65)}, false, atSerial},
			{Material{Serial: "A\r\nB: c"}, false, atSerial},
		} {
			made, faults := NewMaterial(p, m, c.given, Material{})
			wantNoKey(t, c.given, faults)
			wantComplete(t, faults)
			want := c.at
			if c.used {
				want = ""
			}
			if got := located(faults); got != want || (made == Material{}) != (want != "") {
				t.Errorf("%s: %s given: got %q, want %q", p.Name, c.at, got, want)
			}
		}
	}
}

// TestHeaderKeyIsTaken: options.header_signature makes every profile take an RSA key, and the key is used.
func TestHeaderKeyIsTaken(t *testing.T) {
	for _, p := range All() {
		m, _ := sample(p)
		m.Options = map[string]any{optionHeaderSignature: true}
		made := newMaterial(t, p, m, Material{PrivateKey: otherRSA(t)}, Material{})
		keys := verifyKeys(t, m, made)
		if !keys.PublicKey.Equal(publicKey(t, testKeys(t)["generic_pub_pem"])) {
			t.Errorf("%s: the given key is not the one in use", p.Name)
		}
		req := sendWith(t, p, m, made)
		if _, err := Verify(p, req, keys); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		keys.PublicKey = publicKey(t, testKeys(t)["alipay_pub_pem"])
		_, err := Verify(p, req, keys)
		breaks(t, err, RuleSignature, p.Name+" with another public key")
		req.Header = slices.DeleteFunc(slices.Clone(req.Header), func(h Header) bool {
			return h.Name == headerSignature
		})
		keys.PublicKey = publicKey(t, testKeys(t)["generic_pub_pem"])
		_, err = Verify(p, req, keys)
		breaks(t, err, RuleMissing, p.Name+" without the header")
	}
}

// FuzzNewMaterial gives whatever comes: a key that is taken signs what verifies and is taken back as it is,
// and a refusal names a field and its cure.
func FuzzNewMaterial(f *testing.F) {
	keys := testKeys(f)
	for i, p := range All() {
		given, _ := material(f, p)
		f.Add(uint8(i), uint8(0), given.PrivateKey+given.Whsk, given.Secret, "")
	}
	f.Add(uint8(5), uint8(3), keys["alipay_priv_pem"], keys["whsec"], "PUB_KEY_ID_01")
	f.Add(uint8(4), uint8(0), keys["alipay_priv_b64"][:100], "0123456789abcdef0123456789abcdef", "FF")
	profiles := All()
	f.Fuzz(func(t *testing.T, which, how uint8, privateKey, secret, serial string) {
		p := profiles[int(which)%len(profiles)]
		ways := settings(p)
		m := ways[int(how)%len(ways)]
		kept := Material{PrivateKey: keys["alipay_priv_pem"]} // so that none is generated, which takes long
		given := Material{PrivateKey: privateKey, Secret: secret, Serial: serial}
		if given.PrivateKey == "" && partsOf(p, m).rsa {
			given.PrivateKey = kept.PrivateKey
		}
		made, faults := NewMaterial(p, m, given, kept)
		if len(faults) > 0 {
			wantComplete(t, faults)
			if made != (Material{}) {
				t.Error("refused, and made all the same")
			}
			return
		}
		if again, faults := NewMaterial(p, m, made, kept); again != made {
			t.Errorf("not taken back as it was made: %+v", faults)
		}
		if !Signs(p, m) {
			return
		}
		if _, err := Verify(p, sendWith(t, p, m, made), verifyKeys(t, m, made)); err != nil {
			t.Errorf("%s: %v", about(p, m), err)
		}
	})
}

// TestMaterialIsNotShown: a seed of randomness in each part, which no refusal of a broken copy may show.
func TestMaterialIsNotShown(t *testing.T) {
	var junk [48]byte
	if _, err := rand.Read(junk[:]); err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(junk[:])
	for _, p := range All() {
		for _, m := range settings(p) {
			for _, given := range []Material{
				{PrivateKey: text},
				{PrivateKey: "whsk_" + text},
				{PrivateKey: "whsk_" + text[1:]},
				{PrivateKey: "-----BEGIN PRIVATE KEY-----\n" + text + "\n-----END PRIVATE KEY-----\n"},
				{Secret: "whsec_" + text[1:] + " "},
				{Secret: text + "\x01"},
				{Serial: text},
			} {
				_, faults := NewMaterial(p, m, given, Material{})
				if len(faults) == 0 {
					t.Errorf("%s: junk was taken", about(p, m))
				}
				wantNoKey(t, given, faults)
			}
		}
	}
}
