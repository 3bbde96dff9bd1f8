package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// reply is one way to answer.
type reply struct {
	name  string
	about string // one line for help texts
	// yes says that the merchant takes the notification for paid, whether or not the sender understands it.
	yes   bool
	write func(*exchange)

	from int // of flaky: the POST that is acknowledged first
}

// replies is the table behind `--reply`: the rows of what real merchants answer.
var replies = []reply{
	{name: "success", about: "the acknowledgement", yes: true, write: text(200, ack)},
	{name: "fail", about: "a clean no", write: writeFail},
	{
		name: "bom", about: "a byte order mark before it: accepted, with a note", yes: true,
		write: text(200, wrap("\ufeff", "")),
	},
	{
		name: "newline", about: "a line end behind it: accepted, with a note", yes: true,
		write: text(200, wrap("", "\r\n")),
	},
	{name: "upper", about: "in the other letter case", yes: true, write: text(200, otherCase)},
	{name: "quoted", about: "in quotation marks, as a JSON string", yes: true, write: text(200, quoted)},
	{name: "json", about: "inside a JSON object", yes: true, write: typed(200, "application/json",
		func(e *exchange) string { return `{"code":` + quoted(e) + `}` })},
	{name: "html", about: "inside a page", yes: true, write: text(200,
		wrap("<!DOCTYPE html>\n<html><body>", "</body></html>\n"))},
	{name: "php-notice", about: "behind a PHP notice", yes: true, write: text(200, wrap(
		"<br />\n<b>Notice</b>:  Undefined index: trade_no in <b>/var/www/notify.php</b>"+
			" on line <b>17</b><br />\n", ""))},
	{name: "empty", about: "200 with no body", write: text(200, nothing)},
	{name: "slow", about: "no reply for 30 s: longer than any sender waits", write: writeSlow},
	{name: "drip", about: "the head, then a byte every 200 ms without end", write: writeDrip},
	{name: "endless", about: "a body without end", write: writeEndless},
	{name: "gzip-bomb", about: "64 MiB in 64 KiB of gzip", write: writeBomb},
	{name: "redirect", about: "302 to a login page", write: writeRedirect},
	{name: "201", about: "201 with the acknowledgement", yes: true, write: text(201, ack)},
	{name: "204", about: "204, which cannot carry an acknowledgement", yes: true, write: writeNoContent},
	{name: "500", about: "500 with an error page", write: text(500,
		func(*exchange) string { return "<html><body><h1>Internal Server Error</h1></body></html>\n" })},
	{name: "101", about: "101 Switching Protocols, then silence", write: writeUpgrade},
	{name: "reset", about: "the connection reset, no byte of reply", write: writeReset},
	{name: "truncated", about: "closed before the announced length", yes: true, write: writeTruncated},
	{
		name: flaky + "N", about: "no, but the acknowledgement from the Nth POST of a notification on",
		write: writeFail,
	},
}

const flaky = "flaky:"

// flakyMax bounds N: the longest schedule has 64 sends.
const flakyMax = 1000

// Reply is one row of what a sandbox merchant can answer.
type Reply struct{ Name, About string }

// Replies lists every reply in the order of the help text; the last one is flaky:N.
func Replies() []Reply {
	rs := make([]Reply, len(replies))
	for i, r := range replies {
		rs[i] = Reply{Name: r.name, About: r.about}
	}
	return rs
}

// CheckReply says what is wrong with a reply's name, nil when nothing is.
func CheckReply(name string) error {
	_, err := parseReply(name)
	return err
}

func parseReply(name string) (reply, error) {
	if name == "" {
		name = "success"
	}
	if count, ok := strings.CutPrefix(name, flaky); ok {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > flakyMax {
			return reply{}, fmt.Errorf("reply %q: want flaky:N with N from 1 to %d, such as flaky:3", name, flakyMax)
		}
		r := replyTo(flaky + "N")
		r.name, r.from = name, n
		return r, nil
	}
	i := slices.IndexFunc(replies, func(r reply) bool { return r.name == name })
	if i >= 0 && name != flaky+"N" {
		return replies[i], nil
	}
	names := make([]string, len(replies))
	for i, r := range replies {
		names[i] = r.name
	}
	return reply{}, fmt.Errorf("reply %q is unknown: take one of %s", name, strings.Join(names, " "))
}

// replyTo is the row of that name, which exists.
func replyTo(name string) reply {
	return replies[slices.IndexFunc(replies, func(r reply) bool { return r.name == name })]
}

// at is what the merchant answers to the nth POST of a notification.
func (r reply) at(posts int) reply {
	switch {
	case r.from == 0:
		return r
	case posts >= r.from:
		return replyTo("success")
	}
	return replyTo("fail")
}

// exchange is one request being answered.
type exchange struct {
	m *Merchant
	w http.ResponseWriter
	r *http.Request
}

// text answers with a status and a body as PHP would label it.
func text(status int, body func(*exchange) string) func(*exchange) {
	return typed(status, "text/html; charset=utf-8", body)
}

func typed(status int, contentType string, body func(*exchange) string) func(*exchange) {
	return func(e *exchange) { e.answer(status, contentType, body(e)) }
}

func (e *exchange) answer(status int, contentType, body string) {
	e.w.Header().Set("Content-Type", contentType)
	e.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	e.w.WriteHeader(status)
	e.w.Write([]byte(body)) //nolint:errcheck // the sender has gone: nobody to tell
}

// ack is the acknowledgement that the merchant's dialect waits for.
func ack(e *exchange) string {
	switch p := e.m.profile; {
	case p == nil:
		return "success"
	case p.Ack.Match == "xml_return_code":
		return "<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
	case p.Ack.Match == "status", p.Ack.Text == "":
		return `{"code":"SUCCESS"}`
	default:
		return p.Ack.Text
	}
}

func wrap(before, behind string) func(*exchange) string {
	return func(e *exchange) string { return before + ack(e) + behind }
}

func quoted(e *exchange) string { return strconv.Quote(ack(e)) }

func nothing(*exchange) string { return "" }

func otherCase(e *exchange) string {
	if upper := strings.ToUpper(ack(e)); upper != ack(e) {
		return upper
	}
	return strings.ToLower(ack(e))
}
