package php

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// TestRandom: what accept lets in, every merchant acknowledges, whatever the values.
func TestRandom(t *testing.T) {
	const (
		sets  = 200
		tries = 20 * sets // accept refuses some of what is drawn
	)
	for _, d := range dialects {
		if d.refuses || d.merchant == "form" || d.merchant == "checks" {
			continue // these look at values
		}
		t.Run(d.name(), func(t *testing.T) {
			t.Parallel()
			d.skipWithout(t)
			php := startPHP(t)
			s := newShop(t, d.merchantOf(), d.params())
			php.addKeys(t, d.name(), s.public)
			random := rand.New(rand.NewPCG(2026, 1121))
			sent := 0
			for try := 0; sent < sets && try < tries; try++ {
				s.notification.NotifyID = store.NewID(time.Now(), 0)
				s.notification.Params = randomParams(t, random, d.names)
				if len(profile.Check(s.profile, s.merchant, s.notification)) > 0 {
					continue
				}
				sent++
				if msg := s.encode(t); s.post(t, d.address(php.url), msg).Verdict != store.Acked {
					t.Errorf("refused: %s\nsigned %s\nsent %s%s", s.notification.Params, msg.StringToSign,
						msg.Query, msg.Body)
				}
			}
			if sent < sets {
				t.Errorf("only %d of %d were accepted", sent, tries)
			}
		})
	}
}

// randomParams draws names and values of the kinds that break encoders; names nil = any.
func randomParams(t *testing.T, random *rand.Rand, names []string) json.RawMessage {
	t.Helper()
	values := map[string]string{"trade_no": "2026112122001"} // shops will not do without
	if names != nil {
		values = map[string]string{"transaction_id": "2026112122001"}
	}
	for i := range random.IntN(8) {
		name := fmt.Sprintf("%c_%c%d", 'a'+random.IntN(26), 'A'+random.IntN(26), i)
		if names != nil {
			name = names[random.IntN(len(names))]
		}
		values[name] = randomValue(random)
	}
	raw, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func randomValue(random *rand.Rand) string {
	alphabet := []rune("aZ09 &=+%'\"<>\\/?#@,;:-_.~|[]{}()!*$^`" + "订单金额当面付，。é€ñ\u3000\u00ad\U00020000😀👨‍👩‍👧")
	switch random.IntN(10) {
	case 0:
		return strings.Repeat(string(alphabet[random.IntN(len(alphabet))])+"长", 300+random.IntN(700))
	case 1:
		return `[{"amount":"` + fmt.Sprint(random.IntN(10000)) + `","fundChannel":"ALIPAYACCOUNT"}]`
	}
	value := make([]rune, random.IntN(40))
	for i := range value {
		value[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(value)
}
