package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"paynotify/profile"
)

// checker verifies one request and notes in the hit what came of it.
type checker func(h *Hit, header http.Header)

// newChecker makes the checker that the merchant's options describe.
func (m *Merchant) newChecker() (checker, error) {
	if m.profile == nil {
		return func(h *Hit, _ http.Header) { h.Signature = Unchecked }, nil
	}
	keys, err := profile.ParseVerifyKeys(m.PublicKey, m.Secret, m.SignType)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	keys.Options = m.Options
	if m.profile.Unsigned && m.PublicKey != "" { // what else could it be for
		keys.Options = maps.Clone(m.Options)
		if keys.Options == nil {
			keys.Options = map[string]string{}
		}
		keys.Options["header_signature"] = "true"
	}
	switch {
	case m.PublicKey != "" || m.Secret != "":
		return verifier(m.profile, keys, Verified), nil
	case m.profile.Unsigned && m.Options["header_signature"] != "true":
		return verifier(m.profile, keys, Unsigned), nil
	}
	return verifier(m.profile, keys, Unchecked), nil
}

// verifier reads a request in its dialect. fine is what a request is that breaks no rule; where that is
// Unchecked, a signature that does not fit is no fault of the sender.
func verifier(p *profile.Profile, keys profile.VerifyKeys, fine Signature) checker {
	return func(h *Hit, header http.Header) {
		read, err := profile.Verify(p, profile.CapturedRequest{
			Method: h.Method, Query: h.Query, Header: profile.HeadersOf(header), Body: h.Body,
		}, keys)
		h.NotifyID, h.OutTradeNo = first(read.NotifyID, h.NotifyID), first(read.OutTradeNo, h.OutTradeNo)
		if !h.isForm { // the members of a document, decrypted where it was encrypted
			var members []Param
			for _, f := range read.Fields {
				members = append(members, Param(f))
			}
			h.Params = append(members, h.Params...)
		}
		h.Signature = fine
		if err == nil || fine == Unchecked {
			return
		}
		h.Signature = Rejected
		if broken, ok := errors.AsType[*profile.VerifyError](err); ok {
			h.Rule, h.Detail = string(broken.Rule), broken.Detail
		} else {
			h.Rule, h.Detail = "request", err.Error()
		}
	}
}

func profileNames() string {
	var names []string
	for _, p := range profile.All() {
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}
