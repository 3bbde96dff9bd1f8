package profile

import (
	"testing"

	"paynotify/store"
)

// TestEpayVectors sends what real epay verifiers accepted, byte for byte.
func TestEpayVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Case, Canonical, Key, Query, Sign string
			Params                            [][2]string
		}
	}
	readTestdata(t, "epay.json", &file)
	if len(file.Cases) != 1 {
		t.Fatalf("%d vectors, want 1", len(file.Cases))
	}
	v := file.Cases[0]
	m := &store.Merchant{MchID: "m1", Profile: "epay", Options: map[string]any{"partner": "1001"}}
	n := &store.Notification{
		MchID: "m1", Profile: "epay", NotifyID: "0", OutTradeNo: "20160806151343349",
		Params: jsonObject(t, v.Params), CreatedAt: vectorTime,
	}
	if faults := append(CheckMerchant(&epay, m), Check(&epay, m, n)...); len(faults) > 0 {
		t.Fatalf("refused: %+v", faults)
	}
	keys := loadKeys(t, &epay, m, Material{Secret: v.Key})
	in := Input{Notification: n, Merchant: m, Now: vectorTime, Keys: keys}
	msg, err := epay.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(msg.StringToSign); got != v.Canonical {
		t.Errorf("string to sign\n got %q\nwant %q", got, v.Canonical)
	}
	if msg.Method != "GET" || msg.Query != v.Query || msg.Body != nil {
		t.Errorf("%s\n got %s\nwant %s", msg.Method, msg.Query, v.Query)
	}
	n.Params = jsonObject(t, v.Params[1:2]) // the rest is ours to add
	if msg, err = epay.Encode(in); err != nil {
		t.Fatal(err)
	}
	const want = "pid=1001&out_trade_no=20160806151343349&trade_status=TRADE_SUCCESS" +
		"&trade_no=20160806151343349021&sign="
	if len(msg.Query) < len(want) || msg.Query[:len(want)] != want {
		t.Errorf("got %s, want %s…", msg.Query, want)
	}
}

func TestEpayVerify(t *testing.T) {
	verifiesAndRefuses(t, &epay, nil)
}
