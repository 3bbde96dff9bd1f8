package profile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"paynotify/signer"
	"paynotify/store"
)

// errNoKey says that a merchant has no key in force at the instant of the send.
var errNoKey = errors.New("the merchant has no key in force: rotate its key")

// Header lists are shared by all messages of a dialect and never changed.
var (
	formHeader     = []Header{{"Content-Type", "application/x-www-form-urlencoded"}}
	formHeaderUTF8 = []Header{{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}}
	formHeaderGBK  = []Header{{"Content-Type", "application/x-www-form-urlencoded; charset=GBK"}}
)

// signedForm turns fields in sending order into a signed form POST; `sign` comes last.
func signedForm(in Input, fields []Field, charset, signType string) (Message, error) {
	header := formHeaderUTF8
	if charset == charsetGBK {
		if err := toGBK(fields); err != nil {
			return Message{}, err
		}
		header = formHeaderGBK
	}
	text := canonical(fields)
	sign, err := in.Keys.sign(in, signType, text)
	if err != nil {
		return Message{}, err
	}
	fields = append(fields, Field{"sign", sign})
	return Message{Method: "POST", Header: header, Body: formBody(fields), StringToSign: text}, nil
}

// The ways of signing that Keys.sign knows, by the names that merchants' settings use.
const (
	signRSA2       = "RSA2"
	signRSA        = "RSA"
	signMD5        = "MD5"
	signHMACSHA256 = "HMAC-SHA256"
)

// The sign types of Standard Webhooks, of which Stripe has the first as well.
const (
	signV1  = "v1"
	signV1a = "v1a" // sends both
)

// sign signs a text with the key in force at the instant of the send: RSA in base64, MD5 and HMAC in
// lower-case hex. Both of the latter cover the secret behind the text, which WeChat's HMAC wants as well.
func (k *Keys) sign(in Input, signType string, text []byte) (string, error) {
	key := k.at(in.Now)
	if key == nil {
		return "", errNoKey
	}
	text = k.signed(text)
	switch {
	case signType == signMD5 && len(key.secret) > 0:
		return signer.MD5Key(text, key.secret), nil
	case signType == signHMACSHA256 && len(key.secret) > 0:
		return hex.EncodeToString(signer.HMACSHA256(key.secret, append(slices.Clip(text), key.secret...))), nil
	case signType == signRSA2 && key.private != nil:
		return signer.SignRSA2(key.private, text)
	case signType == signRSA && key.private != nil:
		return signer.SignRSA1(key.private, text)
	}
	return "", errNotFit(signType)
}

func errNotFit(signType string) error {
	return fmt.Errorf("the merchant's key does not fit sign_type %s", signType)
}

// macs are the HMAC-SHA256 of a text with each key in force at an instant, the newest first.
func (k *Keys) macs(now time.Time, text []byte) ([][]byte, error) {
	inForce := k.inForce(now)
	if len(inForce) == 0 {
		return nil, errNoKey
	}
	macs := make([][]byte, 0, len(inForce))
	for _, key := range inForce {
		if len(key.secret) == 0 { // anybody could make it
			return nil, errNotFit(signV1)
		}
		macs = append(macs, signer.HMACSHA256(key.secret, k.signed(text)))
	}
	return macs, nil
}

// ed25519 is the Ed25519 signature of a text with one of the keys, in base64.
func (k *Keys) ed25519(key *parsedKey, text []byte) string {
	return signer.SignEd25519(key.ed25519, k.signed(text))
}

// signed is what is signed in place of a text: the text itself, and for a probe another one.
func (k *Keys) signed(text []byte) []byte {
	if !k.probe {
		return text
	}
	return append(slices.Clip(text), "PAYNOTIFY/SIGNTEST/"...)
}

// signTypeOf is the merchant's sign_type, the first of the dialect's by default.
func signTypeOf(m *store.Merchant, types []string) string {
	if m.SignType == "" && len(types) > 0 {
		return types[0]
	}
	return m.SignType
}
