package store

import "strings"

// The engine sends for itself too: what it has to tell the platform and operators are notifications like
// any, to merchants that the configuration makes. Their names cannot be those of a merchant that somebody
// registers: these begin with a letter or a digit.
const (
	// CallbackMerchant is the platform itself: what became of its notifications.
	CallbackMerchant = "_callback"
	// NoticesMerchant are the platform's operators: what needs them.
	NoticesMerchant = "_notices"
)

// Reserved reports whether a mch_id is one of the engine's own, which no caller may register, change or send
// to.
func Reserved(mchID string) bool { return strings.HasPrefix(mchID, "_") }
