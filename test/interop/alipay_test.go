package interop

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"sync"
	"testing"

	gopay "github.com/go-pay/gopay/alipay"
	"github.com/smartwalle/alipay/v3"
)

// appKey is a private key in PKCS #1 and bare base64. To smartwalle it is the merchant's own, which it asks
// for though a notification needs none.
var appKey = sync.OnceValues(func() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key)), nil
})

// smartwalleAlipay is the handler of smartwalle/alipay's README.
var smartwalleAlipay = sdk{name: "smartwalle", handler: func(t *testing.T, m known) http.HandlerFunc {
	private, err := appKey()
	if err != nil {
		t.Fatal(err)
	}
	client, err := alipay.New(appID, private, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.LoadAliPayPublicKey(m.PublicKeyBase64); err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			refuse(w, err)
			return
		}
		n, err := client.DecodeNotification(r.Context(), r.Form)
		if err != nil || n.OutTradeNo == "" {
			refuse(w, err)
			return
		}
		alipay.ACKNotification(w)
	}
}}

// gopayAlipay verifies with the public key, in the form that Alipay's site shows it.
var gopayAlipay = sdk{name: "gopay", handler: func(_ *testing.T, m known) http.HandlerFunc {
	return gopayAlipayHandler(func(notify any) (bool, error) {
		return gopay.VerifySign(m.PublicKeyBase64, notify)
	})
}}

// gopayAlipayCert is the same in certificate mode.
var gopayAlipayCert = sdk{name: "gopay-certificate", handler: func(_ *testing.T, m known) http.HandlerFunc {
	return gopayAlipayHandler(func(notify any) (bool, error) {
		return gopay.VerifySignWithCert([]byte(m.Certificate), notify)
	})
}}

func gopayAlipayHandler(verify func(notify any) (bool, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		notify, err := gopay.ParseNotifyToBodyMap(r)
		if err != nil {
			refuse(w, err)
			return
		}
		if ok, err := verify(notify); !ok || err != nil {
			refuse(w, err)
			return
		}
		w.Write([]byte("success"))
	}
}
