package profile

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
	"testing"

	"paynotify/store"
)

// policies are the rules of the corpus' dialects: the profiles' own presets, as a merchant has them that sets
// nothing, and Adyen's, which is a custom string.
var policies = map[string]store.Ack{
	"alipay":            AckPolicy(&alipay, &store.Merchant{}),
	"alipay_legacy":     AckPolicy(&alipayMapi, &store.Merchant{}),
	"epay":              AckPolicy(&epay, &store.Merchant{}),
	"wechat_v2":         AckPolicy(&wechatV2, &store.Merchant{}),
	"wechat_v3":         AckPolicy(&wechatV3, &store.Merchant{}),
	"standard_webhooks": AckPolicy(&standard, &store.Merchant{}),
	"stripe":            AckPolicy(&stripe, &store.Merchant{}),
	"jeepay":            AckPolicy(&jeepay, &store.Merchant{}),
	"adyen":             {Match: "exact", Text: "[accepted]", Status: []string{"200"}},
}

// TestAckCorpus judges recorded replies of real merchants as the corpus says. Its near-miss words are the
// reasons without their prefix.
func TestAckCorpus(t *testing.T) {
	var corpus struct {
		Cases []struct {
			Dialect     string
			Status      int
			ContentType string  `json:"content_type"`
			Body        string  `json:"body_b64"`
			Ack         bool    `json:"ack"`
			NearMiss    *string `json:"near_miss"`
			Why         string
		}
	}
	readTestdata(t, "ack_corpus.json", &corpus)
	if len(corpus.Cases) != 64 {
		t.Errorf("%d cases, want 64", len(corpus.Cases))
	}
	for _, c := range corpus.Cases {
		body, err := base64.StdEncoding.DecodeString(c.Body)
		if err != nil {
			t.Fatal(err)
		}
		ack, ok := policies[c.Dialect]
		if !ok {
			t.Fatalf("no rule for dialect %s", c.Dialect)
		}
		j := Judge(ack, Reply{Status: c.Status, ContentType: c.ContentType, Body: body})
		if (j.Verdict == store.Acked) != c.Ack {
			t.Errorf("%s %d %q (%s): got %+v, want ack %t", c.Dialect, c.Status, body, c.Why, j, c.Ack)
		}
		if c.Ack {
			continue
		}
		word := ""
		if c.NearMiss != nil {
			word = *c.NearMiss
		}
		if c.Status >= 300 && word == "" {
			continue // for these two dialects the corpus names no cause of a wrong status
		}
		if got := corpusWord(j.Reason); got != word {
			t.Errorf("%s %d %q (%s): got %q, want %q", c.Dialect, c.Status, body, c.Why, got, word)
		}
	}
}

// corpusWord writes a reason as the corpus does: it names near-misses, empty bodies and redirects only.
func corpusWord(r store.Reason) string {
	switch {
	case r.NearMiss(), r == store.AckEmpty:
		return strings.TrimPrefix(string(r), "ack_")
	case r == store.Redirect:
		return "redirect"
	}
	return ""
}

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.Bytes()
}

const (
	wxOK   = "<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg>OK</return_msg></xml>"
	nbsp   = "\u00a0"
	wideLE = "s\x00u\x00c\x00c\x00e\x00s\x00s\x00"
	wideBE = "\x00s\x00u\x00c\x00c\x00e\x00s\x00s"
)

// TestJudge judges the table.
func TestJudge(t *testing.T) {
	for _, c := range judgeCases {
		t.Run(c.name, func(t *testing.T) {
			j := Judge(c.ack, c.reply)
			if j.Verdict != c.verdict || j.Reason != c.reason {
				t.Errorf("got %+v, want %s/%s", j, c.verdict, c.reason)
			}
			if e := Explain(j.Reason); e.Hint() == "" {
				t.Errorf("reason %s has no explanation", j.Reason)
			}
		})
	}
}

func whole(status int, body string) Reply { return Reply{Status: status, Body: []byte(body)} }

func cut(status int, body string, fault store.Reason) Reply {
	return Reply{Status: status, Body: []byte(body), Fault: fault}
}

// TestJudgeLenient turns each near-miss into an acknowledgement where the merchant asked for it, and only it.
func TestJudgeLenient(t *testing.T) {
	replies := map[store.Reason]Reply{
		store.AckCase:      whole(200, "SUCCESS"),
		store.AckQuoted:    whole(200, `"success"`),
		store.AckJSON:      whole(200, `{"a":"success"}`),
		store.AckHTML:      whole(200, "<p>success"),
		store.AckPHPNotice: whole(200, "Notice: a in b on line 1\nsuccess"),
		store.AckExtraText: whole(200, "success."),
		store.AckRepeated:  whole(200, "successsuccess"),
		store.AckUTF16:     whole(200, wideLE),
		store.AckInvisible: whole(200, "success\x00"),
		store.AckNotXML:    whole(200, "SUCCESS"),
		store.AckStatus:    whole(500, "success"),
	}
	for _, reason := range store.Reasons {
		if !reason.NearMiss() {
			continue
		}
		r, ok := replies[reason]
		if !ok {
			t.Errorf("no reply for %s", reason)
			continue
		}
		ack := successAck
		if reason == store.AckNotXML {
			ack = policies["wechat_v2"]
		}
		for _, allowed := range store.Reasons {
			if !allowed.NearMiss() {
				continue
			}
			ack.Lenient = []store.Reason{allowed}
			j := Judge(ack, r)
			if (j.Verdict == store.Acked) != (allowed == reason) {
				t.Errorf("%s with lenient %s: got %+v", reason, allowed, j)
			}
			if j.Verdict == store.Acked && store.VerdictOf(j.Reason) != store.Acked {
				t.Errorf("%s: reason %s does not belong to acked", reason, j.Reason)
			}
			if j.Verdict != store.Acked && j.Reason != reason {
				t.Errorf("%s with lenient %s: got %+v", reason, allowed, j)
			}
		}
	}
	both := successAck
	both.Lenient = []store.Reason{store.AckCase, store.AckStatus}
	if j := Judge(both, whole(500, "SUCCESS")); j.Verdict != store.Acked {
		t.Errorf("case and status both allowed: got %+v", j)
	}
	both.Lenient = both.Lenient[:1]
	if j := Judge(both, whole(500, "SUCCESS")); j.Reason != store.AckStatus || j.Verdict != store.HTTP5xx {
		t.Errorf("status not allowed: got %+v", j)
	}
}

// TestJudgeDetail says what a compressed body holds, reading no more of it than of a plain one.
func TestJudgeDetail(t *testing.T) {
	j := Judge(successAck, Reply{Status: 200, ContentEncoding: "gzip", Body: zipped("success")})
	if !strings.Contains(j.Detail, "the body is the acknowledgement") {
		t.Errorf("got %q", j.Detail)
	}
	plain, err := decompress("gzip", zipped(strings.Repeat("success", 1<<20)))
	if err != nil || len(plain) != ReplyBytesMax {
		t.Errorf("read %d bytes of a bomb, %v", len(plain), err)
	}
	if j := Judge(successAck, cut(200, "success", store.Truncated)); !strings.Contains(j.Detail, "cleanly") {
		t.Errorf("got %q", j.Detail)
	}
	if j := Judge(successAck, whole(200, "\ufeffsuccess")); !strings.Contains(j.Detail, "byte order mark") {
		t.Errorf("got %q", j.Detail)
	}
}

func BenchmarkJudge(b *testing.B) {
	for name, body := range map[string]string{"exact": "success", "trimmed": "\nsuccess\n"} {
		b.Run(name, func(b *testing.B) {
			r := Reply{Status: 200, ContentType: "text/html", Body: []byte(body)}
			b.ReportAllocs()
			for b.Loop() {
				if j := Judge(successAck, r); j.Verdict != store.Acked {
					b.Fatal(j)
				}
			}
		})
	}
}
