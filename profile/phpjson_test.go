package profile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"paynotify/signer"
	"paynotify/store"
)

func TestPHPText(t *testing.T) {
	for doc, want := range map[string]string{
		`{}`:                                     `{}`,
		`{"a":"b/c"}`:                            `{"a":"b\/c"}`,
		`{"a/é":{"b":-1}}`:                       `{"a\/\u00e9":{"b":-1}}`,
		`{"a":"\"\\\b\f\n\r\t\u0000"}`:           `{"a":"\"\\\b\f\n\r\t\u0000"}`,
		"{\"a\":\"\x7f\u0080\u2028\uffff<>&'\"}": "{\"a\":\"\x7f" + `\u0080\u2028\uffff<>&'"}`,
		"{\"a\":\"\U00010000😀\U0010ffff订单 x\"}": `{"a":"\ud800\udc00\ud83d\ude00\udbff\udfff\u8ba2\u5355 x"}`,
	} {
		if got, err := phpText([]byte(doc)); err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", doc, got, err, want)
		}
	}
	for _, doc := range []string{"{\"a\":\"\xff\"}", "\xed\xa0\x80", "\xf5", "é\xc3"} {
		if got, err := phpText([]byte(doc)); err == nil {
			t.Errorf("%q became %q", doc, got)
		}
	}
}

// phpMerchant verifies as the mended tutorial does, a request a line, and tells the text that it verified.
const phpMerchant = `
$public = end($argv);
while (($line = fgets(STDIN)) !== false) {
    [$kind, $body] = explode(' ', rtrim($line));
    $body = base64_decode($body);
    if ($kind === 'form') {
        parse_str($body, $data);
    } else {
        $data = json_decode($body, true);
    }
    $signature = is_array($data) ? $data['signature'] ?? '' : '';
    $signature = is_string($signature) ? base64_decode($signature) : '';
    unset($data['signature']);
    $text = json_encode($data);
    $ok = openssl_verify($text, $signature, $public, OPENSSL_ALGO_SHA256);
    echo $ok, ' ', base64_encode($text), "\n";
}`

// TestPHPAgrees sends random documents to PHP itself: what it would sign is what we signed. And with one byte
// of them changed: what PHP refuses, Verify refuses.
func TestPHPAgrees(t *testing.T) {
	php, err := exec.LookPath("php")
	if err != nil {
		t.Skip("php is not installed")
	}
	const documents = 400
	keys, public := jsonRSAKeys(t)
	pem, err := signer.PublicPEM(public)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(2026, 11))
	var stdin bytes.Buffer
	var sent []Message
	var changed []bool // and verified all the same, as when a blank between members became another
	for len(sent) < documents {
		body := []string{bodyForm, bodyJSON}[len(sent)%2]
		m, n := jsonRSAMerchant(body, ""), &store.Notification{
			NotifyID: "id1", NotifyType: randomText(random), OutTradeNo: "20261121-1",
			Params: randomObject(random, body == bodyJSON, 3),
		}
		if len(Check(&jsonRSA, m, n)) > 0 {
			continue
		}
		msg, err := Encode(&jsonRSA, Input{Notification: n, Merchant: m, Keys: keys, Now: vectorTime})
		if err != nil {
			t.Fatalf("accepted, but %v: %s", err, n.Params)
		}
		sent = append(sent, msg)
		bad := captured(msg)
		bad.Body = slices.Clone(msg.Body)
		bad.Body[random.IntN(len(bad.Body))] = "\"\\{}[],:=&%+ .01aA\xff"[random.IntN(19)]
		_, err = Verify(&jsonRSA, bad, VerifyKeys{PublicKey: public})
		changed = append(changed, err == nil)
		for _, received := range [][]byte{msg.Body, bad.Body} {
			fmt.Fprintf(&stdin, "%s %s\n", body, base64.StdEncoding.EncodeToString(received))
		}
	}
	cmd := exec.Command(php, "-d", "display_errors=0", "-r", phpMerchant, "--", pem)
	cmd.Stdin = &stdin
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != 2*documents {
		t.Fatalf("PHP said %d lines, want %d:\n%s", len(lines), 2*documents, out)
	}
	for i := range documents {
		if ok, _, _ := strings.Cut(lines[2*i+1], " "); changed[i] && ok != "1" {
			t.Errorf("a byte of this changed, Verify accepts it and PHP does not:\n%s", sent[i].Body)
		}
		line := lines[2*i]
		if want := "1 " + base64.StdEncoding.EncodeToString(sent[i].StringToSign); line != want {
			verdict, text, _ := strings.Cut(line, " ")
			plain, _ := base64.StdEncoding.DecodeString(text) // shown as far as it goes
			t.Errorf("PHP says %s and would sign\n%s\nwe signed\n%s\nsent\n%s",
				verdict, plain, sent[i].StringToSign, sent[i].Body)
		}
	}
}

// randomText draws from what breaks encoders: escapes, controls, the ends of the UTF-8 lengths.
func randomText(random *rand.Rand) string {
	runes := []rune("aZ09 _-&=+%'\"<>\\/?#@\b\f\n\r\t\x01\x1f\x7f\u0080é" +
		"\u07ff\u0800订单\u2028\ufeff\uffff\U00010000😀")
	text := make([]rune, random.IntN(12))
	for i := range text {
		text[i] = runes[random.IntN(len(runes))]
	}
	return string(text)
}

// randomObject writes params; with levels it may nest, and name members as only JSON can.
func randomObject(random *rand.Rand, anyNames bool, levels int) json.RawMessage {
	b := []byte{'{'}
	for i := range 1 + random.IntN(6) {
		name := fmt.Sprintf("p_%c", 'a'+i)
		if anyNames {
			name += randomText(random)
		}
		b = appendName(b, name)
		switch kind := random.IntN(8); {
		case kind == 0:
			b = fmt.Appendf(b, "%d", random.Int64N(1<<54)-1<<53)
		case kind == 1:
			b = fmt.Appendf(b, "%t", random.IntN(2) == 0)
		case kind == 2 && anyNames && levels > 0:
			b = append(b, randomObject(random, true, levels-1)...)
		default:
			b = appendText(b, randomText(random))
		}
	}
	return append(b, '}')
}

// FuzzPHPText: what may be sent is signed as plain ASCII that says the same, and as the plain way of writing
// it would have it.
func FuzzPHPText(f *testing.F) {
	f.Add(`{"a":"b/c","é":{"b":-1,"":true}}`)
	f.Add(`{"a":"\u0000\ud83d\ude00\/","b":""}`)
	f.Add("{\"a\":\"\x7f\u2028\"}")
	f.Fuzz(func(t *testing.T, params string) {
		n := &store.Notification{NotifyID: "id1", Params: json.RawMessage(params)}
		if len(Check(&jsonRSA, jsonRSAMerchant(bodyJSON, ""), n)) > 0 {
			return
		}
		ps, err := ParseParams(n.Params)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := appendMembers([]byte{'{'}, ps)
		if err != nil {
			t.Fatal("accepted, but", err)
		}
		doc = append(doc, '}')
		text, err := phpText(doc)
		if err != nil {
			t.Fatal("accepted, but", err)
		}
		if want := slowPHPText(string(doc)); string(text) != want {
			t.Fatalf("got %s, want %s", text, want)
		}
		again, err := ParseParams(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		back, err := appendMembers([]byte{'{'}, again)
		if err != nil || string(append(back, '}')) != string(doc) {
			t.Fatalf("%s says %s, %v; not %s", text, back, err, doc)
		}
	})
}

func slowPHPText(doc string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(doc)) {
		switch {
		case unit == '/':
			b.WriteString(`\/`)
		case unit >= 0x80:
			fmt.Fprintf(&b, `\u%04x`, unit)
		default:
			b.WriteByte(byte(unit))
		}
	}
	return b.String()
}
