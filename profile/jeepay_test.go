package profile

import (
	"strconv"
	"testing"
	"time"

	"paynotify/store"
)

// TestJeepayVectors sends what Jeepay's Java SDK accepted, byte for byte.
func TestJeepayVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Case, Canonical, Key, Body, Sign string
			Params                           [][2]string
		}
	}
	readTestdata(t, "jeepay.json", &file)
	if len(file.Cases) != 1 {
		t.Fatalf("%d vectors, want 1", len(file.Cases))
	}
	v := file.Cases[0]
	m := &store.Merchant{MchID: "m1", Profile: "jeepay"}
	n := &store.Notification{MchID: "m1", Profile: "jeepay", NotifyID: "0"}
	var fields, params []Field
	var given [][2]string
	for _, p := range v.Params {
		fields = append(fields, Field{p[0], p[1]})
		if p[0] == "reqTime" { // ours: the instant of acceptance
			ms, err := strconv.ParseInt(p[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			n.CreatedAt = time.UnixMilli(ms)
			continue
		}
		params, given = append(params, fields[len(fields)-1]), append(given, p)
	}
	n.Params = jsonObject(t, given)
	if faults := append(CheckMerchant(&jeepay, m), Check(&jeepay, m, n)...); len(faults) > 0 {
		t.Fatalf("refused: %+v", faults)
	}
	in := Input{
		Notification: n, Merchant: m, Now: vectorTime, Keys: loadKeys(t, &jeepay, m, Material{Secret: v.Key}),
	}
	msg, err := jeepay.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(msg.StringToSign) + v.Key; got != v.Canonical {
		t.Errorf("string to sign\n got %q\nwant %q", got, v.Canonical)
	}
	// We send reqTime first, the vector has it last: the same fields, and the order means nothing.
	want := append([]Field{{"reqTime", strconv.FormatInt(n.CreatedAt.UnixMilli(), 10)}}, params...)
	if got := string(formBody(append(want, Field{"sign", v.Sign}))); string(msg.Body) != got {
		t.Errorf("body\n got %s\nwant %s", msg.Body, got)
	}
	if got := string(formBody(append(fields, Field{"sign", v.Sign}))); got != v.Body {
		t.Errorf("body of the vector\n got %s\nwant %s", got, v.Body)
	}
	req := CapturedRequest{Method: "POST", Header: msg.Header, Body: []byte(v.Body)}
	if _, err := jeepay.Verify(req, VerifyKeys{Secret: v.Key}); err != nil {
		t.Errorf("the vector is refused: %v", err)
	}
}

func TestJeepayVerify(t *testing.T) {
	verifiesAndRefuses(t, &jeepay, nil)
}

func TestJeepayNamesThatDifferInCase(t *testing.T) {
	m := &store.Merchant{MchID: "m1", Profile: "jeepay"}
	for params, location := range map[string]string{
		`{"amount":"1","Amount":"2"}`: "body.params.Amount",
		`{"mchno":"1"}`:               "body.params.mchno",
		`{"reqTime":"1"}`:             "body.params.reqTime",
	} {
		faults := Check(&jeepay, m, &store.Notification{MchID: "m1", Params: []byte(params)})
		if len(faults) != 1 || faults[0].Location != location {
			t.Errorf("%s: %+v, want one at %s", params, faults, location)
		}
	}
}
