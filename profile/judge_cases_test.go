package profile

import (
	"strings"

	"paynotify/store"
)

// The rules that the cases judge by.
var (
	xmlAck, statusAck, foldAck = policies["wechat_v2"], policies["standard_webhooks"], policies["jeepay"]

	exactAck = store.Ack{Match: "exact", Text: "success", Status: onlyOK}
	pathAck  = store.Ack{Match: "json_path", Text: "0000", Path: "data.list[1].code", Status: onlyOK}
	wideAck  = store.Ack{Match: "trim", Text: "success", Status: []string{"200", "2xx"}}
	oddAck   = store.Ack{Match: "trim", Text: "success", Status: []string{"500"}}
)

// judgeCases is the table of replies; the corpus has the recorded ones.
var judgeCases = []struct {
	name    string
	ack     store.Ack
	reply   Reply
	verdict store.Verdict
	reason  store.Reason
}{
	// What counts.
	{"plain", successAck, whole(200, "success"), store.Acked, store.AckExact},
	{"newline", successAck, whole(200, "\nsuccess"), store.Acked, store.AckTrimmed},
	{"bom", successAck, whole(200, "\ufeffsuccess"), store.Acked, store.AckTrimmed},
	{
		"newline, bom, newline", successAck, whole(200, "\r\n\ufeff\nsuccess\f\v"),
		store.Acked, store.AckTrimmed,
	},
	{"201 where listed", wideAck, whole(201, "success"), store.Acked, store.AckExact},
	{"500 where listed", oddAck, whole(500, "success"), store.Acked, store.AckExact},
	{
		"identity", successAck,
		Reply{Status: 200, ContentEncoding: "Identity", Body: []byte("success")},
		store.Acked, store.AckExact,
	},

	// Near-misses.
	{"upper", successAck, whole(200, "SUCCESS\n"), store.Refused, store.AckCase},
	{"quoted", successAck, whole(200, `"success"`), store.Refused, store.AckQuoted},
	{"single quotes", successAck, whole(200, `'success' `), store.Refused, store.AckQuoted},
	{"json", successAck, whole(200, `{"msg":"success"}`), store.Refused, store.AckJSON},
	{"json true", successAck, whole(200, `{"code":0,"success":true}`), store.Refused, store.AckJSON},
	{"json list", successAck, whole(200, `[1,{"a":["Success"]}]`), store.Refused, store.AckJSON},
	{"html", successAck, whole(200, "<html><body>success</body></html>"), store.Refused, store.AckHTML},
	{"debug bar", successAck, whole(200, "success<script>bar()</script>"), store.Refused, store.AckHTML},
	{
		"php notice", successAck,
		whole(200, "<br />\n<b>Notice</b>:  Undefined index: a in <b>/n.php</b> on line <b>3</b><br />\nsuccess"),
		store.Refused, store.AckPHPNotice,
	},
	{
		"php notice without tags", successAck, whole(200, "PHP Deprecated: each() in n.php on line 3\nsuccess"),
		store.Refused, store.AckPHPNotice,
	},
	{"twice", successAck, whole(200, "successsuccess"), store.Refused, store.AckRepeated},
	{"twice in lines", successAck, whole(200, "success\r\nsuccess\n"), store.Refused, store.AckRepeated},
	{"utf-16le", successAck, whole(200, "\xff\xfe"+wideLE), store.Refused, store.AckUTF16},
	{"utf-16le, no mark", successAck, whole(200, wideLE), store.Refused, store.AckUTF16},
	{"utf-16be", successAck, whole(200, "\xfe\xff"+wideBE), store.Refused, store.AckUTF16},
	{"utf-16be, no mark", successAck, whole(200, wideBE), store.Refused, store.AckUTF16},
	{"NUL behind", successAck, whole(200, "success\x00"), store.Refused, store.AckInvisible},
	{"zero width", successAck, whole(200, "\u200bsuccess"), store.Refused, store.AckInvisible},
	{"no-break space", successAck, whole(200, "success"+nbsp+"\n"), store.Refused, store.AckInvisible},
	{"second mark", successAck, whole(200, "\ufeff\ufeffsuccess"), store.Refused, store.AckInvisible},
	{"extra text", successAck, whole(200, "pay success!"), store.Refused, store.AckExtraText},
	{"201", successAck, whole(201, "success"), store.Refused, store.AckStatus},
	{"404", successAck, whole(404, "success\n"), store.HTTP4xx, store.AckStatus},
	{"503", successAck, whole(503, "success"), store.HTTP5xx, store.AckStatus},

	// No near-misses: the word is not there as a word, or says the contrary.
	{"fail", successAck, whole(200, "fail"), store.Refused, store.AckMismatch},
	{"unsuccess", successAck, whole(200, "unsuccess"), store.Refused, store.AckMismatch},
	{"json false", successAck, whole(200, `{"success":false,"msg":"no"}`), store.Refused, store.AckMismatch},
	{
		"login page", successAck, whole(200, `<html><div class="alert-success">Log in</div></html>`),
		store.Refused, store.AckMismatch,
	},
	{
		"php fatal", successAck, whole(200, "<b>Fatal error</b>: x in y on line 1"),
		store.Refused, store.AckMismatch,
	},
	{"one letter short", successAck, whole(200, "succes"), store.Refused, store.AckMismatch},
	{"long s", foldAck, whole(200, "\u017fuccess"), store.Refused, store.AckMismatch},
	{"empty", successAck, whole(200, ""), store.Refused, store.AckEmpty},
	{"blank", successAck, whole(200, "\ufeff \r\n"), store.Refused, store.AckEmpty},
	{"204", successAck, whole(204, "success"), store.Refused, store.AckEmpty},
	{"205", wideAck, whole(205, ""), store.Refused, store.AckEmpty},
	{
		"gzip", successAck,
		Reply{Status: 200, ContentEncoding: "gzip", Body: zipped("success")},
		store.Refused, store.Encoded,
	},
	{
		"unknown encoding", successAck,
		Reply{Status: 200, ContentEncoding: "br", Body: []byte("success")},
		store.Refused, store.Encoded,
	},
	{
		"gzip, 500", successAck,
		Reply{Status: 500, ContentEncoding: "gzip", Body: zipped("success")},
		store.HTTP5xx, store.HTTPStatus,
	},
	{"404 page", successAck, whole(404, "not found"), store.HTTP4xx, store.HTTPStatus},
	{"404 upper", successAck, whole(404, "SUCCESS"), store.HTTP4xx, store.HTTPStatus},
	{"304", successAck, whole(304, ""), store.HTTP3xx, store.Redirect},
	{"307", successAck, whole(307, "success"), store.HTTP3xx, store.Redirect},
	{"101", successAck, whole(101, ""), store.BadReply, store.Upgrade},
	{"999", successAck, whole(999, "success"), store.BadReply, store.Malformed},
	{"no status", successAck, whole(0, "success"), store.BadReply, store.Malformed},
	{
		"too large", successAck, whole(200, "success"+strings.Repeat(" ", ReplyBytesMax)),
		store.BadReply, store.TooLarge,
	},

	// What was cut short is never an acknowledgement…
	{"truncated", successAck, cut(200, "success", store.Truncated), store.BadReply, store.Truncated},
	{"body late", successAck, cut(200, "success", store.TimeoutBody), store.Timeout, store.TimeoutBody},
	{"refused", successAck, cut(0, "", store.ConnRefused), store.ConnectError, store.ConnRefused},
	{"no name", successAck, cut(0, "", store.DNSNXDomain), store.DNSError, store.DNSNXDomain},
	{"certificate", successAck, cut(0, "", store.TLSExpired), store.TLSError, store.TLSExpired},
	{"blocked", successAck, cut(0, "", store.AddressBlocked), store.Blocked, store.AddressBlocked},
	{"a fault of no list", successAck, cut(200, "success", "sunspots"), store.InternalError, store.Internal},
	{
		"a fault that is none", successAck, cut(200, "success", store.AckExact),
		store.InternalError, store.Internal,
	},
	// …but the head alone decides where the body is not judged.
	{"status, truncated", statusAck, cut(200, "", store.Truncated), store.Acked, store.AckExact},
	{"status, endless", statusAck, cut(202, "", store.TooLarge), store.Acked, store.AckExact},
	{"status, body late", statusAck, cut(299, "x", store.TimeoutBody), store.Acked, store.AckExact},
	{"status, 500 truncated", statusAck, cut(500, "", store.Truncated), store.HTTP5xx, store.HTTPStatus},
	{"status, no head", statusAck, cut(0, "", store.TimeoutHeaders), store.Timeout, store.TimeoutHeaders},
	{"status, head broken", statusAck, cut(0, "", store.Malformed), store.BadReply, store.Malformed},
	{"status, 999", statusAck, cut(999, "", store.Malformed), store.BadReply, store.Malformed},
	{"status, 101", statusAck, cut(101, "", store.Upgrade), store.BadReply, store.Upgrade},
	{"status, 204", statusAck, whole(204, ""), store.Acked, store.AckExact},
	{"status, 302", statusAck, whole(302, ""), store.HTTP3xx, store.Redirect},
	{
		"status, encoded", statusAck,
		Reply{Status: 200, ContentEncoding: "gzip", Body: zipped("x")},
		store.Acked, store.AckExact,
	},
	{"v3, 201", policies["wechat_v3"], whole(201, ""), store.Refused, store.AckStatus},

	// Other rules.
	{"exact", exactAck, whole(200, "success"), store.Acked, store.AckExact},
	{"exact, newline", exactAck, whole(200, "success\n"), store.Refused, store.AckExtraText},
	{"fold", foldAck, whole(200, "\ufeffSuccess"), store.Acked, store.AckTrimmed},
	{"path", pathAck, whole(200, `{"data":{"list":[{},{"code":"0000"}]}}`), store.Acked, store.AckExact},
	{"path, number", pathAck, whole(200, `{"data":{"list":[{},{"code":0}]}}`), store.Refused, store.AckMismatch},
	{
		"path, other place", pathAck, whole(200, `{"data":{"list":[{"code":"0000"}]}}`),
		store.Refused, store.AckJSON,
	},
	{
		"path, twice", pathAck, whole(200, `{"data":{"list":[0,{"code":"0000","code":"1"}]}}`),
		store.Refused, store.AckJSON,
	},
	{"path, not JSON", pathAck, whole(200, `0000`), store.Refused, store.AckMismatch},
	{"path, cut", pathAck, whole(200, `{"data":{"list":[0,{"code":"0000"}]}`), store.Refused, store.AckMismatch},

	{"xml", xmlAck, whole(200, wxOK), store.Acked, store.AckExact},
	{
		"xml, other root", xmlAck,
		whole(200, `<?xml version="1.0" encoding="UTF-8"?>`+
			`<PaidResp a="1"><return_code> SUCCESS </return_code></PaidResp>`),
		store.Acked, store.AckExact,
	},
	{
		"xml, gbk", xmlAck,
		whole(200, "<?xml version='1.0' encoding='GBK'?><xml><return_code>SUCCESS</return_code>"+
			"<return_msg>\xba\xc3</return_msg></xml>"),
		store.Acked, store.AckExact,
	},
	{
		"xml, upper tag", xmlAck, whole(200, "<xml><RETURN_CODE>SUCCESS</RETURN_CODE></xml>"),
		store.Refused, store.AckCase,
	},
	{
		"xml, lower value", xmlAck, whole(200, "<xml><return_code>success</return_code></xml>"),
		store.Refused, store.AckCase,
	},
	{
		"xml, doctype", xmlAck,
		whole(200, `<!DOCTYPE xml [<!ENTITY s "SUCCESS">]><xml><return_code>&s;</return_code></xml>`),
		store.Refused, store.AckMismatch,
	},
	{
		"xml, entity", xmlAck, whole(200, `<xml><return_code>&s;</return_code><a>SUCCESS</a></xml>`),
		store.Refused, store.AckNotXML,
	},
	{
		"xml, literal line ends", xmlAck, whole(200, `<xml>\n<return_code>SUCCESS</return_code>\n</xml>`),
		store.Refused, store.AckExtraText,
	},
	{
		"xml, deeper", xmlAck, whole(200, "<xml><a><return_code>SUCCESS</return_code></a></xml>"),
		store.Refused, store.AckNotXML,
	},
	{
		"xml, two", xmlAck,
		whole(200, "<xml><return_code>SUCCESS</return_code><return_code>FAIL</return_code></xml>"),
		store.Refused, store.AckMismatch,
	},
	{"xml, two roots", xmlAck, whole(200, wxOK+"<xml/>"), store.Refused, store.AckNotXML},
	{
		"xml, unclosed", xmlAck, whole(200, "<xml><return_code>SUCCESS</return_code>"),
		store.Refused, store.AckNotXML,
	},
	{
		"xml, bomb", xmlAck, whole(200, strings.Repeat("<a>", 200)+strings.Repeat("</a>", 200)),
		store.Refused, store.AckMismatch,
	},
	{"xml, ok", xmlAck, whole(200, "ok"), store.Refused, store.AckNotXML},
	{
		"xml, behind a notice", xmlAck, whole(200, "<b>Notice</b>: x in y on line 1 "+wxOK),
		store.Refused, store.AckPHPNotice,
	},
}
