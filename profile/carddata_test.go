package profile

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"paynotify/store"
)

// cardFaults are the card-data faults of one parameter.
func cardFaults(t *testing.T, params string) (faults []Fault) {
	t.Helper()
	ps, err := ParseParams(json.RawMessage(params))
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	for i := range ps {
		faults = checkCard(faults, &ps[i])
	}
	return faults
}

func TestCardDataRefused(t *testing.T) {
	for _, tt := range []struct{ name, params, at string }{
		{"cvv", `{"cvv":"123"}`, "cvv"},
		{"a number", `{"cvv2":123}`, "cvv2"},
		{"letter case", `{"CVV":"123"}`, "CVV"},
		{"cvc", `{"cvc":"123"}`, "cvc"},
		{"cvn", `{"Cvn2":"123"}`, "Cvn2"},
		{"with separators", `{"card_cvv":"123"}`, "card_cvv"},
		{"hyphens", `{"card-cvc":"123"}`, "card-cvc"},
		{"camel case", `{"cardCvc":"123"}`, "cardCvc"},
		{"capitals in camel case", `{"cardCVN":"123"}`, "cardCVN"},
		{"in one word", `{"cardcvvcode":"123"}`, "cardcvvcode"},
		{"pin", `{"pin":"1234"}`, "pin"},
		{"pin block", `{"pin_block":"0123456789ABCDEF"}`, "pin_block"},
		{"pinBlock", `{"encPinBlock":"0123456789ABCDEF"}`, "encPinBlock"},
		{"track", `{"track2":"x"}`, "track2"},
		{"track in two words", `{"track_1":"x"}`, "track_1"},
		{"track data", `{"trackData":"x"}`, "trackData"},
		{"empty all the same", `{"cvv":""}`, "cvv"},
		{"in an object", `{"card":{"cvv":"123"}}`, "card"},
		{"deep", `{"a":[{"b":{"card_pin":1}}]}`, "a"},
		{"in a JSON string", `{"ext":"{\"cvv\":\"123\"}"}`, "ext"},
		{"in a JSON string of a JSON string", `{"ext":"{\"a\":\"{\\\"pin\\\":\\\"1\\\"}\"}"}`, "ext"},

		{"Visa", `{"card_no":"4111111111111111"}`, "card_no"},
		{"Visa of 13", `{"remark":"4222222222222"}`, "remark"},
		{"Mastercard", `{"remark":"5555555555554444"}`, "remark"},
		{"Mastercard's second range", `{"remark":"2223003122003222"}`, "remark"},
		{"American Express", `{"remark":"378282246310005"}`, "remark"},
		{"UnionPay", `{"remark":"6200000000000005"}`, "remark"},
		{"UnionPay of 19", `{"remark":"6205500000000000004"}`, "remark"},
		{"JCB", `{"remark":"3530111333300000"}`, "remark"},
		{"Discover", `{"remark":"6011111111111117"}`, "remark"},
		{"Diners Club", `{"remark":"30569309025904"}`, "remark"},
		{"Maestro", `{"remark":"6759649826438453"}`, "remark"},
		{"a JSON number", `{"remark":4111111111111111}`, "remark"},
		{"fours", `{"remark":"4111 1111 1111 1111"}`, "remark"},
		{"fours with hyphens", `{"remark":"4111-1111-1111-1111"}`, "remark"},
		{"4-6-5", `{"remark":"3782 822463 10005"}`, "remark"},
		{"in a sentence", `{"body":"paid with 4111111111111111, thanks."}`, "body"},
		{"end of a sentence", `{"body":"paid with 4111111111111111."}`, "body"},
		{"behind Chinese", `{"body":"卡号4111111111111111完"}`, "body"},
		{"behind another number", `{"body":"order 17 4111 1111 1111 1111 on 12/29"}`, "body"},
		{"with its date", `{"body":"4111111111111111 12/29"}`, "body"},
		{"in a query", `{"body":"a=1&pan=4111111111111111&b=2"}`, "body"},
		{"in an object", `{"a":{"b":["x","4111111111111111"]}}`, "a"},
		{"a number in an object", `{"a":{"b":4111111111111111}}`, "a"},
		{"behind an escape", `{"a":{"b":"x\n4111111111111111"}}`, "a"},
		{"in a JSON string", `{"a":"[{\"b\":\"4111111111111111\"}]"}`, "a"},
		{"in what only looks like JSON", `{"a":"{card: 4111111111111111}"}`, "a"},
		{"named like a card's", `{"bank_card_no":"4111111111111111"}`, "bank_card_no"},
		{"named like an account's", `{"account_id":"4111111111111111"}`, "account_id"},
		{"pan_no", `{"pan_no":"4111111111111111"}`, "pan_no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			faults := cardFaults(t, tt.params)
			if len(faults) != 1 || faults[0].Location != "body.params."+tt.at || faults[0].Slug != "card-data" ||
				faults[0].Cure == "" {
				t.Fatalf("%s: %+v", tt.params, faults)
			}
			if strings.Contains(faults[0].Message+faults[0].Cure, "1111") {
				t.Errorf("the message quotes the number: %q", faults[0].Message)
			}
		})
	}
}

func TestCardDataIsNoOther(t *testing.T) {
	for _, params := range []string{
		`{"pinduoduo":"1","shipping":"2","spin_count":"3","opinion":"4","pincode":"5","pinyin":"6","Pinned":"7"}`,
		`{"cv":"1","cvr":"2","convert":"3","tracking_no":"4","track_no":"5","trace":"6","transaction":"7"}`,
		// A 28-digit number of Alipay and of WeChat Pay, a buyer, order numbers with a date.
		`{"body":"2026112122001156121411587564","attach":"4200002356202611211234567890"}`,
		`{"remark":"2088102122524333"}`,
		`{"remark":"20261121104207123","gmt":"20261121104207","ms":"1795239000000","us":1795239000000123}`,
		`{"remark":"20261121-4111111111111111","note":"4111111111111111-1"}`,
		// A right check digit and issuer, in what identifies something else.
		`{"trade_no":"4111111111111111","out_trade_no":"4111111111111111","transaction_id":"4111111111111111"}`,
		`{"out_refund_no":"4111111111111111","refund_id":"4111111111111111","mch_id":"4111111111111111"}`,
		`{"mchOrderNo":"4111111111111111","payOrderId":"4111111111111111","orderSn":"4111111111111111"}`,
		`{"id":4111111111111111,"goods":[{"goods_id":"4111111111111111"}],"x":"{\"trade_no\":4111111111111111}"}`,
		// Other digits.
		`{"remark":"4111111111111112","note":"9111111111111111","x":"41111111111111111111"}`,
		`{"remark":"a4111111111111111","note":"4111111111111111b","x":"x_4111111111111111"}`,
		`{"total":"4111111111111111.00","rate":"0.4111111111111111","n":4111111111111111.5}`,
		`{"remark":"411111******1111","note":"4111 11** **** 1111","x":"411111XXXXXX1111","y":"4111********1111"}`,
		`{"remark":"41 11 11 11 11 11 11 11","note":"4111  1111  1111  1111","x":"4111-1111 1111-1111"}`,
		`{"uuid":"41111111-1111-1111-1111-111111111111","hash":"9f86d081884c7d659a2feaa0c55ad0154111111111111111"}`,
		`{"remark":"                 ","note":"-------------------","x":"","y":null,"z":true,"s":"1111"}`,
	} {
		if faults := cardFaults(t, params); len(faults) > 0 {
			t.Errorf("%s: %+v", params, faults)
		}
	}
}

// TestCardDataAtAccept checks that every profile asks, and what the caller is told.
func TestCardDataAtAccept(t *testing.T) {
	for _, p := range All() {
		m := &store.Merchant{MchID: "m1", Profile: p.Name}
		n := &store.Notification{Params: json.RawMessage(`{"body":"4111 1111 1111 1111"}`), Schedule: "alipay"}
		found := false
		for _, f := range Check(p, m, n) {
			found = found || f.Slug == "card-data" && f.Location == "body.params.body"
		}
		if !found {
			t.Errorf("%s accepts a card number: %+v", p.Name, Check(p, m, n))
		}
	}
}

// TestCardNumberAnywhere checks the search, which looks at one byte in 13, against one that looks everywhere.
func TestCardNumberAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filler := rapid.StringMatching(`[a-z0-9 ,.-]{0,60}`)
		before, after := filler.Draw(t, "before"), filler.Draw(t, "after")
		number := rapid.SampledFrom([]string{
			"4111111111111111", "4222222222222", "378282246310005", "6205500000000000004", "4111 1111 1111 1111",
			"3782-822463-10005",
		}).Draw(t, "number")
		text := before + "|" + number + "|" + after
		start, end := nextPAN(text, 0)
		if start < 0 || start > len(before)+1 {
			t.Fatalf("%q: found at %d–%d", text, start, end)
		}
		masked := MaskPAN(text)
		if left, _ := nextPAN(masked, 0); left >= 0 || len(masked) != len(text) {
			t.Fatalf("%q masked is %q", text, masked)
		}
	})
}

func TestMaskPAN(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"success":                          "success",
		"4111111111111111":                 "411111******1111",
		"card 4111-1111-1111-1111 refused": "card 4111-11**-****-1111 refused",
		`{"a":"378282246310005","b":"4222222222222"}`: `{"a":"378282*****0005","b":"422222***2222"}`,
		"20261121220011561214115875640":               "20261121220011561214115875640",
	} {
		if got := MaskPAN(text); got != want {
			t.Errorf("%q masked is %q, want %q", text, got, want)
		}
		if got := MaskPAN([]byte(text)); string(got) != want {
			t.Errorf("%q masked as bytes is %q, want %q", text, got, want)
		}
	}
	plain := []byte("success")
	if masked := MaskPAN(plain); &masked[0] != &plain[0] {
		t.Error("a text without card number is copied")
	}
}

func FuzzMaskPAN(f *testing.F) {
	f.Add("4111 1111 1111 1111")
	f.Add("a\x00-- 4111111111111111 4111111111111111")
	f.Fuzz(func(t *testing.T, text string) {
		masked := MaskPAN(text)
		if len(masked) != len(text) {
			t.Fatalf("%q has %d bytes, masked %q", text, len(text), masked)
		}
		if left, _ := nextPAN(masked, 0); left >= 0 {
			t.Fatalf("%q masked is %q", text, masked)
		}
		checkCard(nil, &Param{Name: "remark", Value: text})
		checkCard(nil, &Param{Name: text, Value: "x"})
	})
}
