package certify

import (
	"sync"

	"paynotify/signer"
)

// TestKey is one RSA key for all tests: making one takes a while.
var TestKey = sync.OnceValue(func() string {
	key, err := signer.GenerateRSA()
	if err != nil {
		panic(err)
	}
	pem, err := signer.PrivatePEM(key)
	if err != nil {
		panic(err)
	}
	return pem
})
