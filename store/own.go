package store

import (
	"encoding/json"
	"fmt"
)

// OwnTLS are a merchant's own TLS settings, as Merchant.TLS keeps them. The zero value sets nothing.
type OwnTLS struct {
	CA         string `json:"ca,omitempty"`          // PEM
	ClientCert string `json:"client_cert,omitempty"` // PEM
	ClientKey  []byte `json:"client_key,omitempty"`  // sealed with MchID and OwnTLSKeyID
	PinSHA256  string `json:"pin_sha256,omitempty"`
}

// OwnTLSKeyID is the keyring's id of a merchant's client key.
const OwnTLSKeyID = "tls"

// HeaderKeyID is the keyring's id of the value of one of a merchant's own headers.
func HeaderKeyID(name string) string { return "header:" + name }

// OwnTLS reads the merchant's own TLS settings; none are the zero value. It fails for what SetOwnTLS did not
// write.
func (m *Merchant) OwnTLS() (t OwnTLS, err error) {
	if len(m.TLS) == 0 {
		return t, nil
	}
	if json.Unmarshal(m.TLS, &t) != nil { // its error could quote the settings
		return OwnTLS{}, fmt.Errorf("merchant %s: its tls settings cannot be read", m.MchID)
	}
	return t, nil
}

// SetOwnTLS replaces the merchant's own TLS settings.
func (m *Merchant) SetOwnTLS(t OwnTLS) {
	m.TLS = nil
	if text, _ := json.Marshal(t); string(text) != "{}" { // texts and bytes: it cannot fail
		m.TLS = text
	}
}
