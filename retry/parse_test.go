package retry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text, want, name string
		sends            int
	}{
		{"alipay", "alipay", "alipay", 8},
		{"alipay_intl", "alipay_intl", "alipay_intl", 8},
		{"alipay_2023", "alipay_2023", "alipay_2023", 11},
		{"wechat_v2", "wechat_v2", "wechat_v2", 10},
		{"wechat_v3", "wechat_v3", "wechat_v3", 16},
		{"standard", "standard", "standard", 10},
		{"jeepay", "jeepay", "jeepay", 6},
		{"0", "0", "", 2},
		{"0s", "0", "", 2},
		{"15s,1m,5m", "15s,1m,5m", "", 4},
		{"60s,90m,1.5h,168h", "1m,1h30m,1h30m,168h", "", 5},
		{"1ns,2us,3µs,4ms", "1ns,2us,3us,4ms", "", 5},
		{"4m,10m,10m,1h,2h,6h,15h", "4m,10m,10m,1h,2h,6h,15h", "", 8},
		{"1s" + strings.Repeat(",1s", 62), "1s" + strings.Repeat(",1s", 62), "", 64},
	} {
		s := mustParse(t, c.text)
		if s.String() != c.want || s.Name() != c.name || s.Sends() != c.sends {
			t.Errorf("Parse(%q) = %q, name %q, %d sends; want %q, %q, %d",
				c.text, s, s.Name(), s.Sends(), c.want, c.name, c.sends)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", `the text is empty; write one of alipay, alipay_intl,`},
		{"  ", `the text is empty`},
		{"4", `wait 1 is "4": a wait needs a unit; write 4m or 4s`},
		{"15s,4,1m", `wait 2 is "4": a wait needs a unit; write 4m or 4s`},
		{"1.5", `wait 1 is "1.5": a wait needs a unit; write 1.5m or 1.5s`},
		{"-4m", `wait 1 is "-4m": a wait cannot be negative`},
		{"-0", `a wait cannot be negative`},
		{"15s, 1m", `wait 2 is " 1m": blanks are not allowed; write "15s,1m,5m"`},
		{"4m\n", `blanks are not allowed`},
		{"4m,,5m", `wait 2 is "": there is nothing between two commas or at an end`},
		{"4m,", `wait 2 is "": there is nothing`},
		{",", `wait 1 is "": there is nothing`},
		{"1d", `wait 1 is "1d": there is no unit for days; write hours, 24h for a day`},
		{"168h1ns", `a wait has at most 168h`},
		{"169h", `a wait has at most 168h`},
		{"9999999999999h", `a Go duration such as 15s, 4m or 1h30m, at most 168h`},
		{"4m;10m", `this is not a duration`},
		{"4m\uff0c10m", `this is not a duration`},
		{"4m,alipay", `wait 2 is "alipay": this is not a duration`},
		{"NaN", `"NaN" is not a name; write one of alipay`},
		{"1e3s", `this is not a duration`},
		{"Alipay", `"Alipay" is not a name; write alipay`},
		{" alipay", `" alipay" is not a name; write alipay`},
		{"alipai", `"alipai" is not a name; write one of alipay, alipay_intl, alipay_2023, wechat_v2, wechat_v3,` +
			` standard, jeepay, or waits such as "15s,1m,5m"`},
		{"1s" + strings.Repeat(",1s", 63), `the list has 64 waits; write at most 63`},
		{strings.Repeat("1s,", 1000), `the text has 3000 bytes; write at most 63 waits`},
		{strings.Repeat("x", 100), `"` + strings.Repeat("x", 32) + `…" is not a name`},
	} {
		s, err := Parse(c.text)
		if err == nil {
			t.Errorf("Parse(%.40q) = %v, want an error", c.text, s)
			continue
		}
		var fault *ParseError
		if !errors.As(err, &fault) || fault.Message == "" || fault.Cure == "" {
			t.Errorf("Parse(%.40q): error %#v is no ParseError with a message and a cure", c.text, err)
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%.40q): %v\nwant … %s …", c.text, err, c.want)
		}
	}
}

func TestStringReadsBackProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSchedule(t)
		back, err := Parse(s.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.Waits(), back.Waits()); diff != "" {
			t.Fatalf("%s reads back as another schedule:\n%s", s, diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"alipay", "4", "0,0,15s", "-1m", "1m, 2m", "168h", "1d", "1h0m0.5s", "+1s", ",",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Errorf("error is not one short line: %q", err)
			}
			return
		}
		if s.Sends() < 2 || s.Sends() > WaitsMax+1 {
			t.Errorf("%d sends", s.Sends())
		}
		for _, w := range s.Waits() {
			if w < 0 || w > WaitMax {
				t.Errorf("wait %v", w)
			}
		}
		back, err := Parse(s.String())
		if err != nil || back.Sum() != s.Sum() || back.String() != s.String() {
			t.Errorf("%q → %q → %q, %v", text, s, back, err)
		}
		planned := time.Unix(0, 0)
		if at, ok := s.Next(1, planned, planned); !ok || at.Sub(planned) != s.Wait(1) {
			t.Errorf("the second send comes %v after the first, ok = %v", at.Sub(planned), ok)
		}
	})
}
