package profile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"paynotify/store"
)

func TestVisible(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"success", "success"},
		{" success\r\n", "·success␍↵"},
		{"\ufeffsuccess", "⟨BOM⟩success"},
		{"suc\u200bcess", "suc⟨U+200B⟩cess"},
		{"a\tb\x00\x1b[31m\x7f", "a⇥b\\x00\\x1b[31m\\x7f"},
		{"\xff\xfes", "\\xff\\xfes"},
		{"成功\u00a0", "成功⟨U+00A0⟩"},
		{"\u202e\u0085\u2028", "⟨U+202E⟩⟨U+0085⟩⟨U+2028⟩"},
		{"\ufffd", "\ufffd"},
		{"", ""},
	} {
		if got := Visible([]byte(tt.raw)); got != tt.want {
			t.Errorf("Visible(%q) = %q, want %q", tt.raw, got, tt.want)
		}
		if got := len(Glyphs([]byte(tt.raw))); got != len([]rune(tt.raw)) {
			t.Errorf("%q: %d signs for %d characters", tt.raw, got, len([]rune(tt.raw)))
		}
	}
}

// diffText writes a diff like `(ignored) =same= +extra+ -missing-`.
func diffText(parts []DiffPart) string {
	marks := map[DiffKind][2]string{
		DiffSame: {"=", "="}, DiffIgnored: {"(", ")"}, DiffExtra: {"+", "+"}, DiffMissing: {"-", "-"},
	}
	var words []string
	for _, p := range parts {
		m := marks[p.Kind]
		words = append(words, fmt.Sprintf("%d%s%s%s", p.At, m[0], Visible(p.Raw), m[1]))
	}
	return strings.Join(words, " ")
}

func TestAckDiff(t *testing.T) {
	for _, tt := range []struct {
		ack         store.Ack
		reply, want string
	}{
		{successAck, "success", "0=success="},
		{successAck, "success\n", "0=success= 7(↵)"},
		{successAck, "\ufeff success", "0(⟨BOM⟩·) 4=success="},
		{successAck, "\ufeff \ufeffsuccess", "0(⟨BOM⟩·) 4+⟨BOM⟩+ 7=success="},
		{successAck, "SUCCESS", "0-success- 0+SUCCESS+"},
		{successAck, `"success"`, `0+"+ 1=success= 8+"+`},
		{successAck, "<html>success</html>\n", "0+<html>+ 6=success= 13+</html>+ 20(↵)"},
		{successAck, "successsuccess", "0=success= 7+success+"},
		{successAck, "suc\u200bcess", "0=suc= 3+⟨U+200B⟩+ 6=cess="},
		{successAck, "succes", "0=succes= 6-s-"},
		{successAck, "fail", "0-success- 0+fail+"},
		{successAck, "\xff\xfes\x00u\x00", `0-success- 0+\xff\xfes\x00u\x00+`},
		{successAck, "", "0-success-"},
		{successAck, " \n", "0(·↵) 2-success-"},
		{exactAck, "success\n", "0=success= 7+↵+"},
		{foldAck, "Success", "0=Success="},
		{
			xmlAck, "SUCCESS",
			"0-<xml><return_code><![CDATA[- 0=SUCCESS= 7-]]></return_code></xml>-",
		},
		{pathAck, `{"data":{"list":[null,{"code":"0001"}]}}`, `0={"data":{"list":[null,{"code":"000= ` +
			`34-0- 34+1+ 35="}]}}=`},
		{statusAck, "anything", ""},
	} {
		if got := diffText(AckDiff(tt.ack, []byte(tt.reply))); got != tt.want {
			t.Errorf("%q, match %s:\n got %s\nwant %s", tt.reply, tt.ack.Match, got, tt.want)
		}
	}
}

// TestExpectedReplyCounts demands that what people are told to answer is what Judge takes, for every rule.
func TestExpectedReplyCounts(t *testing.T) {
	rules := []store.Ack{
		exactAck, foldAck, xmlAck, pathAck, wideAck,
		{Match: "json_path", Path: `$.a b.c"d[2]`, Text: "ok \"0\"\\\u2028", Status: onlyOK},
		{Match: "exact", Text: " ok\r\n", Status: onlyOK},
	}
	for _, p := range All() {
		rules = append(rules, AckPolicy(p, &store.Merchant{}))
	}
	for _, ack := range rules {
		status := 200
		reply := ExpectedReply(ack)
		if got := Judge(ack, Reply{Status: status, Body: reply}); got.Verdict != store.Acked {
			t.Errorf("%+v: %q is %+v", ack, reply, got)
		}
	}
}

// TestAckDiffIsWhole: the parts are the reply and the expected reply again, whatever they are.
func TestAckDiffIsWhole(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"success", "suc", "cess", "SUCC", " ", "\n", "\ufeff", "\u200b", "<b>", "\xff", "s", "成", "",
	})
	rules := []store.Ack{successAck, exactAck, foldAck, xmlAck, pathAck}
	rapid.Check(t, func(t *rapid.T) {
		reply := []byte(strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "reply"), ""))
		ack := rapid.SampledFrom(rules).Draw(t, "rule")
		parts := AckDiff(ack, reply)
		var got, want []byte
		for _, p := range parts {
			switch {
			case len(p.Raw) == 0:
				t.Fatalf("%q: an empty part", reply)
			case p.At != len(got):
				t.Fatalf("%q: %q stands at %d, said to be at %d", reply, p.Raw, len(got), p.At)
			}
			if p.Kind != DiffMissing {
				got = append(got, p.Raw...)
			}
			if p.Kind == DiffSame || p.Kind == DiffMissing {
				want = append(want, p.Raw...)
			}
		}
		if !bytes.Equal(got, reply) {
			t.Fatalf("%q came out as %q", reply, got)
		}
		if expected := ExpectedReply(ack); !bytes.EqualFold(want, expected) || !bytes.Equal(want, expected) &&
			ack.Match != matchTrimFold {
			t.Fatalf("%q: expected %q came out as %q", reply, expected, want)
		}
	})
}
