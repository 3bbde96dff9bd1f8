package dispatcher_test

import (
	"fmt"
	"net/url"
	"sort"
	"strings"

	"paynotify/signer"
)

// verifyMAPI checks a form as a merchant of the legacy gateway does.
func verifyMAPI(form url.Values) error {
	var pairs []string
	for name := range form {
		if name != "sign" && name != "sign_type" {
			pairs = append(pairs, name+"="+form.Get(name))
		}
	}
	sort.Strings(pairs)
	if got := signer.MD5Key([]byte(strings.Join(pairs, "&")), []byte(worldSecret)); got != form.Get("sign") {
		return fmt.Errorf("signature is %q, want %q", form.Get("sign"), got)
	}
	return nil
}
