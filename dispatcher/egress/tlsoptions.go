package egress

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
)

// TLSOptions are a merchant's own: how its server is verified beyond, or instead of, what the client does for
// everybody, and what the server is shown. They are made once per revision of the merchant and shared by its
// requests; idle connections are reused only by requests with the same TLSOptions. They must not be changed.
type TLSOptions struct {
	// Roots verify the server in place of the client's roots; nil means the client's.
	Roots *x509.CertPool
	// Certificate is shown to a server that asks for one; nil means none.
	Certificate *tls.Certificate
	// Pins are SHA-256 digests of SubjectPublicKeyInfo; one of them must be that of the server's certificate or
	// of an authority in the verified chain. Empty means no pin. The chain is verified all the same.
	Pins [][sha256.Size]byte
}

// Bounds of what ParseTLS reads.
const (
	tlsTextBytesMax = 64 << 10 // of one PEM text: some thirty certificates
	tlsPinsMax      = 10       // the key in use, the next ones, and those of the authorities
)

// TLSFieldError says which of a merchant's TLS settings is wrong, and how to cure it.
type TLSFieldError struct {
	Field   string // "ca", "client_cert", "client_key" or "pin_sha256"
	Message string // what is wrong, without anything of the setting's value
	Cure    string // one sentence
}

// Error names the setting, what is wrong with it, and the cure.
func (e *TLSFieldError) Error() string { return e.Field + ": " + e.Message + ". " + e.Cure }

const (
	cureCA   = "Give one or more certificates, each from -----BEGIN CERTIFICATE----- to its END line."
	cureCert = "Give the client certificate in PEM, then those of its intermediate authorities."
	cureKey  = "Give the private key of client_cert in PEM, without a passphrase."
	curePin  = "Give the SHA-256 of the public key (SubjectPublicKeyInfo) as 64 hex digits or in base64; " +
		"several are separated by commas."
)

// ParseTLS reads a merchant's settings: the PEM texts of authorities, of a client certificate and of its key,
// and pinned keys, each as 64 hex digits or as base64 of 32 bytes, with or without sha256/ in front,
// separated by commas. What is empty is not set; nil without an error means that nothing is. An error is a
// *TLSFieldError.
func ParseTLS(ca, clientCert, clientKey, pin string) (*TLSOptions, error) {
	if ca == "" && clientCert == "" && clientKey == "" && pin == "" {
		return nil, nil //nolint:nilnil // nothing set is no error, and Request.TLS takes nil
	}
	o := &TLSOptions{}
	for _, read := range []*TLSFieldError{
		o.readRoots(ca), o.readCertificate(clientCert, clientKey), o.readPins(pin),
	} {
		if read != nil {
			return nil, read
		}
	}
	return o, nil
}

func (o *TLSOptions) readRoots(text string) *TLSFieldError {
	if text == "" {
		return nil
	}
	certs, wrong := readCertificates(text)
	if wrong != "" {
		return &TLSFieldError{"ca", wrong, cureCA}
	}
	o.Roots = x509.NewCertPool()
	for _, c := range certs {
		o.Roots.AddCert(c)
	}
	return nil
}

func (o *TLSOptions) readCertificate(cert, key string) *TLSFieldError {
	switch {
	case cert == "" && key == "":
		return nil
	case cert == "":
		return &TLSFieldError{"client_cert", "is missing, though client_key is set", cureCert}
	case key == "":
		return &TLSFieldError{"client_key", "is missing, though client_cert is set", cureKey}
	case len(key) > tlsTextBytesMax:
		return &TLSFieldError{"client_key", "is longer than 64 KiB", cureKey}
	}
	if _, wrong := readCertificates(cert); wrong != "" {
		return &TLSFieldError{"client_cert", wrong, cureCert}
	}
	switch block, _ := pem.Decode([]byte(key)); {
	case block == nil:
		return &TLSFieldError{"client_key", "is not PEM", cureKey}
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return &TLSFieldError{"client_key", "is encrypted with a passphrase", cureKey}
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil { // the certificate has been read above, so it is the key
		return &TLSFieldError{"client_key", "is not the private key of client_cert, or of an unknown kind", cureKey}
	}
	o.Certificate = &pair
	return nil
}

// readCertificates reads a PEM text of certificates and nothing else; wrong says what is wrong with it.
func readCertificates(text string) (certs []*x509.Certificate, wrong string) {
	if len(text) > tlsTextBytesMax {
		return nil, "is longer than 64 KiB"
	}
	for rest := []byte(text); ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, "holds something that is no certificate"
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, "holds a damaged certificate"
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, "holds no certificate in PEM"
	}
	return certs, ""
}

func (o *TLSOptions) readPins(text string) *TLSFieldError {
	if text == "" {
		return nil
	}
	for one := range strings.SplitSeq(text, ",") {
		pin, ok := parsePin(strings.TrimSpace(one))
		if !ok {
			return &TLSFieldError{"pin_sha256", "is no SHA-256 digest", curePin}
		}
		if o.Pins = append(o.Pins, pin); len(o.Pins) > tlsPinsMax {
			return &TLSFieldError{"pin_sha256", "has more than 10 pins", curePin}
		}
	}
	return nil
}

func parsePin(text string) (pin [sha256.Size]byte, ok bool) {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "sha256/"), "/") // curl writes two slashes
	raw, err := hex.DecodeString(text)
	if err != nil {
		raw, err = base64.StdEncoding.Strict().DecodeString(text)
	}
	return pin, err == nil && copy(pin[:], raw) == len(raw) && len(raw) == len(pin)
}

// pinError says that no pinned key is in a chain that is otherwise good.
type pinError struct{ seen [sha256.Size]byte }

func (e *pinError) Error() string {
	return "none of the pinned keys is in the verified chain; the server's key is " + pinText(e.seen)
}

// pinText is a pin as ParseTLS reads it.
func pinText(pin [sha256.Size]byte) string {
	return "sha256/" + base64.StdEncoding.EncodeToString(pin[:])
}

// checkPins is called when the chain has been verified.
func (o *TLSOptions) checkPins(state tls.ConnectionState) error {
	if len(o.Pins) == 0 {
		return nil
	}
	for _, chain := range state.VerifiedChains {
		for _, c := range chain {
			seen := sha256.Sum256(c.RawSubjectPublicKeyInfo)
			if slices.Contains(o.Pins, seen) {
				return nil
			}
		}
	}
	return &pinError{sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)}
}
