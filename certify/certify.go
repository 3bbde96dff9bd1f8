package certify

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"time"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/signer"
	"paynotify/store"
)

// Run is one merchant to be certified. Its fields are set before Do.
type Run struct {
	Profile *profile.Profile
	// Merchant has the settings that the provider has for it: AppID, SignType, Options, NotifyURL. Its ack
	// rule is the profile's unless it has one.
	Merchant *store.Merchant
	// Key is what the provider signs with: complete, as profile.NewMaterial gives it. Empty for a merchant
	// whose messages are not signed.
	Key    profile.Material
	Client *egress.Client
	Target *egress.Target // of the merchant's URL, from Rules.CheckURL
	// Now is the clock of timestamps and order numbers; nil means time.Now.
	Now func() time.Time
	// Timeout is how long each request may take, its reply included; 0 means 15 s, as in the engine.
	Timeout time.Duration
}

// Result is what came of one case.
type Result struct {
	Case    string
	About   string // what was sent and what the merchant must do, one line
	Passed  bool
	Skipped string        // why nothing was sent; empty when something was
	Verdict store.Verdict // of the reply that decided; empty when nothing was sent
	Reason  store.Reason
	Detail  string // one sentence about that very reply; may be empty
	Status  int    // 0 without a reply
	Reply   []byte // at most store.ReplyBytesKept
	Cure    Cure   // zero when there is nothing to cure
}

// Summary is what came of all cases.
type Summary struct {
	Passed, Failed int
	// VerifiesSignatures says that the rightly signed payment was taken and every forgery refused. False
	// also where it cannot be told.
	VerifiesSignatures bool
	// ForgeriesTaken is how many of the forgeries were acknowledged, or were meant to be.
	ForgeriesTaken int
	// Signed says that there was a signature to verify.
	Signed bool
}

// session is a Run in progress.
type session struct {
	*Run

	keys   *profile.Keys
	others *profile.Keys // of somebody else
	ack    store.Ack
	id     string // unique for the run: part of every order number
	began  time.Time
	signed bool

	good        *store.Notification // what duplicate repeats
	taken       bool                // good was meant as an acknowledgement
	unreachable string              // why nothing more is sent; empty while there is hope
}

// Do makes all cases, one after the other, and tells of each as soon as it is known. The error is the
// context's or says that the key does not fit the settings; whatever the merchant does is a Result.
func (r *Run) Do(ctx context.Context, tell func(Result)) (Summary, error) {
	s, err := r.begin()
	if err != nil {
		return Summary{}, err
	}
	sum := Summary{Signed: s.signed, VerifiesSignatures: s.signed}
	for _, c := range cases {
		res, err := s.make(ctx, c)
		if err != nil {
			return sum, err
		}
		if res.Passed {
			sum.Passed++
		} else {
			sum.Failed++
		}
		if c.forgery && taken(res.Verdict, res.Reason) {
			sum.ForgeriesTaken++
		}
		if c.forgery && !res.Passed || c.name == caseGood && !s.taken {
			sum.VerifiesSignatures = false
		}
		tell(res)
	}
	return sum, nil
}

func (r *Run) begin() (*session, error) {
	s := &session{
		Run: r, ack: profile.AckPolicy(r.Profile, r.Merchant), began: r.now(),
		signed: profile.Signs(r.Profile, r.Merchant),
	}
	var random [3]byte
	rand.Read(random[:]) // never fails
	s.id = strconv.FormatInt(s.began.Unix(), 36) + fmt.Sprintf("%06x", random)
	if !s.signed {
		return s, nil
	}
	other, err := r.otherKey()
	if err != nil {
		return nil, err
	}
	if s.keys, err = profile.LoadKeys(r.Profile, r.Merchant, []profile.Material{r.Key}); err != nil {
		return nil, err
	}
	s.others, err = profile.LoadKeys(r.Profile, r.Merchant, []profile.Material{other})
	return s, err
}

// otherKey is a generated key of the same kind. A secret that only encrypts stays: the receiver must find
// the signature wrong, not the ciphertext unreadable.
func (r *Run) otherKey() (profile.Material, error) {
	other := profile.Material{Serial: r.Key.Serial}
	var err error
	if r.Key.PrivateKey != "" {
		if other.PrivateKey, err = stranger(); err != nil {
			return other, err
		}
		// The serial number is no secret: a forger sends the right one.
		if other.Serial == "" {
			if other.Serial, err = serialOf(r.Key.PrivateKey); err != nil {
				return other, err
			}
		}
	}
	if r.Profile.Key == profile.KeyRSAAndSecret {
		other.Secret = r.Key.Secret
	}
	return profile.Complete(r.Profile, r.Merchant, other)
}

// stranger is a private key that belongs to nobody, one for the whole process: making one takes a while.
var stranger = sync.OnceValues(func() (string, error) {
	key, err := signer.GenerateRSA()
	if err != nil {
		return "", err
	}
	return signer.PrivatePEM(key)
})

func serialOf(privateKey string) (string, error) {
	key, err := signer.ParsePrivateKey(privateKey)
	if err != nil {
		return "", err
	}
	return signer.SerialOf(&key.PublicKey)
}

func (r *Run) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
