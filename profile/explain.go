package profile

import "paynotify/store"

// Explanation tells a merchant's developer what happened and what to do: one sentence each.
type Explanation struct{ Cause, Cure string }

// Hint is both in one text.
func (e Explanation) Hint() string {
	if e.Cause == "" {
		return ""
	}
	return e.Cause + " " + e.Cure
}

// Explain explains a reason; the zero Explanation for one that is not in store.Reasons.
func Explain(r store.Reason) Explanation { return explanations[r] }

// Texts are for the people who own the receiving code. Where a cause has a usual suspect, it is named.
var explanations = map[store.Reason]Explanation{
	store.AckExact: {
		"The reply is the acknowledgement.",
		"Nothing to do.",
	},
	store.AckTrimmed: {
		"The reply is the acknowledgement with something harmless round it, such as a byte order mark, blanks" +
			" or a line end.",
		"Nothing must be done; to be clean, save PHP files without a BOM and with nothing before <?php or" +
			" behind ?>.",
	},
	store.AckCase: {
		"The reply is the acknowledgement in another letter case.",
		"Print exactly the expected word, usually success in lower case, or set ack.match to trim_fold for" +
			" this merchant.",
	},
	store.AckQuoted: {
		"The reply is the acknowledgement in quotes, because a framework wrote the returned string as JSON.",
		"Write the word as plain text: ResponseEntity<String> with text/plain in Spring, res.send() in Express," +
			" response('success') in Laravel.",
	},
	store.AckJSON: {
		"The reply is a JSON document that says success somewhere, not the plain word.",
		"Answer with the bare word as the whole body, or set ack.match to json_path with the path and text of" +
			" your answer.",
	},
	store.AckHTML: {
		"The acknowledgement stands inside an HTML page.",
		"Print the word alone: turn layouts, debug bars and templates off for this address and end the script" +
			" after it.",
	},
	store.AckPHPNotice: {
		"PHP printed a warning or notice into the reply before or behind the acknowledgement.",
		"Fix the message that the reply shows, set display_errors=Off, and echo success before any other output.",
	},
	store.AckExtraText: {
		"The reply holds the acknowledgement and other text.",
		"Print the word and nothing else: remove debug output, comments and anything echoed before or after" +
			" it, then exit.",
	},
	store.AckRepeated: {
		"The reply holds the acknowledgement more than once.",
		"Two places print it, often a library and your own code: keep one of them and exit after it.",
	},
	store.AckUTF16: {
		"The reply is the acknowledgement written as UTF-16.",
		"Save the file and write the response as UTF-8 without BOM, in C# with Encoding.UTF8 instead of" +
			" Encoding.Unicode.",
	},
	store.AckInvisible: {
		"The reply is the acknowledgement with characters beside it that nobody sees, such as a zero width" +
			" space or a NUL.",
		"Type the word anew in a plain editor: it was probably copied from a web page, or a C string was sent" +
			" with its end.",
	},
	store.AckNotXML: {
		"The reply says success, but not as the XML document that this profile waits for.",
		"Answer" +
			" <xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>.",
	},
	store.AckStatus: {
		"The body is the acknowledgement, or would not matter, but the HTTP status is not one that counts.",
		"Answer with HTTP 200, look for an error after the echo when it is a 5xx, or list the status in" +
			" ack.status.",
	},
	store.AckEmpty: {
		"The reply has no body: the script ended without printing anything, or returned the word instead of" +
			" echoing it.",
		"Print success as the body with HTTP 200 after the notification is booked; a 204 cannot carry it.",
	},
	store.AckMismatch: {
		"The reply is not the acknowledgement: the merchant's code refused the notification or something else" +
			" answered.",
		"Read the reply below: for fail look into your log for a wrong signature or amount, else check that" +
			" notify_url" +
			" reaches your handler without login, firewall challenge or error page.",
	},
	store.Encoded: {
		"The reply is compressed, though the request asked for Accept-Encoding: identity.",
		"Turn compression off for this address, for instance gzip off in nginx or zlib.output_compression=Off" +
			" in php.ini.",
	},
	store.Redirect: {
		"The notify_url answers with a redirect, and redirects are not followed.",
		"Register the final address: the usual causes are http to https, a missing final slash, www, or a" +
			" login page.",
	},
	store.HTTPStatus: {
		"The merchant's server answered with an error status.",
		"See the status and the server's error log: 404 is a wrong path, 401 and 403 a login or firewall, 5xx" +
			" a crash or a" +
			" dead backend.",
	},
	store.TimeoutConnect: {
		"No connection to the merchant's server came about in time.",
		"Check that the port is open to the internet and that the firewall does not drop our packets silently.",
	},
	store.TimeoutTLS: {
		"The connection was made, but the TLS handshake did not finish in time.",
		"Check that the port really speaks TLS and that the server or its load balancer is not overloaded.",
	},
	store.TimeoutHeaders: {
		"The request was sent, but no complete reply head came back in time.",
		"Book the notification, or only store it, echo success at once, and do slow work such as mails and" +
			" stock in a queue.",
	},
	store.TimeoutBody: {
		"The reply began, but its body did not end in time.",
		"Send Content-Length or close the connection after the word; a script that keeps running must flush" +
			" and finish first.",
	},
	store.DNSNXDomain: {
		"The host name of notify_url does not exist.",
		"Check the spelling, and that the domain has not expired and has an A or AAAA record.",
	},
	store.DNSFailure: {
		"The host name could not be looked up because the resolver failed or did not answer; this send is not" +
			" charged.",
		"The operator should check the resolver; if only this domain fails, its name servers are down or" +
			" answer wrongly.",
	},
	store.ConnRefused: {
		"The merchant's server refused the connection: nothing listens on that port.",
		"Start the web server, or correct the port in notify_url.",
	},
	store.Unreachable: {
		"There is no route to the merchant's address.",
		"Check that the DNS record points to the right address and that the host is up; a stale AAAA record is" +
			" a usual cause.",
	},
	store.ConnClosed: {
		"The merchant's server closed the connection without a reply.",
		"Look for a crashed worker or a proxy that closes unknown clients; the server's error log at that" +
			" second tells.",
	},
	store.ConnReset: {
		"The connection was reset before any reply.",
		"Look for a firewall that cuts POST requests, a crashed process, or a request size limit at the proxy.",
	},
	store.ConnStale: {
		"A kept connection had died before the request was answered, and it was sent once more on a fresh one.",
		"Nothing must be done; a longer keep-alive time than 60 s at the server makes it rarer.",
	},
	store.TLSUntrusted: {
		"The server's certificate is not signed by an authority that is trusted here, or an intermediate is" +
			" missing.",
		"Install the full chain (fullchain.pem, not cert.pem), or give your own authority as the merchant's" +
			" tls.ca.",
	},
	store.TLSExpired: {
		"The server's certificate has expired.",
		"Renew it and reload the web server; with certbot run certbot renew and check its timer.",
	},
	store.TLSNotYetValid: {
		"The server's certificate is not valid yet.",
		"Check the clock of the machine that issued it, and install a certificate whose validity has begun.",
	},
	store.TLSHostname: {
		"The server's certificate is for another host name.",
		"Install a certificate that names the host of notify_url, or correct the default virtual host that" +
			" answers.",
	},
	store.TLSVersion: {
		"The server offers only TLS versions that are too old.",
		"Enable TLS 1.2 or 1.3 on the server or its load balancer.",
	},
	store.TLSClientCert: {
		"The server asks for a client certificate.",
		"Turn that off for the notify_url, or set tls.client_cert and tls.client_key of the merchant.",
	},
	store.TLSHandshake: {
		"The TLS handshake failed.",
		"Check that the port speaks TLS and not plain HTTP, and offer a cipher suite with ECDHE.",
	},
	store.Truncated: {
		"The reply was cut off before its announced end.",
		"Correct Content-Length, which must count bytes, or look for a worker that dies while it answers.",
	},
	store.TooLarge: {
		"The reply is longer than 4096 bytes, so it is a page and not an acknowledgement.",
		"Print the acknowledgement alone; check that notify_url does not lead to a web page, a login or an" +
			" error page.",
	},
	store.Malformed: {
		"What came back is not a valid HTTP reply.",
		"Check that the port speaks HTTP, and look for broken headers, a wrong chunked body or output before" +
			" the headers.",
	},
	store.Upgrade: {
		"The server answered 101 Switching Protocols, which nobody asked for.",
		"Point notify_url to a plain HTTP handler and not to a WebSocket address.",
	},
	store.AddressBlocked: {
		"The address of notify_url is private, reserved or denied here, so nothing was sent and the merchant" +
			" is held.",
		"Give a notify_url with a public address, or have the operator add the range to egress.allow_cidrs," +
			" then resume.",
	},
	store.Crash: {
		"The sending process ended or lost its claim during this attempt, so its outcome is unknown; it is not" +
			" charged.",
		"Nothing must be done: it is sent again with the same notify_id, which the merchant may see twice.",
	},
	store.Internal: {
		"The attempt failed inside paynotify, before or after the request; it is not charged.",
		"The operator should read the log of this notify_id; after three in a row the notification is" +
			" quarantined.",
	},
}
