package api

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/signer/keyring"
	"paynotify/store"
)

// Masked stands in answers for what is never shown: the values of a merchant's own headers.
const Masked = "••••"

// TLSRequest are a merchant's own TLS settings; what is left out stays as it is, null takes it away.
type TLSRequest struct {
	CA         string `json:"ca,omitempty" doc:"PEM; verifies its server in place of the system's roots"`
	ClientCert string `json:"client_cert,omitempty" doc:"PEM, with intermediates; shown to a server that asks"`
	ClientKey  string `json:"client_key,omitempty" doc:"PEM, without passphrase; sealed, and never shown"`
	PinSHA256  string `json:"pin_sha256,omitempty" doc:"SHA-256 of a public key of the verified chain"`
}

// TLSView are a merchant's own TLS settings, without the client key.
type TLSView struct {
	CA         *string `json:"ca"`
	ClientCert *string `json:"client_cert"`
	PinSHA256  *string `json:"pin_sha256"`
}

var tlsNames = []string{"ca", "client_cert", "client_key", "pin_sha256"}

// ownEdit is a merge patch over what a merchant adds to every connection and request. It is apart from the
// other changes because it seals, and so needs the keyring.
type ownEdit struct {
	dropTLS     bool
	tls         map[string]string // by member; empty = taken away
	dropHeaders bool
	headers     []headerEdit
}

type headerEdit struct {
	name  string
	value *string // nil = taken away
}

func (e *ownEdit) readTLS(r *reader) {
	if e.dropTLS = r.null(); e.dropTLS {
		return
	}
	e.tls = map[string]string{}
	r.object("body.tls", tlsNames, func(name string) { e.tls[name] = r.optionalText("body.tls." + name) })
}

func (e *ownEdit) readHeaders(r *reader) {
	if e.dropHeaders = r.null(); e.dropHeaders {
		return
	}
	r.members("body.headers", func(name string) {
		at := profile.HeaderAt(name)
		if slices.ContainsFunc(e.headers, func(h headerEdit) bool { return strings.EqualFold(h.name, name) }) {
			r.fault(at, "the header stands here twice", "give it once: letter case does not count in header names")
			r.skip()
			return
		}
		h := headerEdit{name: name}
		if !r.null() {
			before := len(r.faults)
			value := r.text(at)
			h.value = &value
			if message, cure := headerValueFault(value); message != "" && len(r.faults) == before {
				r.fault(at, message, cure)
			}
		}
		e.headers = append(e.headers, h)
	})
}

func headerValueFault(value string) (message, cure string) {
	if value == Masked {
		return "it is what answers show in place of the value",
			"give the value, or leave the header out to keep the one it has"
	}
	return profile.CheckHeaderValue(value)
}

// applyOwn makes the changes; nothing is sealed for a merchant that will be refused anyway.
func (s *Service) applyOwn(
	faults []profile.Fault, m *store.Merchant, e *ownEdit,
) ([]profile.Fault, *Problem) {
	if len(faults) > 0 {
		return faults, nil
	}
	if e.dropTLS {
		m.TLS = nil
	}
	if len(e.tls) > 0 {
		fault, err := s.applyTLS(m, e.tls)
		switch {
		case err != nil:
			return faults, asProblem(fmt.Errorf("merchant %s: %w", m.MchID, err))
		case fault != nil:
			faults = append(faults, *fault)
		}
	}
	if !e.dropHeaders && len(e.headers) == 0 {
		return faults, nil
	}
	headers := map[string]string{}
	if !e.dropHeaders {
		maps.Copy(headers, m.Headers)
	}
	for _, h := range e.headers {
		maps.DeleteFunc(headers, func(have, _ string) bool { return strings.EqualFold(have, h.name) })
		if h.value == nil {
			continue
		}
		sealed, err := s.Ring.Seal(m.MchID, store.HeaderKeyID(h.name), []byte(*h.value))
		if err != nil {
			return faults, asProblem(err)
		}
		headers[h.name] = base64.StdEncoding.EncodeToString(sealed)
	}
	if m.Headers = headers; len(headers) == 0 {
		m.Headers = nil
	}
	return append(faults, headersSizeFault(headers)...), nil
}

// applyTLS changes the settings and checks what they are then: a certificate is of no use without its key.
func (s *Service) applyTLS(m *store.Merchant, given map[string]string) (*profile.Fault, error) {
	t, err := m.OwnTLS()
	if err != nil {
		return nil, err
	}
	members := map[string]*string{"ca": &t.CA, "client_cert": &t.ClientCert, "pin_sha256": &t.PinSHA256}
	for name, to := range members {
		if v, changed := given[name]; changed {
			*to = v
		}
	}
	key, changed := given["client_key"]
	if !changed && t.ClientKey != nil {
		plain, err := s.Ring.Open(m.MchID, store.OwnTLSKeyID, t.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client key: %w", err)
		}
		key = string(plain)
	}
	if _, err := egress.ParseTLS(t.CA, t.ClientCert, key, t.PinSHA256); err != nil {
		wrong := (*egress.TLSFieldError)(nil)
		if !errors.As(err, &wrong) {
			return nil, err
		}
		return &profile.Fault{
			Location: "body.tls." + wrong.Field, Message: wrong.Message, Cure: wrong.Cure,
		}, nil
	}
	// Whatever else stood in the texts, a broken key for instance, is neither kept nor shown.
	t.CA, t.ClientCert = certificatesOf(t.CA), certificatesOf(t.ClientCert)
	switch {
	case changed && key == "":
		t.ClientKey = nil
	case changed:
		if t.ClientKey, err = s.Ring.Seal(m.MchID, store.OwnTLSKeyID, []byte(key)); err != nil {
			return nil, err
		}
	}
	m.SetOwnTLS(t)
	return nil, nil //nolint:nilnil // nothing is wrong
}

// certificatesOf is the certificates of a PEM text and nothing else.
func certificatesOf(text string) string {
	var out strings.Builder
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
	}
	return out.String()
}

// certificateWarning is how long before its end a client certificate is warned of: most are renewed monthly.
const certificateWarning = 30 * 24 * time.Hour

// tlsWarnings says when the client certificate ends: from then on no send succeeds.
func tlsWarnings(t *TLSView, now time.Time) []string {
	if t == nil || t.ClientCert == nil {
		return nil
	}
	block, _ := pem.Decode([]byte(*t.ClientCert))
	if block == nil {
		return nil
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil || c.NotAfter.Sub(now) > certificateWarning {
		return nil
	}
	verb := "ends"
	if c.NotAfter.Before(now) {
		verb = "has ended"
	}
	at := c.NotAfter.UTC().Format(time.RFC3339)
	return []string{"tls.client_cert " + verb + " at " + at + ": give a new one"}
}

// headersSizeFault bounds what the headers add to the head of every request.
func headersSizeFault(headers map[string]string) []profile.Fault {
	total := 0
	for name, text := range headers {
		sealed, _ := base64.StdEncoding.DecodeString(text) // what is no base64 cannot be sent either
		total += len(name) + keyring.PlainBytes(sealed)
	}
	if total <= profile.OwnHeadersBytesMax {
		return nil
	}
	return []profile.Fault{{
		Location: "body.headers", Message: "names and values have " + itoa(total) + " bytes together",
		Cure: "give at most " + itoa(profile.OwnHeadersBytesMax) + ": servers bound the head of a request",
	}}
}

// tlsView shows a merchant's own TLS settings; nil (null) where there are none.
func (s *Service) tlsView(m *store.Merchant) *TLSView {
	t, err := m.OwnTLS()
	if err != nil {
		s.Log.Error("tls settings cannot be shown", "mch_id", m.MchID, "error", err)
		return nil
	}
	if len(m.TLS) == 0 {
		return nil
	}
	return &TLSView{CA: orNil(t.CA), ClientCert: orNil(t.ClientCert), PinSHA256: orNil(t.PinSHA256)}
}

// headersView shows the names of a merchant's own headers.
func headersView(m *store.Merchant) map[string]string {
	shown := make(map[string]string, len(m.Headers))
	for name := range m.Headers {
		shown[name] = Masked
	}
	return shown
}
