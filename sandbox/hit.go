package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Hit is one request as the merchant saw it.
type Hit struct {
	At     time.Time
	Remote string // ip:port
	Method string
	Path   string // without the query
	Query  string // as received
	Header http.Header
	Body   []byte
	// Params are those of the body, in the order received, then those of the query. Of a JSON or XML body
	// they are the members that the dialect's check made out, decrypted where they were encrypted.
	Params []Param

	NotifyID   string // empty where the dialect has none
	OutTradeNo string // may be empty
	Posts      int    // of this notification so far, this one included
	Duplicate  bool   // booked before: acknowledged again, not booked twice

	Signature Signature
	Rule      string // what was broken, when Rejected: encoding, missing, sign_type, signature, …
	Detail    string // one sentence about it
	Reply     string // the reply given, in the words of Replies; flaky:N tells what it gave

	isForm bool // or a query: Params are all there
}

// Param is one parameter, decoded.
type Param struct{ Name, Value string }

// Signature says what came of verifying.
type Signature string

// What can come of verifying a signature.
const (
	Verified  Signature = "verified"
	Rejected  Signature = "rejected"
	Unsigned  Signature = "unsigned"  // the dialect signs nothing
	Unchecked Signature = "unchecked" // the merchant was given no profile or no key
)

func newHit(r *http.Request, body []byte) Hit {
	h := Hit{
		At: time.Now(), Remote: r.RemoteAddr, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Header: r.Header, Body: body,
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var fromBody []Param
	if kind == "application/x-www-form-urlencoded" {
		fromBody = parseForm(string(body))
	}
	h.Params = append(fromBody, parseForm(r.URL.RawQuery)...)
	h.isForm = len(body) == 0 || len(fromBody) > 0
	h.NotifyID, h.OutTradeNo = h.param("notify_id"), h.param("out_trade_no")
	if len(fromBody) == 0 && len(body) > 0 {
		h.readOther(r.Header)
	}
	return h
}

// readOther finds the identity in a body that is no form.
func (h *Hit) readOther(header http.Header) {
	var doc struct {
		ID         string          `json:"id"`
		NotifyID   string          `json:"notify_id"`
		OutTradeNo string          `json:"out_trade_no"`
		Data       json.RawMessage `json:"data"`
	}
	if json.Unmarshal(h.Body, &doc) == nil { // not JSON: the identity stays unknown
		h.NotifyID, h.OutTradeNo = first(header.Get("Webhook-Id"), doc.NotifyID, doc.ID), doc.OutTradeNo
	}
}

func (h *Hit) param(name string) string {
	for _, p := range h.Params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// identity is what a merchant tells duplicates by: notify_id, else its order number, else the bytes.
func (h *Hit) identity() string {
	if id := first(h.NotifyID, h.OutTradeNo); id != "" {
		return id
	}
	sum := sha256.Sum256(bytes.Join([][]byte{[]byte(h.Query), h.Body}, []byte{0}))
	return hex.EncodeToString(sum[:])
}

// paramsMax is PHP's max_input_vars: what stands behind is not seen by most merchants.
const paramsMax = 1000

// parseForm decodes name=value pairs in their order; what cannot be decoded is kept as it came.
func parseForm(text string) []Param {
	var ps []Param
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		if len(ps) == paramsMax {
			break
		}
		name, value, _ := strings.Cut(pair, "=")
		ps = append(ps, Param{Name: unescape(name), Value: unescape(value)})
	}
	return ps
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
