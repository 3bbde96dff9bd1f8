package api_test

import (
	"fmt"
	"strings"
	"testing"

	"paynotify/store"
)

func nested(levels int) string {
	// The document and params are two of them.
	return `{"mch_id":"m1","params":{"a":` + strings.Repeat("[", levels-2) + strings.Repeat("]", levels-2) + `}}`
}

var unreadableBodies = map[string]struct {
	body   string
	offset int64
	detail string
}{
	"empty":                {" \n", 2, "empty"},
	"not JSON":             {"mch_id=m1", 0, "invalid character"},
	"cut off":              {`{"mch_id":"m1","params":{`, 25, "ends too early"},
	"cut off in a string":  {`{"mch_id":"m1`, 13, "ends too early"},
	"cut off after a name": {`{"mch_id"`, 9, "ends too early"},
	"trailing junk":        {`{"mch_id":"m1","params":{}}x`, 27, "behind"},
	"two documents":        {`{"mch_id":"m1","params":{}} {}`, 28, "behind"},
	"trailing comma":       {`{"mch_id":"m1","params":{},}`, 26, "invalid character"},
	"missing comma":        {`{"mch_id":"m1" "params":{}}`, 15, "invalid character"},
	"comment":              {`{"mch_id":"m1",/*x*/"params":{}}`, 15, "invalid character"},
	"byte order mark": {
		"\xef\xbb\xbf" + `{"mch_id":"m1","params":{}}`,
		0, "byte order mark",
	},
	"UTF-16": {"\xff\xfe{\x00}\x00", 0, "UTF-16"},
	"duplicate member": {
		`{"mch_id":"m1","mch_id":"m2","params":{}}`,
		15, `"mch_id" is there twice`,
	},
	"duplicate, escaped": {`{"mch_id":"m1","mch\u005fid":"m2","params":{}}`, 15, "twice"},
	"duplicate parameter": {
		`{"mch_id":"m1","params":{"a":"1","b":"2","a":"3"}}`,
		41, `"a" is there twice`,
	},
	"duplicate deep inside": {
		`{"mch_id":"m1","params":{"a":{"b":{"c":1,"c":2}}}}`,
		41, `"c" is there twice`,
	},
	"duplicate unknown member": {`{"mch_id":"m1","params":{},"x":1,"x":2}`, 33, "twice"},
	"invalid UTF-8":            {"{\"mch_id\":\"m1\",\"params\":{\"a\":\"\xff\"}}", 30, "UTF-8"},
	"invalid UTF-8 in a name":  {"{\"mch_id\":\"m1\",\"params\":{\"\xff\":\"a\"}}", 26, "UTF-8"},
	"overlong UTF-8":           {"{\"mch_id\":\"m1\",\"params\":{\"a\":\"\xc0\xaf\"}}", 30, "UTF-8"},
	"encoded surrogate": {
		"{\"mch_id\":\"m1\",\"params\":{\"a\":\"\xed\xa0\x80\"}}",
		30, "UTF-8",
	},
	"lone surrogate":     {`{"mch_id":"m1","params":{"a":"\ud800"}}`, 30, "surrogate"},
	"lone low surrogate": {`{"mch_id":"m1","params":{"a":"x\udc00"}}`, 31, "surrogate"},
	"swapped surrogates": {`{"mch_id":"m1","params":{"a":"\udc00\ud800"}}`, 30, "surrogate"},
	"raw control character": {
		"{\"mch_id\":\"m1\",\"params\":{\"a\":\"x\x00\"}}",
		31, "invalid character",
	},
	"raw newline": {
		"{\"mch_id\":\"m1\",\"params\":{\"a\":\"x\n\"}}",
		31, "invalid character",
	},
	"NaN":           {`{"mch_id":"m1","params":{"a":NaN}}`, 29, "invalid character"},
	"leading zero":  {`{"mch_id":"m1","params":{"a":007}}`, 30, "invalid character"},
	"plus sign":     {`{"mch_id":"m1","params":{"a":+1}}`, 29, "invalid character"},
	"single quotes": {`{'mch_id':'m1'}`, 1, "invalid character"},
	"33 levels":     {nested(33), 59, "32 levels"},
	"33 levels of unknown": {
		`{"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`,
		36, "32 levels",
	},
	"hundred thousand levels": {strings.Repeat("[", 100000), 32, "32 levels"},
}

// TestUnreadableBodies are the bodies that no guess is made about: 400, with the byte where reading stopped.
func TestUnreadableBodies(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	for name, c := range unreadableBodies {
		t.Run(name, func(t *testing.T) {
			for _, target := range []string{"/v1/notifications", "/v1/notifications/batch", "/v1/merchants"} {
				p := w.call("POST", target, c.body).problem(400, "malformed-json")
				if p.Offset == nil {
					t.Fatalf("%s: no offset", target)
				}
				if *p.Offset != c.offset && target == "/v1/notifications" {
					t.Errorf("%s: stopped at byte %d, want %d: %s", target, *p.Offset, c.offset, p.Detail)
				}
				if !strings.Contains(p.Detail, c.detail) || !strings.Contains(p.Detail, fmt.Sprint(*p.Offset)) {
					t.Errorf("%s: detail %q, want %q and the offset", target, p.Detail, c.detail)
				}
			}
		})
	}
}

var wrongBodies = map[string]struct {
	body, location, slug, cure string
}{
	"no object":         {`[]`, "body", "", "object"},
	"null":              {`null`, "body", "", "object"},
	"no merchant":       {`{"params":{}}`, "body.mch_id", "", "merchant"},
	"merchant a number": {`{"mch_id":1,"params":{}}`, "body.mch_id", "", "a string"},
	"no params":         {`{"mch_id":"m1"}`, "body.params", "", "{}"},
	"params null":       {`{"mch_id":"m1","params":null}`, "body.params", "", "an object"},
	"params a list":     {`{"mch_id":"m1","params":[]}`, "body.params", "", "an object"},
	"unknown field": {
		`{"mch_id":"m1","params":{},"notify_typ":"x"}`,
		"body.notify_typ", "", "notify_type",
	},
	"far from any field": {
		`{"mch_id":"m1","params":{},"colour":"x"}`,
		"body.colour", "", "mch_id, notify_type",
	},
	"key in the body": {
		`{"mch_id":"m1","params":{},"idempotency_key":"x"}`,
		"body.idempotency_key", "", "known",
	},
	"order number a number": {
		`{"mch_id":"m1","params":{},"out_trade_no":1}`,
		"body.out_trade_no", "", "a string",
	},
	"order number too long": {
		`{"mch_id":"m1","params":{},"out_trade_no":"` + strings.Repeat("中", 65) + `"}`,
		"body.out_trade_no", "", "64",
	},
	"NUL in order number": {
		`{"mch_id":"m1","params":{},"out_trade_no":"a\u0000"}`,
		"body.out_trade_no", "", "",
	},
	"CR LF in type": {
		`{"mch_id":"m1","params":{},"notify_type":"a\r\nX-A: b"}`,
		"body.notify_type", "", "",
	},
	"DEL in type": {
		`{"mch_id":"m1","params":{},"notify_type":"a\u007f"}`,
		"body.notify_type", "", "",
	},
	"control in a name": {
		`{"mch_id":"m1","params":{"a\u0001":"x"}}`,
		"body.params.a\x01", "", "",
	},
	"too many parameters": {
		`{"mch_id":"m1","params":{` + parameters(store.ParamsMax+1) + `}}`,
		"body.params", "", "200",
	},
	"sign is ours": {
		`{"mch_id":"m1","params":{"sign":"x"}}`,
		"body.params.sign", "reserved-parameter", "",
	},
	"sign_type is ours": {
		`{"mch_id":"m1","params":{"sign_type":"MD5"}}`,
		"body.params.sign_type", "reserved-parameter", "",
	},
	"notify_id is ours": {
		`{"mch_id":"m1","params":{"notify_id":"x"}}`,
		"body.params.notify_id", "reserved-parameter", "",
	},
	"notify_time is ours": {
		`{"mch_id":"m1","params":{"notify_time":"x"}}`,
		"body.params.notify_time", "reserved-parameter", "",
	},
	"a card's secret": {
		`{"mch_id":"m1","params":{"card_cvv":"123"}}`,
		"body.params.card_cvv", "card-data", "leave it out",
	},
	"a card's secret in a JSON string": {
		`{"mch_id":"m1","params":{"ext":"{\"track2\":\"x\"}"}}`,
		"body.params.ext", "card-data", "leave it out",
	},
	"card number": {
		`{"mch_id":"m1","params":{"body":"paid with 4111 1111 1111 1111"}}`,
		"body.params.body", "card-data", "mask it",
	},
	"object in a form": {
		`{"mch_id":"m1","params":{"a":{"b":1}}}`,
		"body.params.a", "", "JSON string",
	},
	"other order number": {
		`{"mch_id":"m1","out_trade_no":"1","params":{"out_trade_no":"2"}}`,
		"body.params.out_trade_no", "", "",
	},
	"schedule": {
		`{"mch_id":"m1","params":{},"schedule":"alipai"}`,
		"body.schedule", "", "",
	},
	"schedule without units": {
		`{"mch_id":"m1","params":{},"schedule":"15,60"}`,
		"body.schedule", "", "",
	},
	"not in the merchant's charset": {
		`{"mch_id":"gbk","params":{"subject":"a 😀"}}`,
		"body.params.subject", "", "utf-8",
	},
	"white space at the end": {
		`{"mch_id":"m1","params":{"subject":"a\r\n"}}`,
		"body.params.subject", "", "white space",
	},
	"private notify_url": {
		`{"mch_id":"m1","params":{},"notify_url":"http://127.0.0.1/n"}`,
		"body.notify_url", "notify-url", "public",
	},
	"notify_url with query": {
		`{"mch_id":"m1","params":{},"notify_url":"https://a.example.com/n?x=1"}`,
		"body.notify_url", "notify-url", "",
	},
	"host not listed": {
		`{"mch_id":"hosts","params":{},"notify_url":"https://evil.example.com/n"}`,
		"body.notify_url", "notify-url", "hosts",
	},
	"host hidden by escapes": {
		`{"mch_id":"hosts","params":{},"notify_url":"https://evil%2Eexample.com/n"}`,
		"body.notify_url", "notify-url", "hosts",
	},
}

// parameters writes n members.
func parameters(n int) string {
	many := make([]string, n)
	for i := range many {
		many[i] = fmt.Sprintf(`"p_%03d":"1"`, i)
	}
	return strings.Join(many, ",")
}

// TestWrongBodies can be read and are wrong: 422, each error with its place and cure.
func TestWrongBodies(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.call("POST", "/v1/merchants", `{"mch_id":"gbk","profile":"alipay","charset":"gbk",`+
		`"notify_url":"https://shop.example.com/n"}`).want(201)
	w.mapi("hosts", `"options":{"hosts":["shop.example.com","münchen-shop.de"]}`)
	for name, c := range wrongBodies {
		t.Run(name, func(t *testing.T) {
			slug := c.slug
			if slug == "" {
				slug = "validation-failed"
			}
			e := at(t, w.call("POST", "/v1/notifications", c.body).problem(422, slug), c.location)
			if !strings.Contains(e.Cure, c.cure) {
				t.Errorf("cure %q does not say %q", e.Cure, c.cure)
			}
		})
	}
	for _, host := range []string{"https://SHOP.example.com/n", "https://münchen-shop.de/n"} {
		w.call("POST", "/v1/notifications", `{"mch_id":"hosts","params":{},"notify_url":"`+host+`"}`).want(202)
	}
	p := w.call("POST", "/v1/notifications", `{"mch_id":1,"x":2,"params":[],"schedule":true}`).
		problem(422, "validation-failed")
	if len(p.Errors) != 4 {
		t.Errorf("a caller sees all that is wrong at once: %+v", p.Errors)
	}
}

// TestReadable are the bodies at the edge that are right.
func TestReadable(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	for name, body := range map[string]string{
		"no parameters": `{"mch_id":"m1","params":{}}`,
		"white space":   " \r\n\t{ \"mch_id\" : \"m1\" , \"params\" : { } } \n",
		"escaped name":  `{"mch\u005fid":"m1","params":{}}`,
		"nulls": `{"mch_id":"m1","params":{},"notify_type":null,"schedule":null,"notify_url":null,` +
			`"out_trade_no":null}`,
		"200 parameters":    `{"mch_id":"m1","params":{` + parameters(store.ParamsMax) + `}}`,
		"64 characters":     `{"mch_id":"m1","params":{},"out_trade_no":"` + strings.Repeat("中", 64) + `"}`,
		"emoji and Chinese": `{"mch_id":"m1","params":{"subject":"蓝色 & 红色 😀 = + % #"}}`,
		"surrogate pair":    `{"mch_id":"m1","params":{"subject":"\ud83d\ude00"}}`,
		"largest body": `{"mch_id":"m1","params":{"a":"` +
			strings.Repeat("x", store.BodyBytesMax-33) + `"}}`,
		"digits that name a trade": `{"mch_id":"m1","params":{"trade_no":"4111111111111111",` +
			`"remark":"411111******1111"}}`,
		"list of waits":         `{"mch_id":"m1","params":{},"schedule":"15s,1m,5m"}`,
		"host at another place": `{"mch_id":"m1","params":{},"notify_url":"https://a.example.com:8443/n"}`,
	} {
		t.Run(name, func(t *testing.T) { w.call("POST", "/v1/notifications", body).want(202) })
	}
}

// TestParamsAreKept checks that parameters keep their order and their numbers their literal text.
func TestParamsAreKept(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	for given, kept := range map[string]string{
		`{ "z" : "1" , "a" : 88.88 , "m" : "2" }`:    `{"z":"1","a":88.88,"m":"2"}`,
		`{"a":88.880,"b":1e2,"c":-1,"d":0}`:          `{"a":88.880,"b":1e2,"c":-1,"d":0}`,
		`{"id":9007199254740993}`:                    `{"id":9007199254740993}`,
		`{"n":123456789012345678901234567890.0}`:     `{"n":123456789012345678901234567890.0}`,
		`{"s":" a\"b \\ \u4e2d , : \t"` + "\n" + `}`: "",
		`{"t":true,"f":false,"u":null,"e":""}`:       `{"t":true,"f":false,"u":null,"e":""}`,
		`{"s":"a \"quoted\" \\ word : , {"}`:         `{"s":"a \"quoted\" \\ word : , {"}`,
		`{"h":"<b>&amp;</b>"}`:                       `{"h":"<b>&amp;</b>"}`,
	} {
		answer := w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":`+given+`}`)
		if kept == "" { // white space round a value is the profile's business
			answer.problem(422, "validation-failed")
			continue
		}
		id := answer.want(202)["notify_id"].(string)
		body := w.call("GET", "/v1/notifications/"+id, "").body
		if !strings.Contains(body, `"params":`+kept+`,`) {
			t.Errorf("params %s are shown as %s", given, body)
		}
	}
}
