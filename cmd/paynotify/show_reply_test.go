package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
)

func TestCompare(t *testing.T) {
	word := api.AckView{Match: "trim", Text: "success"}
	document := api.AckView{Match: "xml_return_code", Text: "SUCCESS"}
	for _, tt := range []struct {
		ack         api.AckView
		reply, want string
	}{
		{word, "SUCCESS", `
    expected  success
    received  SUCCESS
              ^^^^^^^ byte 0
`},
		{word, "success<br>\n", `
    expected  success
    received  success<br>↵
                     ^^^^ byte 7
`},
		{word, "<p>success</p>", `
    expected  success
    received  <p>success</p>
              ^^^       ^^^^ byte 0
`},
		{word, "\ufeff \ufeffsuccess", `
    expected  success
    received  ⟨BOM⟩·⟨BOM⟩success
                    ^^^^^ byte 4
`},
		{word, "", `
    expected  success
    received  (nothing)
`},
		{word, "succes", `
    expected  success
    received  succes
                    ^ byte 6
`},
		{word, strings.Repeat("<br>", 30), `
    expected  success
    received  ` + strings.Repeat("<br>", 19) + `<br…
              ` + strings.Repeat("^", 80) + ` byte 0
`},
		{document, "SUCCESS", `
    expected  <xml><return_code><![CDATA[SUCCESS]]></return_code></xml>
    received  SUCCESS
              ^ byte 0
`},
	} {
		var b strings.Builder
		shower{ack: tt.ack}.compare(&b, []byte(tt.reply))
		if diff := cmp.Diff(tt.want, "\n"+b.String()); diff != "" {
			t.Errorf("%q: %s", tt.reply, diff)
		}
	}
}
