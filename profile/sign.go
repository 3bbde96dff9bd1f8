package profile

import (
	"errors"
	"fmt"

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

// sign signs a canonical text with the key in force at the instant of the send.
func (k *Keys) sign(in Input, signType string, text []byte) (string, error) {
	key := k.at(in.Now)
	switch {
	case key == nil:
		return "", errNoKey
	case signType == "MD5" && len(key.secret) > 0:
		return signer.MD5Key(text, key.secret), nil
	case signType == "RSA2" && key.private != nil:
		return signer.SignRSA2(key.private, text)
	case signType == "RSA" && key.private != nil:
		return signer.SignRSA1(key.private, text)
	}
	return "", fmt.Errorf("the merchant's key does not fit sign_type %s", signType)
}

// signTypeOf is the merchant's sign_type, the first of the dialect's by default.
func signTypeOf(m *store.Merchant, types []string) string {
	if m.SignType == "" && len(types) > 0 {
		return types[0]
	}
	return m.SignType
}
