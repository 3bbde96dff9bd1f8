package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"paynotify/store"
)

// A pass carries on what somebody who has a key may do, or part of it, for a while, to where no key should
// go: into a cookie, or a link. It is a text that says so and is signed under the master keys, so that
// nothing of it is stored. It dies with the key that it comes from; before that only by being spent (see
// spent.go).
//
// It reads pnp_PAYLOAD.MAC, both in base64url. Anybody who holds it can read the payload, so that there is
// nothing in it but names and times.
const passPrefix = "pnp_"

// passKind says what a pass is good for, and for nothing else.
type passKind string

const (
	passSession passKind = "session" // in a cookie of the console
	passLogin   passKind = "login"   // begins one session
	passPortal  passKind = "portal"  // begins any number of sessions in which a merchant looks at its own
)

// How long passes live.
const (
	sessionLife       = 12 * time.Hour
	loginLinkLife     = 5 * time.Minute
	portalLinkMin     = time.Minute
	portalLinkMax     = 30 * 24 * time.Hour
	portalLinkDefault = 24 * time.Hour
)

// passTextMax is longer than any pass: names are at most 64 characters.
const passTextMax = 1024

// pass is what a pass says.
type pass struct {
	Kind    passKind `json:"kind"`
	ID      string   `json:"id"`
	By      string   `json:"by"`            // whose right it carries on: a key's id, admin or local
	MchID   string   `json:"mch,omitempty"` // set: of that right only to look at this merchant is left
	Issued  int64    `json:"iat"`           // milliseconds since 1970, so that a cut in the ledger is sharp
	Expires int64    `json:"exp"`           // likewise; not taken from then on
}

const passIDChars = 12

// newPass makes a pass of somebody.
func (a *Authenticator) newPass(kind passKind, by, mchID string, life time.Duration) pass {
	now := a.now()
	return pass{
		Kind: kind, ID: randomText(base36, passIDChars), By: by, MchID: mchID,
		Issued: now.UnixMilli(), Expires: now.Add(life).UnixMilli(),
	}
}

func (p *pass) expires() time.Time { return time.UnixMilli(p.Expires).UTC() }

// text is the pass as it is handed out.
func (a *Authenticator) text(p *pass) string {
	payload, _ := json.Marshal(p) // texts and numbers: never fails
	return passPrefix + base64.RawURLEncoding.EncodeToString(payload) + "." +
		base64.RawURLEncoding.EncodeToString(a.passMAC(a.passKeys[0], payload, p.By))
}

// passMAC signs a payload. What stands in for the configured key goes into it, so that its passes die with
// it; it is not in the payload, because a key that people made up could be guessed from it.
func (a *Authenticator) passMAC(key, payload []byte, by string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(payload)
	if by == nameAdmin {
		h.Write(a.admin[:])
	}
	return h.Sum(nil)
}

// open reads a pass of one kind that we made and that has not expired.
func (a *Authenticator) open(kind passKind, text string) (p pass, refused *Problem) {
	encoded, sum, cut := strings.Cut(strings.TrimPrefix(text, passPrefix), ".")
	payload, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	mac, badMAC := base64.RawURLEncoding.Strict().DecodeString(sum)
	if len(text) > passTextMax || !strings.HasPrefix(text, passPrefix) || !cut || err != nil || badMAC != nil ||
		json.Unmarshal(payload, &p) != nil || !a.signed(payload, mac, p.By) || p.Kind != kind {
		return pass{}, unauthorized(notOurs(kind))
	}
	if !a.now().Before(p.expires()) {
		return pass{}, challenge(problem(SlugTokenExpired, "This "+kindWord(kind)+" ended at "+
			p.expires().Format(time.RFC3339)+"."))
	}
	return p, nil
}

func (a *Authenticator) signed(payload, mac []byte, by string) bool {
	for _, key := range a.passKeys {
		if hmac.Equal(mac, a.passMAC(key, payload, by)) {
			return true
		}
	}
	return false
}

func kindWord(kind passKind) string {
	if kind == passSession {
		return "session"
	}
	return "link"
}

func notOurs(kind passKind) string {
	if kind == passSession {
		return "This session is not one of ours, or the key that it came from was changed; log in again."
	}
	return "This link is not one of ours; was it cut?"
}

// holder is who a pass makes of who shows it, as long as the right that it carries on lasts.
func (a *Authenticator) holder(r *http.Request, p *pass) (Principal, *Problem) {
	who, refused := a.source(r, p)
	switch {
	case refused != nil:
		return Principal{}, refused
	case p.MchID == "":
		return who, nil
	case who.MchID != "" && who.MchID != p.MchID:
		return Principal{}, unauthorized(notOurs(p.Kind))
	}
	// A name of its own: what a merchant does through a link must not use up the rate of the key behind it.
	return Principal{Name: "portal/" + p.MchID, Role: RolePortal, MchID: p.MchID}, nil
}

// source is who a pass comes from, as far as that key is still good.
func (a *Authenticator) source(r *http.Request, p *pass) (Principal, *Problem) {
	switch {
	case p.By == nameAdmin && a.configured:
		return Principal{Name: nameAdmin, Role: RoleAdmin}, nil
	case p.By == nameLocal && !a.configured && p.MchID == "":
		return a.local(r) // whoever needs no key here gains nothing by a pass: it works where that does
	case p.By == nameLocal:
		needed, refused := a.KeyNeeded(r.Context())
		if refused == nil && needed {
			refused = unauthorized(goneKey(p.Kind))
		}
		return Principal{Name: nameLocal, Role: RoleAdmin}, refused
	case p.By == nameAdmin:
		return Principal{}, unauthorized(goneKey(p.Kind))
	}
	if err := a.notYet(); err != nil {
		return Principal{}, tooEarly(err)
	}
	ctx, cancel := bounded(r.Context())
	defer cancel()
	k, err := a.keys.Key(ctx, p.By)
	switch {
	case err != nil && !errors.Is(err, store.ErrNoKey):
		return Principal{}, unavailable(err)
	case err != nil, !k.Live(a.now()):
		return Principal{}, unauthorized(goneKey(p.Kind))
	}
	return Principal{Name: k.ID, Role: Role(k.Role), MchID: k.MchID}, nil
}

func goneKey(kind passKind) string {
	if kind == passSession {
		return "The key behind this session is not good any more; log in again."
	}
	return "The key behind this link is not good any more; ask for another link."
}
