package profile

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAmount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialect, params, field, value string }{
		{"alipay", `{"trade_no":"1","total_amount":"88.88","receipt_amount":"80.00"}`, "total_amount", "88.88"},
		{"alipay", `{"total_amount":88.80}`, "total_amount", "88.80"},
		{"alipay", `{"total_amount":"88.88","refund_fee":"8.00"}`, "refund_fee", "8.00"},
		{"alipay", `{"total_amount":"88.88","refund_fee":"0.00"}`, "total_amount", "88.88"},
		{"alipay", `{"total_amount":"0.00"}`, "total_amount", "0.00"},
		{"alipay_mapi", `{"price":"3.00","total_fee":"6.00","quantity":"2"}`, "total_fee", "6.00"},
		{"wechat_v2", `{"total_fee":"101","cash_fee":"100"}`, "total_fee", "101"},
		{"wechat_v2", `{"total_fee":101,"refund_fee":1,"settlement_refund_fee":1}`, "refund_fee", "1"},
		{"wechat_v3", `{"amount":{"total":8888,"payer_total":8800,"currency":"CNY"}}`, "amount.total", "8888"},
		{"wechat_v3", `{"amount":{"total":8888,"refund":88,"payer_refund":80}}`, "amount.refund", "88"},
		{"epay", `{"trade_no":"1","name":"VIP","money":"1.00"}`, "money", "1.00"},
		{"jeepay", `{"amount":"100","currency":"cny"}`, "amount", "100"},
		{"jeepay", `{"payAmount":"100","refundAmount":"40"}`, "refundAmount", "40"},
		{"stripe", `{"amount":2000,"amount_refunded":0,"currency":"usd"}`, "amount", "2000"},
		{"stripe", `{"amount_total":2000}`, "amount_total", "2000"},
		{"standard", `{"amount":{"value":"12.50","currency":"EUR"}}`, "amount.value", "12.50"},
		{"standard", `{"total_amount":"1","amount":"2"}`, "total_amount", "1"},
		{"json_rsa", `{"amount":"7"}`, "amount", "7"},
		{"form", `{"order_id":"1","amount":"100"}`, "amount", "100"},
		{"unheard-of", `{"money":"-5.5"}`, "money", "-5.5"},

		{"alipay", `{}`, "", ""},
		{"alipay", `null`, "", ""},
		{"alipay", ``, "", ""},
		{"alipay", `{"total_amount":`, "", ""},
		{"alipay", `{"total_amount":"¥88.88","buyer_pay_amount":"1"}`, "", ""},
		{"alipay", `{"total_amount":"1,000.00"}`, "", ""},
		{"alipay", `{"total_amount":" 1.00"}`, "", ""},
		{"alipay", `{"total_amount":1e999999999}`, "", ""},
		{"alipay", `{"total_amount":"1."}`, "", ""},
		{"alipay", `{"total_amount":".5"}`, "", ""},
		{"alipay", `{"total_amount":"--5"}`, "", ""},
		{"alipay", `{"total_amount":true}`, "", ""},
		{"alipay", `{"total_amount":"` + strings.Repeat("9", 41) + `"}`, "", ""},
		{"wechat_v3", `{"amount":{"total":{"total":1}}}`, "", ""},
		{"wechat_v3", `{"amount":["total",1]}`, "", ""},
	} {
		field, value := Amount(c.dialect, json.RawMessage(c.params))
		if field != c.field || value != c.value {
			t.Errorf("%s %s: %q %q, want %q %q", c.dialect, c.params, field, value, c.field, c.value)
		}
	}
}

// TestAmountOfVectors: in what real notifications carry, every provider's dialect has its money found.
func TestAmountOfVectors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialect, file, field, value string }{
		{"alipay", "alipay.json", "total_amount", "20.00"},
		{"alipay_mapi", "alipay_legacy_md5.json", "total_fee", "1.00"},
		{"wechat_v2", "wechat_v2.json", "total_fee", "1"},
		{"wechat_v3", "wechat_v3.json", "amount.total", "100"},
		{"epay", "epay.json", "money", "1.00"},
		{"jeepay", "jeepay.json", "amount", "1"},
	} {
		var vectors struct {
			Cases []struct {
				Params    [][2]string
				Plaintext string // of wechat_v3
			}
		}
		readTestdata(t, c.file, &vectors)
		first := vectors.Cases[0]
		params := []byte(first.Plaintext)
		if c.dialect != "wechat_v3" {
			pairs := map[string]string{}
			for _, pair := range first.Params {
				pairs[pair[0]] = pair[1]
			}
			params, _ = json.Marshal(pairs)
		}
		if field, value := Amount(c.dialect, params); field != c.field || value != c.value {
			t.Errorf("%s: %q %q, want %q %q in %s", c.dialect, field, value, c.field, c.value, params)
		}
	}
	for name := range amountNames {
		if _, known := ByName(name); !known {
			t.Errorf("there is no profile %q", name)
		}
	}
}

func TestAmountsSum(t *testing.T) {
	t.Parallel()
	var a Amounts
	if got := a.Texts(); got == nil || len(got) != 0 {
		t.Errorf("nothing: %v", got)
	}
	for _, value := range []string{"0.10", "0.2", "-0.05", "12345678901234567890"} {
		a.Add("total_amount", value)
	}
	a.Add("total_fee", "101")
	a.Add("refund_fee", "-0.30")
	a.Add("refund_fee", "0.3")
	a.Add("small", "-0.05")
	a.Add("", "5")
	a.Add("total_fee", "1e9")
	want := map[string]string{
		"total_amount": "12345678901234567890.25", "total_fee": "101", "refund_fee": "0.00", "small": "-0.05",
	}
	if diff := cmp.Diff(want, a.Texts()); diff != "" {
		t.Error(diff)
	}
}

// TestAmountsSumLikeRationals: whatever is added in whatever order, the sum is the one of exact rationals.
func TestAmountsSumLikeRationals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var a Amounts
		want := new(big.Rat)
		values := rapid.SliceOfN(rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,8})?`), 1, 20).Draw(t, "values")
		for _, value := range values {
			a.Add("x", value)
			r, _ := new(big.Rat).SetString(value)
			want.Add(want, r)
		}
		got, ok := new(big.Rat).SetString(a.Texts()["x"])
		if !ok || got.Cmp(want) != 0 {
			t.Errorf("%v: %q, want %s", values, a.Texts()["x"], want)
		}
	})
}
