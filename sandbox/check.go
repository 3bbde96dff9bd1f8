package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"paynotify/profile"
)

// checker verifies one request and notes in the hit what came of it.
type checker func(h *Hit, header http.Header)

// newChecker makes the checker of a dialect; p is nil when nothing is to be verified.
func newChecker(p *profile.Profile, publicKey, secret string) (checker, error) {
	switch {
	case p == nil:
		return func(h *Hit, _ http.Header) { h.Signature = Unchecked }, nil
	case p.Unsigned:
		return verifier(p, profile.VerifyKeys{}, Unsigned), nil
	case publicKey == "" && secret == "":
		return verifier(p, profile.VerifyKeys{}, Unchecked), nil
	}
	keys, err := profile.ParseVerifyKeys(publicKey, secret, "")
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return verifier(p, keys, Verified), nil
}

// verifier reads a request in its dialect. fine is what a request is that breaks no rule; where that is
// Unchecked, a signature that does not fit is no fault of the sender.
func verifier(p *profile.Profile, keys profile.VerifyKeys, fine Signature) checker {
	return func(h *Hit, header http.Header) {
		read, err := profile.Verify(p, profile.CapturedRequest{
			Method: h.Method, Query: h.Query, Header: profile.HeadersOf(header), Body: h.Body,
		}, keys)
		h.NotifyID, h.OutTradeNo = first(read.NotifyID, h.NotifyID), first(read.OutTradeNo, h.OutTradeNo)
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
