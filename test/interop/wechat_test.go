package interop

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	gopay "github.com/go-pay/gopay/wechat"
	gopayv3 "github.com/go-pay/gopay/wechat/v3"
	"github.com/silenceper/wechat/v2/pay/config"
	"github.com/silenceper/wechat/v2/pay/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	wechatpay "github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// gopayV2 is the handler of gopay's documentation; the merchant knows which sign_type it has agreed.
func gopayV2(signType string) sdk {
	return sdk{name: "gopay", handler: func(_ *testing.T, m known) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			n, err := gopay.ParseNotifyToBodyMap(r)
			if err != nil {
				refuse(w, err)
				return
			}
			if ok, err := gopay.VerifySign(m.Secret, signType, n); !ok || err != nil {
				refuse(w, err)
				return
			}
			gopayV2Success(w)
		}
	}}
}

func gopayV2Success(w http.ResponseWriter) {
	reply := gopay.NotifyResponse{ReturnCode: "SUCCESS", ReturnMsg: "OK"}
	io.WriteString(w, reply.ToXmlString())
}

var gopayV2Refund = sdk{name: "gopay", handler: func(_ *testing.T, m known) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, err := gopay.ParseRefundNotify(r)
		if err != nil {
			refuse(w, err)
			return
		}
		refund, err := gopay.DecryptRefundNotifyReqInfo(n.ReqInfo, m.Secret)
		if err != nil || refund.OutTradeNo == "" {
			refuse(w, err)
			return
		}
		gopayV2Success(w)
	}
}}

// silenceperV2 reads the notification into silenceper's closed struct, as its users must.
var silenceperV2 = sdk{name: "silenceper", handler: func(_ *testing.T, m known) http.HandlerFunc {
	verifier := notify.NewNotify(&config.Config{AppID: wechatAppID, MchID: wechatMchID, Key: m.Secret})
	return func(w http.ResponseWriter, r *http.Request) {
		var paid notify.PaidResult
		if err := xml.NewDecoder(r.Body).Decode(&paid); err != nil {
			refuse(w, err)
			return
		}
		if !verifier.PaidVerifySign(paid) {
			refuse(w, errors.New("PaidVerifySign"))
			return
		}
		xml.NewEncoder(w).Encode(notify.PaidResp{ReturnCode: "SUCCESS", ReturnMsg: "OK"})
	}
}}

var silenceperV2Refund = sdk{name: "silenceper", handler: func(_ *testing.T, m known) http.HandlerFunc {
	verifier := notify.NewNotify(&config.Config{AppID: wechatAppID, MchID: wechatMchID, Key: m.Secret})
	return func(w http.ResponseWriter, r *http.Request) {
		var n notify.RefundedResult
		if err := xml.NewDecoder(r.Body).Decode(&n); err != nil {
			refuse(w, err)
			return
		}
		info, err := verifier.DecryptReqInfo(&n)
		if err != nil || info.OutTradeNO == nil {
			refuse(w, err)
			return
		}
		xml.NewEncoder(w).Encode(notify.RefundedResp{ReturnCode: "SUCCESS", ReturnMsg: "OK"})
	}
}}

// wechatpayCertificate is wechatpay-go with the platform certificate lying on the merchant's disk.
var wechatpayCertificate = sdk{
	name: "wechatpay-go-certificate",
	handler: func(t *testing.T, m known) http.HandlerFunc {
		certificate, err := utils.LoadCertificate(m.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		return wechatpayHandler(t, m, verifiers.NewSHA256WithRSAVerifier(
			core.NewCertificateMapWithList([]*x509.Certificate{certificate})))
	},
}

// wechatpayPublicKey is wechatpay-go with a WeChat Pay public key, known by its id.
var wechatpayPublicKey = sdk{name: "wechatpay-go-key", handler: func(t *testing.T, m known) http.HandlerFunc {
	return wechatpayHandler(t, m, verifiers.NewSHA256WithRSAPubkeyVerifier(m.Serial, *publicKey(t, m)))
}}

func wechatpayHandler(t *testing.T, m known, verifier auth.Verifier) http.HandlerFunc {
	t.Helper()
	handler, err := wechatpay.NewRSANotifyHandler(m.Secret, verifier)
	if err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		content := map[string]any{}
		_, err := handler.ParseNotifyRequest(r.Context(), r, &content)
		if err != nil || content["out_trade_no"] == nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// gopayV3 picks the public key by the serial in the header.
var gopayV3 = sdk{name: "gopay", handler: func(t *testing.T, m known) http.HandlerFunc {
	keys := map[string]*rsa.PublicKey{m.Serial: publicKey(t, m)}
	return func(w http.ResponseWriter, r *http.Request) {
		n, err := gopayv3.V3ParseNotify(r)
		if err != nil {
			refuse(w, err)
			return
		}
		if err := n.VerifySignByPKMap(keys); err != nil {
			refuse(w, err)
			return
		}
		var content struct {
			OutTradeNo string `json:"out_trade_no"`
		}
		if err := n.DecryptCipherTextToStruct(m.Secret, &content); err != nil || content.OutTradeNo == "" {
			refuse(w, fmt.Errorf("decrypt: %w", err))
			return
		}
		json.NewEncoder(w).Encode(gopayv3.V3NotifyRsp{Code: "SUCCESS", Message: "成功"})
	}
}}

func publicKey(t *testing.T, m known) *rsa.PublicKey {
	t.Helper()
	key, err := utils.LoadPublicKey(m.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
