// Package certify drives a merchant's notify_url through what a payment provider, and whoever pretends to be
// one, will do to it sooner or later, and says what the receiving code must change, in five languages.
//
// Seven cases, in this order:
//
//	good           a rightly signed payment: must be acknowledged
//	duplicate      the same one again, as a resend: must be acknowledged again
//	tampered       one digit of the amount changed after signing: must not be acknowledged
//	wrong_key      signed with another key of the same kind: must not be acknowledged
//	wrong_charset  rightly signed, but with GBK bytes where UTF-8 is declared: must be answered cleanly
//	out_of_order   a later state first, then the earlier one: both must be acknowledged
//	probe          the merchant's key, a well-formed signature that is wrong: must not be acknowledged
//
// What counts as acknowledged is the profile's own rule, judged by profile.Judge. Three things beside it:
//
// A forgery counts as taken when its reply is a near-miss as well, such as SUCCESS in upper case: it was
// meant as a yes, so the payment was booked.
//
// A receiver that verifies bytes may rightly acknowledge wrong_charset, and one that decodes first may
// rightly refuse it. What must not happen is that bytes which cannot be decoded bring it down: the case
// fails when no whole reply comes, when it is a page, a notice of PHP or a stack trace, a redirect, or a
// 5xx of a dialect in which merchants refuse with a word. (A dialect whose encoder will not sign such bytes
// has them put in behind the signature: it must then be refused, or at least answered.)
//
// Where nothing is signed, nobody can tell a forgery: tampered, wrong_key and probe are not sent, pass
// without a verdict, and VerifiesSignatures stays false.
//
// Start reading at Run in certify.go, then at the table in cases.go.
package certify
