package interop

import (
	"errors"
	"io"
	"net/http"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"
)

var standardGo = sdk{name: "standard-webhooks", handler: func(t *testing.T, m known) http.HandlerFunc {
	wh, err := standardwebhooks.NewWebhook(m.Secret)
	if err != nil {
		t.Fatal(err)
	}
	return webhookHandler(wh.Verify)
}}

var svixGo = sdk{name: "svix", handler: func(t *testing.T, m known) http.HandlerFunc {
	wh, err := svix.NewWebhook(m.Secret)
	if err != nil {
		t.Fatal(err)
	}
	return webhookHandler(wh.Verify)
}}

// svixOnly is a merchant that has only ever seen Svix's own headers.
var svixOnly = sdk{name: "svix-headers", handler: func(t *testing.T, m known) http.HandlerFunc {
	wh, err := svix.NewWebhook(m.Secret)
	if err != nil {
		t.Fatal(err)
	}
	return webhookHandler(func(payload []byte, headers http.Header) error {
		own := http.Header{}
		for _, name := range []string{"Svix-Id", "Svix-Timestamp", "Svix-Signature"} {
			own[name] = headers[name]
		}
		return wh.Verify(payload, own)
	})
}}

// stripeEvent is the handler of Stripe's documentation.
var stripeEvent = sdk{name: "stripe-go", handler: func(_ *testing.T, m known) http.HandlerFunc {
	return webhookHandler(func(payload []byte, headers http.Header) error {
		event, err := webhook.ConstructEvent(payload, headers.Get("Stripe-Signature"), m.Secret)
		if err == nil && (event.ID == "" || event.Type == "" || event.Created == 0 || event.Data.Object == nil) {
			err = errors.New("the event lacks a member")
		}
		return err
	})
}}

// stripePayload verifies the signature and nothing else; header is the name that the merchant has agreed.
func stripePayload(header string) sdk {
	return sdk{name: "stripe-go-payload", handler: func(_ *testing.T, m known) http.HandlerFunc {
		return webhookHandler(func(payload []byte, headers http.Header) error {
			return webhook.ValidatePayload(payload, headers.Get(header), m.Secret)
		})
	}}
}

// webhookHandler is the handler that all these READMEs show.
func webhookHandler(verify func(payload []byte, headers http.Header) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			refuse(w, err)
			return
		}
		if err := verify(payload, r.Header); err != nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
