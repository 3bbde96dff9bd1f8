package profile

import (
	"cmp"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"paynotify/signer"
	"paynotify/store"
)

// Material is what a merchant's key holds before it is sealed, and what a caller gives as `key`.
type Material struct {
	PrivateKey string `json:"private_key,omitempty"` // RSA: PEM, or bare base64 of it
	Secret     string `json:"secret,omitempty"`
	Serial     string `json:"serial,omitempty"` // of the certificate, where it is not the derived one
}

// Where the parts of a key stand in a request.
const (
	atPrivateKey = "body.key.private_key"
	atSecret     = "body.key.secret"
	atSerial     = "body.key.serial"
)

const secretBytesMax = 256 // no provider issues more than 128

// NewMaterial checks what a caller gave for a merchant's key, and generates what the profile needs and the
// caller left out. A private key comes back as PKCS #8 PEM. No fault contains a byte of a key.
func NewMaterial(p *Profile, _ *store.Merchant, given Material) (Material, []Fault) {
	faults := unneeded(p, given)
	var made Material
	switch p.Key {
	case KeyRSA:
		pem, fault := privatePEM(given.PrivateKey)
		if fault != nil {
			faults = append(faults, *fault)
		}
		made.PrivateKey = pem
	case KeySecret:
		secret, fault := secretOf(given.Secret)
		if fault != nil {
			faults = append(faults, *fault)
		}
		made.Secret = secret
	case KeyNone:
	}
	if len(faults) > 0 {
		return Material{}, faults
	}
	return made, nil
}

// unneeded refuses key parts that the profile would ignore: whoever gives one expects it to be used.
func unneeded(p *Profile, given Material) (faults []Fault) {
	refuse := func(location, what string) {
		faults = append(faults, Fault{
			Location: location,
			Message:  fmt.Sprintf("profile %s does not use %s", p.Name, what),
			Cure:     "leave it out, or take a profile that signs with it",
		})
	}
	if given.PrivateKey != "" && p.Key != KeyRSA {
		refuse(atPrivateKey, "a private key")
	}
	if given.Secret != "" && p.Key != KeySecret {
		refuse(atSecret, "a secret")
	}
	if given.Serial != "" {
		refuse(atSerial, "a serial")
	}
	return faults
}

func privatePEM(given string) (string, *Fault) {
	var (
		key *rsa.PrivateKey
		err error
	)
	if given == "" {
		key, err = signer.GenerateRSA()
	} else if key, err = signer.ParsePrivateKey(given); err == nil {
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

func keyFault(location string, err error) *Fault {
	f := Fault{Location: location, Message: "the key cannot be used", Cure: "give another key"}
	if k := (*signer.KeyError)(nil); errors.As(err, &k) {
		f.Message, f.Cure = k.Message, k.Cure
	}
	return &f
}

// secretOf strips the line end that editors and `echo` leave behind a secret: nobody means it.
func secretOf(given string) (string, *Fault) {
	if given == "" {
		return signer.GenerateSecret(), nil
	}
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
	return secret, nil
}

// Warnings names what is weak in a key that is good enough to be taken.
func (m Material) Warnings() []string {
	const weak = 16 // bytes; an attacker who sees one notification can try shorter secrets offline
	if m.Secret != "" && len(m.Secret) < weak {
		return []string{fmt.Sprintf("the secret has fewer than %d characters: rotate to a generated one", weak)}
	}
	return nil
}

// Public is what everybody may know of a key: for RSA the public key as PEM and as one line of base64, and a
// self-signed certificate named after the merchant, valid from the given instant, with its serial. All are
// empty for a secret.
func (m Material) Public(p *Profile, mchID string, at time.Time) (pem, base64Line, certificate, serial string,
	err error,
) {
	if p.Key != KeyRSA {
		return "", "", "", "", nil
	}
	key, err := signer.ParsePrivateKey(m.PrivateKey)
	if err != nil {
		return "", "", "", "", fmt.Errorf("private key of merchant %s: %w", mchID, err)
	}
	if pem, err = signer.PublicPEM(&key.PublicKey); err != nil {
		return "", "", "", "", err
	}
	if base64Line, err = signer.PublicBase64(&key.PublicKey); err != nil {
		return "", "", "", "", err
	}
	certificate, serial, err = signer.SelfSigned(key, mchID, at)
	return pem, base64Line, certificate, cmp.Or(m.Serial, serial), err
}

// Keys are a merchant's keys, parsed: made once per revision of the merchant, safe for concurrent use.
type Keys struct {
	keys []parsedKey // newest first
}

type parsedKey struct {
	from, until time.Time // zero = no bound
	private     *rsa.PrivateKey
	secret      []byte
}

// LoadKeys parses the opened material of a merchant's keys: ms[i] belongs to m.Keys[i], whose time of service
// it gets. Given fewer than the merchant has, the caller has picked them: they serve at any time. A profile
// that signs nothing needs none.
func LoadKeys(p *Profile, m *store.Merchant, ms []Material) (*Keys, error) {
	loaded := &Keys{keys: make([]parsedKey, 0, len(ms))}
	for i, material := range ms {
		var k parsedKey
		if len(ms) == len(m.Keys) {
			k.from, k.until = m.Keys[i].From, m.Keys[i].Until
		}
		k.secret = []byte(material.Secret)
		if material.PrivateKey != "" {
			key, err := signer.ParsePrivateKey(material.PrivateKey)
			if err != nil {
				return nil, fmt.Errorf("private key of merchant %s: %w", m.MchID, err)
			}
			k.private = key
		}
		loaded.keys = append(loaded.keys, k)
	}
	if p.Key != KeyNone && len(loaded.keys) == 0 {
		return nil, fmt.Errorf("merchant %s: %w", m.MchID, errNoKey)
	}
	return loaded, nil
}

// at is the newest key in force at an instant, nil when there is none.
func (k *Keys) at(now time.Time) *parsedKey {
	if k == nil {
		return nil
	}
	for i := range k.keys {
		key := &k.keys[i]
		if !now.Before(key.from) && (key.until.IsZero() || now.Before(key.until)) {
			return key
		}
	}
	return nil
}
