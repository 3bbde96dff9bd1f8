package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/profile"
	"paynotify/store"
)

// An API key reads pn_ID_SECRETCHECK:
//
//   - pn_ lets scanners find a key that was committed or logged;
//   - ID is public, 8 characters of [0-9a-z]: it finds the key's record, and is what lists and logs name;
//   - SECRET is 43 characters of [0-9A-Za-z], which is 256 bits and a little;
//   - CHECK is the CRC-32 of all before it in 6 such characters: a key that was cut or mistyped is told from
//     one that was never ours, without a look into the store.
//
// Only the SHA-256 of SECRET is stored. It needs no salt and no slow hash: there is nothing to guess.
const (
	keyPrefix      = "pn_"
	keyIDChars     = 8
	keySecretChars = 43
	keyCheckChars  = 6
	keyChars       = len(keyPrefix) + keyIDChars + 1 + keySecretChars + keyCheckChars

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	base36 = "0123456789abcdefghijklmnopqrstuvwxyz"
)

// newKeyText makes a key.
func newKeyText() (id, secret, whole string) {
	id, secret = randomText(base36, keyIDChars), randomText(base62, keySecretChars)
	whole = keyPrefix + id + "_" + secret
	return id, secret, whole + keyCheck(whole)
}

// splitKey takes a key apart; ours is false when it cannot be one of ours.
func splitKey(key string) (id, secret string, ours bool) {
	if len(key) != keyChars || !strings.HasPrefix(key, keyPrefix) {
		return "", "", false
	}
	body, check := key[:keyChars-keyCheckChars], key[keyChars-keyCheckChars:]
	rest := body[len(keyPrefix):]
	id, secret = rest[:keyIDChars], rest[keyIDChars+1:]
	return id, secret, rest[keyIDChars] == '_' && keyCheck(body) == check
}

func keyCheck(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	var check [keyCheckChars]byte
	for i := len(check) - 1; i >= 0; i-- {
		check[i] = base62[sum%uint32(len(base62))]
		sum /= uint32(len(base62))
	}
	return string(check[:])
}

// randomText draws n characters, each as likely as any other: bytes that would favour some are drawn again.
func randomText(alphabet string, n int) string {
	fair := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var drawn [64]byte
	for {
		_, _ = rand.Read(drawn[:]) // never fails
		for _, b := range drawn {
			if int(b) < fair {
				if out = append(out, alphabet[int(b)%len(alphabet)]); len(out) == n {
					return string(out)
				}
			}
		}
	}
}

// AccessKeyRequest is the body that makes an API key. Only role is required.
type AccessKeyRequest struct {
	Name      string     `json:"name,omitempty" maxLength:"128" doc:"What people call it"`
	Role      Role       `json:"role" enum:"ingest,read,operator,admin,auditor,metrics"`
	MchID     string     `json:"mch_id,omitempty" doc:"The only merchant it is for"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Not taken from then on; default: never"`
}

// AccessKeyView is an API key as lists show it: never the key itself, which nobody has but its holder.
type AccessKeyView struct {
	ID        string  `json:"id" doc:"Public: the part of the key between the underscores"`
	Name      string  `json:"name"`
	Role      Role    `json:"role"`
	MchID     *string `json:"mch_id" doc:"The only merchant it is for"`
	State     string  `json:"state" enum:"live,expired,revoked"`
	CreatedAt Time    `json:"created_at"`
	ExpiresAt *Time   `json:"expires_at" nullable:"true"`
	RevokedAt *Time   `json:"revoked_at" nullable:"true"`
}

// AccessKeyCreated answers the making of a key.
type AccessKeyCreated struct {
	AccessKeyView

	Key      string   `json:"key" doc:"Shown this once"`
	Warnings []string `json:"warnings" nullable:"false" doc:"What changes with it, in words"`
}

// AccessKeyList is all API keys, oldest first.
type AccessKeyList struct {
	Keys []AccessKeyView `json:"keys" nullable:"false" doc:"Revoked and expired ones too"`
}

func (*AccessKeyRequest) documented() reflect.Type { return reflect.TypeFor[AccessKeyRequest]() }

// keyNameMax bounds what people call a key, in characters.
const keyNameMax = 128

func (req *AccessKeyRequest) readFrom(r *reader) {
	if !r.object("body", []string{"name", "role", "mch_id", "expires_at"}, func(name string) {
		switch at := "body." + name; name {
		case "name":
			req.Name = r.optionalText(at)
			if utf8.RuneCountInString(req.Name) > keyNameMax {
				r.fault(at, "has more than "+itoa(keyNameMax)+" characters", "shorten it")
			} else if containsControl(req.Name) {
				r.fault(at, "has a control character", "remove it")
			}
		case "role":
			req.Role = Role(r.text(at))
			r.faults = oneOf(r.faults, at, string(req.Role), Roles)
		case "mch_id":
			req.MchID = r.optionalText(at)
		case "expires_at":
			req.ExpiresAt = r.instant(at)
		}
	}) {
		return
	}
	if req.Role == "" && !r.blames("body.role") {
		r.fault("body.role", "is missing", "give one of "+strings.Join(roleNames(Roles), ", "))
	}
	if req.MchID != "" && req.Role != "" && !slices.Contains(bindable, req.Role) {
		r.fault("body.mch_id", "a key with the role "+string(req.Role)+" is for everything there is",
			"leave it out, or take one of "+strings.Join(roleNames(bindable), ", "))
	}
}

func roleNames(roles []Role) (names []string) {
	for _, r := range roles {
		names = append(names, string(r))
	}
	return names
}

type keyInput struct {
	ID string `path:"id" doc:"The key's id: 8 characters of [0-9a-z]"`
}

func (a *API) keyRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "create-key", Method: "POST", Path: "/v1/keys", DefaultStatus: http.StatusCreated,
		Summary: "Make an API key", Tags: tagAccess,
		Description: "The answer shows it, this once. To rotate a key make a second one, give it to its holder, " +
			"and revoke the first. Only ingest, read and operator can be bound to a merchant. The first one with " +
			"the role admin ends the time in which this machine's own users need no key.",
		RequestBody: requestBody[AccessKeyRequest](a),
	}, []int{404, 409}, func(ctx context.Context, in *onlyBody) (AccessKeyCreated, error) {
		return withBody(&in.Body, func(req *AccessKeyRequest) (AccessKeyCreated, error) {
			return s.CreateKey(ctx, *req)
		})
	})
	declare(a, huma.Operation{
		OperationID: "list-keys", Method: "GET", Path: "/v1/keys", Summary: "List API keys, oldest first",
		Tags: tagAccess,
	}, nil, func(ctx context.Context, _ *noInput) (AccessKeyList, error) { return s.Keys(ctx) })
	declareSilent(a, huma.Operation{
		OperationID: "revoke-key", Method: "DELETE", Path: "/v1/keys/{id}", Tags: tagAccess,
		Summary: "End an API key for good", DefaultStatus: http.StatusNoContent,
		Description: "No node takes it longer than 100 ms after the answer. Once more changes nothing.",
	}, []int{404}, func(ctx context.Context, in *keyInput) error {
		return s.RevokeKey(ctx, in.ID)
	})
}

// keyIDTries is how often an id is drawn that another key has; of 36^8 nobody will see it happen twice.
const keyIDTries = 3

// CreateKey makes an API key; the answer has it, and nobody ever again.
func (s *Service) CreateKey(ctx context.Context, req AccessKeyRequest) (AccessKeyCreated, error) {
	var none AccessKeyCreated
	k := store.APIKey{Name: req.Name, Role: string(req.Role), MchID: req.MchID}
	if req.ExpiresAt != nil {
		k.ExpiresAt = req.ExpiresAt.UTC()
		faults := plausible(nil, "body.expires_at", k.ExpiresAt)
		if len(faults) == 0 && !k.ExpiresAt.After(s.Now()) {
			faults = append(faults, profile.Fault{
				Location: "body.expires_at", Message: "lies in the past", Cure: "give a later instant, or leave it out",
			})
		}
		if p := invalid(faults); p != nil {
			return none, p
		}
	}
	if k.MchID != "" {
		if _, p := s.merchant(ctx, k.MchID); p != nil {
			return none, p
		}
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	for range keyIDTries {
		id, secret, whole := newKeyText()
		digest := sha256.Sum256([]byte(secret))
		k.ID, k.Digest = id, digest[:]
		made, err := s.Store.CreateKey(ctx, k)
		if errors.Is(err, store.ErrExists) {
			continue
		}
		s.auth.adminKeys.forget() // also after an error: the outcome is unknown then
		if err != nil {
			return none, fromStore(err)
		}
		s.Log.Info("API key made", "key_id", made.ID, "name", made.Name, "role", made.Role, "mch_id", made.MchID)
		v := AccessKeyCreated{AccessKeyView: s.keyView(&made), Key: whole, Warnings: s.keyWarnings(ctx, &made)}
		note(ctx, "key/"+made.ID, nil, factsOf(v.AccessKeyView, "fingerprint", fingerprint(made.Digest)))
		return v, nil
	}
	return none, asProblem(errors.New("no free id for an API key"))
}

// keyWarnings says what a new key changes on a server whose local users needed none.
func (s *Service) keyWarnings(ctx context.Context, k *store.APIKey) []string {
	switch {
	case s.auth.configured:
		return []string{}
	case Role(k.Role) == RoleAdmin:
		return []string{"from now on this machine's own users need a key too; keep this one, or configure " +
			"auth.admin_key"}
	}
	if exist, err := s.auth.adminKeys.exist(ctx, s.Store, s.Now()); err != nil || exist {
		return []string{}
	}
	return []string{"there is no key for an admin: this machine's own users still need none and may do " +
		"everything; make one with the role admin, or configure auth.admin_key"}
}

// Keys lists all API keys.
func (s *Service) Keys(ctx context.Context) (AccessKeyList, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := whole(ctx); err != nil {
		return AccessKeyList{}, err
	}
	keys, err := s.Store.Keys(ctx)
	if err != nil {
		return AccessKeyList{}, fromStore(err)
	}
	out := AccessKeyList{Keys: make([]AccessKeyView, len(keys))}
	for i := range keys {
		out.Keys[i] = s.keyView(&keys[i])
	}
	return out, nil
}

// RevokeKey ends a key for good; once more changes nothing.
func (s *Service) RevokeKey(ctx context.Context, id string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	before, err := s.Store.Key(ctx, id)
	if err != nil {
		return fromStore(err)
	}
	after, err := s.Store.RevokeKey(ctx, id)
	s.auth.adminKeys.forget()
	if err != nil {
		return fromStore(err)
	}
	note(ctx, "key/"+id, factsOf(s.keyView(&before)), factsOf(s.keyView(&after)))
	s.Log.Info("API key revoked", "key_id", id, "name", after.Name, "role", after.Role)
	if Role(after.Role) != RoleAdmin || s.auth.configured {
		return nil
	}
	if exist, err := s.auth.adminKeys.exist(ctx, s.Store, s.Now()); err == nil && !exist {
		s.Log.Warn("that was the last key for an admin: this machine's own users are served without one again")
	}
	return nil
}

func (s *Service) keyView(k *store.APIKey) AccessKeyView {
	v := AccessKeyView{
		ID: k.ID, Name: k.Name, Role: Role(k.Role), MchID: orNil(k.MchID), State: "live",
		CreatedAt: Time{k.CreatedAt}, ExpiresAt: timeOrNil(k.ExpiresAt), RevokedAt: timeOrNil(k.RevokedAt),
	}
	switch {
	case !k.RevokedAt.IsZero():
		v.State = "revoked"
	case !k.Live(s.Now()):
		v.State = "expired"
	}
	return v
}
