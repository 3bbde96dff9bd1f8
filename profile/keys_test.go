package profile

import (
	"crypto/rand"
	"crypto/rsa"
	"regexp"
	"strings"
	"testing"
	"time"

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
	_, err := LoadKeys(&alipay, m, []Material{{PrivateKey: "c2VjcmV0"}})
	if err == nil || strings.Contains(err.Error(), "c2Vjc") {
		t.Errorf("a broken key: %v", err)
	}
	if _, err := LoadKeys(&form, m, nil); err != nil {
		t.Error(err)
	}
}
