package profile

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"paynotify/signer"
	"paynotify/store"
)

// Material is what a merchant's key holds before it is sealed, and what a caller gives as `key`.
type Material struct {
	// PrivateKey is an RSA key: PEM, or bare base64 of it. What a caller gives for Standard Webhooks may begin
	// with whsk_ instead, and is kept as Whsk.
	PrivateKey string `json:"private_key,omitempty"`
	Secret     string `json:"secret,omitempty"`
	Serial     string `json:"serial,omitempty"` // of the certificate, where it is not the derived one
	Whsk       string `json:"whsk,omitempty"`   // Ed25519, for v1a of Standard Webhooks
}

// Where the parts of a key stand in a request.
const (
	atPrivateKey = "body.key.private_key"
	atSecret     = "body.key.secret"
	atSerial     = "body.key.serial"
)

const (
	secretBytesMax = 256 // no provider issues more than 128
	serialBytesMax = 64  // PUB_KEY_ID_ and 34 digits, or 40 hex digits
)

// parts says which parts of a key a merchant signs with, and which of them a rotation keeps unless the caller
// gives new ones: those that serve something else than the signature that is rotated.
type parts struct{ rsa, secret, whsk, keepRSA, keepSecret bool }

func partsOf(p *Profile, m *store.Merchant) parts {
	var need parts
	switch p.Key {
	case KeyRSA:
		need.rsa = true
	case KeySecret:
		need.secret = true
	case KeyRSAAndSecret: // the secret encrypts; the receiver's other certificates live on with it
		need.rsa, need.secret, need.keepSecret = true, true, true
	case KeyWebhook:
		need.secret, need.whsk = true, signTypeOf(m, p.SignTypes) == signV1a
	case KeyNone:
	}
	if optionBool(m, optionHeaderSignature) && !need.rsa {
		need.rsa, need.keepRSA = true, p.Key != KeyNone
	}
	return need
}

// NewMaterial checks what a caller gave for a merchant's key, and generates what the merchant's settings need
// and the caller left out. kept is the key that it follows, of which a rotation changes only what signs. A
// private key comes back as PKCS #8 PEM. No fault contains a byte of a key.
func NewMaterial(p *Profile, m *store.Merchant, given, kept Material) (Material, []Fault) {
	need := partsOf(p, m)
	if p.Key == KeyWebhook && given.PrivateKey != "" &&
		(!need.rsa || strings.HasPrefix(strings.TrimSpace(given.PrivateKey), "wh")) {
		given.PrivateKey, given.Whsk = "", given.PrivateKey
	}
	faults := unneeded(p, need, given)
	check := func(fault *Fault) {
		if fault != nil {
			faults = append(faults, *fault)
		}
	}
	made := Material{Serial: strings.TrimSpace(given.Serial)}
	var fault *Fault
	if need.rsa && given.PrivateKey != "" {
		made.PrivateKey, fault = privatePEM(given.PrivateKey)
		check(fault)
	}
	if need.secret && given.Secret != "" {
		made.Secret, fault = secretOf(p, given.Secret)
		check(fault)
	}
	if need.whsk && given.Whsk != "" {
		made.Whsk, fault = whskOf(given.Whsk)
		check(fault)
	}
	if p.Key == KeyRSAAndSecret && made.Serial != "" {
		check(serialFault(made.Serial))
	}
	if len(faults) > 0 {
		return Material{}, faults
	}
	if need.keepRSA {
		made.PrivateKey = cmp.Or(made.PrivateKey, kept.PrivateKey)
	}
	if need.keepSecret {
		made.Secret = cmp.Or(made.Secret, kept.Secret)
	}
	made, err := Complete(p, m, made)
	if err != nil {
		return Material{}, []Fault{{Location: "body.key", Message: err.Error(), Cure: "try again, or give a key"}}
	}
	return made, nil
}

// Complete generates the parts of a key that the merchant's settings need and that are not there, as when an
// option asks for another signature.
func Complete(p *Profile, m *store.Merchant, have Material) (Material, error) {
	need := partsOf(p, m)
	if need.rsa && have.PrivateKey == "" {
		key, err := signer.GenerateRSA()
		if err != nil {
			return Material{}, err
		}
		if have.PrivateKey, err = signer.PrivatePEM(key); err != nil {
			return Material{}, err
		}
	}
	if need.secret && have.Secret == "" {
		have.Secret = p.generateSecret()
	}
	if need.whsk && have.Whsk == "" {
		key, err := signer.GenerateEd25519()
		if err != nil {
			return Material{}, err
		}
		have.Whsk = signer.FormatWhsk(key)
	}
	return have, nil
}

// Lacks reports whether the merchant's settings need a part that its key, known by its public half, has not.
func Lacks(p *Profile, m *store.Merchant, k *store.Key) bool {
	need := partsOf(p, m)
	return need.rsa && k.PublicKey == "" || need.whsk && k.Whpk == ""
}

// Signs reports whether anything of the merchant's messages is signed.
func Signs(p *Profile, m *store.Merchant) bool { return partsOf(p, m) != parts{} }

func (p *Profile) generateSecret() string {
	if p.Secret.Generate != nil {
		return p.Secret.Generate()
	}
	return signer.GenerateSecret()
}

// unneeded refuses key parts that the merchant would ignore: whoever gives one expects it to be used.
func unneeded(p *Profile, need parts, given Material) (faults []Fault) {
	refuse := func(location, what, cure string) {
		faults = append(faults, Fault{
			Location: location, Message: fmt.Sprintf("profile %s does not use %s", p.Name, what), Cure: cure,
		})
	}
	const cure = "leave it out, or take a profile that signs with it"
	if given.PrivateKey != "" && !need.rsa {
		refuse(atPrivateKey, "a private key", cure+"; options.header_signature does with every profile")
	}
	if given.Whsk != "" && !need.whsk {
		refuse(atPrivateKey, "a private key with sign_type v1",
			"leave it out, or set sign_type to v1a for a whsk_ key, or options.header_signature for an RSA one")
	}
	if given.Secret != "" && !need.secret {
		refuse(atSecret, "a secret", cure)
	}
	if given.Serial != "" && p.Key != KeyRSAAndSecret {
		refuse(atSerial, "a serial", cure)
	}
	return faults
}

func privatePEM(given string) (string, *Fault) {
	key, err := signer.ParsePrivateKey(given)
	if err == nil {
		err = signer.CheckRSA(&key.PublicKey)
	}
	if err != nil {
		return "", keyFault(atPrivateKey, err)
	}
	pem, err := signer.PrivatePEM(key)
	if err != nil {
		return "", keyFault(atPrivateKey, err)
	}
	return pem, nil
}

func whskOf(given string) (string, *Fault) {
	key, err := signer.ParseWhsk(given)
	if err != nil {
		return "", keyFault(atPrivateKey, err)
	}
	return signer.FormatWhsk(key), nil
}

func keyFault(location string, err error) *Fault {
	f := Fault{Location: location, Message: "the key cannot be used", Cure: "give another key"}
	if k := (*signer.KeyError)(nil); errors.As(err, &k) {
		f.Message, f.Cure = k.Message, k.Cure
	}
	return &f
}

// secretOf strips the line end that editors and `echo` leave behind a secret: nobody means it.
func secretOf(p *Profile, given string) (string, *Fault) {
	secret := strings.TrimSuffix(strings.TrimSuffix(given, "\n"), "\r")
	fault := func(message, cure string) (string, *Fault) {
		return "", &Fault{Location: atSecret, Message: message, Cure: cure}
	}
	switch {
	case secret == "":
		return fault("the secret is empty", "give the secret, or leave it out to have one generated")
	case len(secret) > secretBytesMax:
		return fault(fmt.Sprintf("the secret has %d bytes", len(secret)),
			fmt.Sprintf("give at most %d bytes", secretBytesMax))
	case strings.ContainsFunc(secret, unicode.IsControl):
		return fault("the secret holds a control character", "give it as one line of text")
	case strings.TrimSpace(secret) != secret:
		return fault("the secret begins or ends with a blank", "take the blanks off")
	}
	if p.Secret.Check != nil {
		if err := p.Secret.Check(secret); err != nil {
			return "", keyFault(atSecret, err)
		}
	}
	return secret, nil
}

// serialFault checks what Wechatpay-Serial will say: a certificate's serial number, or a public key's id.
func serialFault(serial string) *Fault {
	digits := strings.TrimPrefix(serial, "PUB_KEY_ID_")
	ok := digits != "" && len(serial) <= serialBytesMax
	for i := range len(digits) {
		c := digits[i]
		ok = ok && (c >= '0' && c <= '9' || c >= 'A' && c <= 'F')
	}
	if ok {
		return nil
	}
	return &Fault{
		Location: atSerial, Message: "it is neither a certificate's serial number nor a public key's id",
		Cure: "give upper-case hex digits, or PUB_KEY_ID_ and digits, or leave it out",
	}
}

// Warnings names what is weak in a key that is good enough to be taken.
func (m Material) Warnings() []string {
	const weak = 16 // bytes; an attacker who sees one notification can try shorter secrets offline
	if m.Secret != "" && len(m.Secret) < weak {
		return []string{fmt.Sprintf("the secret has fewer than %d characters: rotate to a generated one", weak)}
	}
	return nil
}

// KeyWarnings are the key's own warnings, and what is unusual in it for the profile.
func (p *Profile) KeyWarnings(m Material) []string {
	texts := m.Warnings()
	if n := utf8.RuneCountInString(m.Secret); n > 0 && p.Secret.Chars > 0 && n != p.Secret.Chars {
		texts = append(texts, fmt.Sprintf("the secret has %d characters; those of %s have %d, and some tools"+
			" refuse others", n, p.Name, p.Secret.Chars))
	}
	return texts
}

// PublicHalf is what everybody may know of a key; what it does not hold is empty.
type PublicHalf struct {
	PEM         string // SubjectPublicKeyInfo of the RSA key
	Certificate string // PEM, self-signed
	Serial      string // of the certificate, or what key.serial said
	Whpk        string // the Ed25519 key of v1a
}

// Public is the public half of a key, with a self-signed certificate named after the merchant, valid from the
// given instant.
func (m Material) Public(mchID string, at time.Time) (v PublicHalf, err error) {
	k, err := m.parse()
	if err != nil {
		return v, fmt.Errorf("key of merchant %s: %w", mchID, err)
	}
	if k.ed25519 != nil {
		v.Whpk = signer.FormatWhpk(k.ed25519.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // by its doc
	}
	if k.private == nil {
		return v, nil
	}
	if v.PEM, err = signer.PublicPEM(&k.private.PublicKey); err != nil {
		return PublicHalf{}, err
	}
	if v.Certificate, v.Serial, err = signer.SelfSigned(k.private, mchID, at); err != nil {
		return PublicHalf{}, err
	}
	v.Serial = cmp.Or(m.Serial, v.Serial)
	return v, nil
}

// parse reads the parts.
func (m Material) parse() (k parsedKey, err error) {
	k.secret = []byte(m.Secret)
	if m.PrivateKey != "" {
		if k.private, err = signer.ParsePrivateKey(m.PrivateKey); err != nil {
			return k, err
		}
		if k.serial, err = serialOf(m, k.private); err != nil {
			return k, err
		}
	}
	if m.Whsk != "" {
		k.ed25519, err = signer.ParseWhsk(m.Whsk)
	}
	return k, err
}

func serialOf(m Material, key *rsa.PrivateKey) (string, error) {
	if m.Serial != "" {
		return m.Serial, nil
	}
	return signer.SerialOf(&key.PublicKey)
}
