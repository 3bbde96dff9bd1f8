package profile

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"paynotify/store"
)

// verifiesAndRefuses sends random parameters: whatever Check lets in is verified, and no byte of it can be
// changed unseen. names are those that the dialect knows; any by default.
func verifiesAndRefuses(t *testing.T, p *Profile, options map[string]any, names ...string) {
	t.Helper()
	m := &store.Merchant{MchID: "m1", Profile: p.Name, AppID: "app1", Options: options}
	key, verify := material(t, p)
	keys := loadKeys(t, p, m, key)
	value := rapid.StringOfN(rapid.RuneFrom([]rune(`aZ09 &=+%'"<>\/?#@,;:-_.~订单金额é😀`)), 0, 40, -1)
	name := rapid.StringMatching(`[A-Za-z][A-Za-z_]{0,8}`)
	if len(names) > 0 {
		name = rapid.SampledFrom(names)
	}
	sent := 0
	rapid.Check(t, func(t *rapid.T) {
		var pairs [][2]string
		for _, n := range rapid.SliceOfNDistinct(name, 0, 12, rapid.ID[string]).Draw(t, "names") {
			pairs = append(pairs, [2]string{n, value.Draw(t, n)})
		}
		params, err := jsonText(pairs)
		if err != nil {
			t.Fatal(err)
		}
		n := &store.Notification{
			MchID: "m1", Profile: p.Name, NotifyID: store.NewID(vectorTime, 0), OutTradeNo: "20261121-1",
			Params: params, CreatedAt: vectorTime,
		}
		if len(Check(p, m, n)) > 0 {
			return
		}
		sent++
		msg, err := Encode(p, Input{Notification: n, Merchant: m, Keys: keys, Now: vectorTime})
		if err != nil {
			t.Fatal(err)
		}
		req := CapturedRequest{Method: msg.Method, Query: msg.Query, Header: msg.Header, Body: msg.Body}
		good, err := Verify(p, req, verify)
		if err != nil {
			t.Fatalf("refused: %v\n%s%s", err, msg.Query, msg.Body)
		}
		bytes := []byte(msg.Query)
		if msg.Method == "POST" {
			bytes = slices.Clone(msg.Body)
		}
		at := rapid.IntRange(0, len(bytes)-1).Draw(t, "tampered byte")
		bytes[at] = rapid.SampledFrom([]byte("aA1&=%+")).Draw(t, "with")
		if msg.Method == "POST" {
			req.Body = bytes
		} else {
			req.Query = string(bytes)
		}
		bad, err := Verify(p, req, verify)
		if err == nil && !slices.Equal(good.Fields, bad.Fields) {
			t.Fatalf("tampered and verified:\n%s%s\n%s", msg.Query, msg.Body, bytes)
		}
	})
	if sent == 0 {
		t.Error("Check let nothing in: nothing was tested")
	}
}
