package profile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"paynotify/store"
)

// fuzzPolicies are the rules of all profiles, and the kinds of rule that none of them has.
var fuzzPolicies = func() (list []store.Ack) {
	for _, p := range all {
		list = append(list, AckPolicy(p, &store.Merchant{}))
	}
	wide := []string{"2xx", "500"}
	return append(
		list,
		store.Ack{Match: "exact", Text: "[accepted]", Status: []string{"200"}},
		store.Ack{Match: "exact", Text: "success\n", Status: wide},
		store.Ack{Match: "trim", Text: "成功", Status: wide},
		store.Ack{
			Match: "trim", Text: "success", Status: wide,
			Lenient: []store.Reason{store.AckCase, store.AckHTML},
		},
		store.Ack{
			Match: "trim", Text: "success", Status: onlyOK,
			Lenient: []store.Reason{store.AckStatus, store.AckJSON, store.AckUTF16, store.AckInvisible},
		},
		store.Ack{
			Match: "xml_return_code", Text: "SUCCESS", Status: onlyOK,
			Lenient: []store.Reason{store.AckNotXML},
		},
		store.Ack{Match: "json_path", Path: "code", Text: "0", Status: wide},
		store.Ack{Match: "json_path", Path: "$.data[1].code", Text: "SUCCESS", Status: onlyOK},
	)
}()

// fuzzFaults are what may cut an exchange short, beginning with nothing.
var fuzzFaults = func() []store.Reason {
	list := []store.Reason{""}
	for _, r := range store.Reasons {
		if store.VerdictOf(r).Class() == "error" {
			list = append(list, r)
		}
	}
	return list
}()

// FuzzJudge: whatever comes back and whatever the rule, the judgement is one of the closed lists, the same
// each time, and an acknowledgement only where another reading of the rule finds it too.
func FuzzJudge(f *testing.F) {
	var corpus struct {
		Cases []struct {
			Status      int
			ContentType string `json:"content_type"`
			Body        string `json:"body_b64"`
		}
	}
	readTestdata(f, "ack_corpus.json", &corpus)
	for _, c := range corpus.Cases {
		body, err := base64.StdEncoding.DecodeString(c.Body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, c.Status, c.ContentType, "", uint8(0))
	}
	for _, c := range judgeCases {
		at := max(slices.Index(fuzzFaults, c.reply.Fault), 0)
		f.Add(c.reply.Body, c.reply.Status, c.reply.ContentType, c.reply.ContentEncoding, uint8(at))
	}
	for _, body := range []string{
		`{"code":"0"}`, `{"code":0}`, `{"code":"0","code":"1"}`, `{"data":[1,{"code":"SUCCESS"}]}`, " 成功\n",
		"<xml><return_code>&#83;UCCESS</return_code></xml>", "<x:return_code>SUCCESS</x:return_code>",
	} {
		f.Add([]byte(body), 200, "text/plain", "identity", uint8(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, status int, contentType, encoding string, fault uint8) {
		r := Reply{
			Status: status, ContentType: contentType, ContentEncoding: encoding, Body: body,
			Fault: fuzzFaults[int(fault)%len(fuzzFaults)],
		}
		for _, ack := range fuzzPolicies {
			before := string(body)
			j := Judge(ack, r)
			if again := Judge(ack, r); j != again || string(body) != before {
				t.Errorf("%+v: %+v, then %+v", ack, j, again)
			}
			checkJudgement(t, ack, r, j)
		}
	})
}

func checkJudgement(t *testing.T, ack store.Ack, r Reply, j Judgement) {
	t.Helper()
	want := store.VerdictOf(j.Reason)
	if j.Reason == store.AckStatus || j.Reason == store.HTTPStatus {
		want = store.StatusVerdict(r.Status)
	}
	if !slices.Contains(store.Reasons, j.Reason) || j.Verdict != want || len(j.Detail) > 300 {
		t.Errorf("%+v, %+v: got %+v, want verdict %s", ack, r, j, want)
	}
	holds, certain := ruleHolds(ack, r)
	switch acked := j.Verdict == store.Acked; {
	case acked && len(ack.Lenient) > 0 && !holds:
		checkForgiven(t, ack, r, j)
	case acked && !holds, !acked && holds && certain:
		t.Errorf("%+v, %+v: got %+v, and the rule holds: %t", ack, r, j, holds)
	}
}

// checkForgiven: what counts only by ack.lenient is refused by the rule without it, for reasons that are
// listed there.
func checkForgiven(t *testing.T, ack store.Ack, r Reply, j Judgement) {
	t.Helper()
	allowed := ack.Lenient
	if j.Reason != store.AckTrimmed || j.Detail == "" {
		t.Errorf("%+v, %+v: forgiven as %+v", ack, r, j)
	}
	if ack.Lenient = nil; Judge(ack, r).Verdict == store.Acked {
		t.Errorf("%+v, %+v: acknowledged without ack.lenient, but no rule holds", ack, r)
	}
	if !statusIn(ack.Status, r.Status) && !slices.Contains(allowed, store.AckStatus) {
		t.Errorf("%+v, %+v: the status was forgiven", ack, r)
	}
	r.Status = 200
	if strict := Judge(ack, r); strict.Verdict != store.Acked && !slices.Contains(allowed, strict.Reason) {
		t.Errorf("%+v, %+v: %s was forgiven, only %v may be", ack, r, strict.Reason, allowed)
	}
}

// ruleHolds reads a rule the plain way, apart from Judge's code. certain says that a reply for which it holds
// must be acknowledged; of documents other readers take more than we do.
func ruleHolds(ack store.Ack, r Reply) (holds, certain bool) {
	listed := slices.Contains(ack.Status, strconv.Itoa(r.Status)) ||
		slices.Contains(ack.Status, "2xx") && r.Status >= 200 && r.Status <= 299
	if ack.Match == "status" {
		headIsWhole := []store.Reason{"", store.Truncated, store.TooLarge, store.TimeoutBody, store.Malformed}
		return listed && slices.Contains(headIsWhole, r.Fault), true
	}
	plain := r.ContentEncoding == "" || strings.EqualFold(strings.TrimSpace(r.ContentEncoding), "identity")
	whole := r.Fault == "" && len(r.Body) > 0 && len(r.Body) <= ReplyBytesMax
	if !listed || !plain || !whole || r.Status == 204 || r.Status == 205 {
		return false, false
	}
	const space = " \t\n\v\f\r"
	trimmed := strings.Trim(strings.TrimPrefix(strings.TrimLeft(string(r.Body), space), "\ufeff"), space)
	switch ack.Match {
	case "exact":
		return string(r.Body) == ack.Text, true
	case "trim":
		return trimmed == ack.Text, true
	case "trim_fold":
		return strings.EqualFold(trimmed, ack.Text) && len(trimmed) == len(ack.Text), true
	case "xml_return_code":
		return xmlSays(trimmed), false
	}
	return jsonPathSays(trimmed, ack.Path, ack.Text), false
}

// xmlSays looks for one return_code below the root with encoding/xml.
func xmlSays(doc string) bool {
	_, elements, err := readByGo([]byte(doc))
	codes := slices.DeleteFunc(elements, func(e xmlElement) bool {
		_, local, found := strings.Cut(e.name, ":")
		return e.name != "return_code" && (!found || local != "return_code")
	})
	return err == nil && len(codes) == 1 && !codes[0].nested &&
		strings.Trim(codes[0].text, " \t\n\v\f\r") == "SUCCESS"
}

// jsonPathSays looks for the text at a path of the two in fuzzPolicies with encoding/json.
func jsonPathSays(doc, path, text string) bool {
	decoder := json.NewDecoder(strings.NewReader(doc))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return false
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return false
	}
	for step := range strings.FieldsFuncSeq(path, func(r rune) bool { return strings.ContainsRune("$.[]", r) }) {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(v) {
				return false
			}
			value = v[n]
		default:
			return false
		}
	}
	return value != nil && fmt.Sprint(value) == text
}

// FuzzForm: a form or a query that Check lets in is what net/url reads back as the parameters that were
// given, and verifies; and no byte of it can be changed unseen.
func FuzzForm(f *testing.F) {
	senders := fuzzSenders(f, []*Profile{&form, &alipay, &alipayMapi, &epay, &jeepay})
	for i, s := range senders {
		_, n := sample(s.p)
		f.Add(uint8(i), false, n.OutTradeNo, []byte(n.Params), uint16(20), byte('1'))
	}
	for _, name := range []string{"alipay.json", "alipay_legacy_md5.json"} {
		for _, v := range readVectors(f, name) {
			var pairs [][2]string
			for _, p := range v.Params {
				if !slices.Contains(CommonReserved, p[0]) {
					pairs = append(pairs, p)
				}
			}
			f.Add(uint8(len(pairs)), v.Hash == "GBK", "", []byte(jsonObject(f, pairs)), uint16(9), byte('+'))
		}
	}
	odd := []byte(`{"a_B":"1","A_b":"2","amount":-0.10e+5,"c":true,"d":null}`)
	f.Add(uint8(4), false, "", odd, uint16(0), byte('&'))
	f.Fuzz(func(t *testing.T, which uint8, gbk bool, order string, params []byte, at uint16, to byte) {
		s := senders[int(which)%len(senders)]
		charset := ""
		if gbk && slices.Contains(s.p.Charsets, charsetGBK) {
			charset = charsetGBK
		}
		msg, ok := s.send(t, charset, order, params)
		if !ok {
			return
		}
		text := string(msg.Body) + map[bool]string{true: msg.Query}[msg.Method == "GET"]
		got, err := url.ParseQuery(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		s.arrives(t, charset, params, got)
		if !s.p.Unsigned {
			s.tamper(t, msg, int(at), to)
		}
	})
}

// FuzzDialects: whatever Check lets in, any profile encodes, the same each time, and its receivers verify.
func FuzzDialects(f *testing.F) {
	senders := fuzzSenders(f, All())
	for i, p := range All() {
		_, n := sample(p)
		f.Add(uint8(i), n.OutTradeNo, []byte(n.Params), uint16(40), byte('1'))
		odd := []byte(`{"total_fee":1,"attach":"<![CDATA[x]]>","amount":{"total":1},"s":"/\u2028\u0001"}`)
		f.Add(uint8(i), "", odd, uint16(3), byte('"'))
	}
	f.Fuzz(func(t *testing.T, which uint8, order string, params []byte, at uint16, to byte) {
		s := senders[int(which)%len(senders)]
		if msg, ok := s.send(t, "", order, params); ok && !s.p.Unsigned {
			s.tamper(t, msg, int(at), to)
		}
	})
}

// fuzzSender is a profile with keys that were read once: reading an RSA key takes longer than all the rest.
type fuzzSender struct {
	p      *Profile
	keys   *Keys
	verify VerifyKeys
}

func fuzzSenders(f *testing.F, profiles []*Profile) (list []fuzzSender) {
	f.Helper()
	for _, p := range profiles {
		m, _ := sample(p)
		key, verify := material(f, p)
		list = append(list, fuzzSender{p, loadKeys(f, p, m, key), verify})
	}
	return list
}

// send encodes what Check lets in, twice, and verifies it; ok is false for what is not let in.
func (s *fuzzSender) send(t *testing.T, charset, order string, params []byte) (msg Message, ok bool) {
	t.Helper()
	p, m := s.p, &store.Merchant{MchID: "m1", Profile: s.p.Name, AppID: "app1", Charset: charset}
	n := &store.Notification{
		MchID: "m1", Profile: p.Name, NotifyID: store.NewID(vectorTime, 0), OutTradeNo: order, Params: params,
		CreatedAt: vectorTime,
	}
	if !utf8.ValidString(order) || len(Check(p, m, n)) > 0 { // the API hands on nothing else
		return Message{}, false
	}
	in := Input{Notification: n, Merchant: m, Keys: s.keys, Now: vectorTime}
	msg, err := Encode(p, in)
	if err != nil {
		t.Fatalf("%s: let in, and %v\n%s", p.Name, err, params)
	}
	if again, err := Encode(p, in); err != nil || !reflect.DeepEqual(msg, again) {
		t.Fatalf("%s: another message from the same input: %v\n%s\n%s", p.Name, err, msg.Body, again.Body)
	}
	v, err := Verify(p, captured(msg), s.verify)
	if err != nil {
		t.Fatalf("%s: refused: %v\n%s%s", p.Name, err, msg.Query, msg.Body)
	}
	if notifyIDIn(p) != "" && v.NotifyID != n.NotifyID {
		t.Fatalf("%s: notify_id %q arrived", p.Name, v.NotifyID)
	}
	want := order
	if charset == charsetGBK {
		want, _, _ = gbkOf(order)
	}
	replaces := p == &jeepay && bytes.Contains(params, []byte(`O`)) // mchOrderNo may be a parameter
	if v.OutTradeNo != want && !replaces {
		t.Fatalf("%s: out_trade_no %q arrived, want %q", p.Name, v.OutTradeNo, want)
	}
	return msg, true
}

// arrives compares what somebody else read with the parameters that were given.
func (s *fuzzSender) arrives(t *testing.T, charset string, params []byte, got url.Values) {
	t.Helper()
	ps, err := ParseParams(params)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ps {
		name, want := ps[i].Name, []string{ps[i].Value}
		switch {
		case want[0] == "" && slices.Contains(s.p.Adds, name):
			continue // the default is sent
		case want[0] == "":
			want = nil
		case charset == charsetGBK:
			want[0], _, _ = gbkOf(want[0])
		}
		if !slices.Equal(got[name], want) {
			t.Fatalf("%s: %s arrives as %q, want %q", s.p.Name, name, got[name], want)
		}
	}
}

// tamper changes one byte of what is signed: the receiver refuses it, or reads the same all the same.
func (s *fuzzSender) tamper(t *testing.T, msg Message, at int, to byte) {
	t.Helper()
	good, err := Verify(s.p, captured(msg), s.verify)
	if err != nil {
		t.Fatal(err)
	}
	req := captured(msg)
	if msg.Method == "GET" {
		changed := []byte(msg.Query)
		changed[at%len(changed)] = to
		req.Query = string(changed)
	} else {
		req.Body = slices.Clone(msg.Body)
		req.Body[at%len(req.Body)] = to
	}
	if bad, err := Verify(s.p, req, s.verify); err == nil && !slices.Equal(good.Fields, bad.Fields) {
		t.Fatalf("%s: tampered and verified:\n%s%s\n%s%s", s.p.Name, msg.Query, msg.Body, req.Query, req.Body)
	}
}
