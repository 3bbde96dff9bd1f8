package signer_test

import (
	"errors"
	"fmt"

	"paynotify/signer"
)

func ExampleMD5Key() {
	text := "notify_id=1&out_trade_no=2&trade_status=TRADE_SUCCESS"
	sign := signer.MD5Key([]byte(text), []byte("swordfish"))
	fmt.Println(sign)
	fmt.Println(signer.VerifyMD5Key([]byte(text), []byte("swordfish"), sign))
	fmt.Println(signer.VerifyMD5Key([]byte(text+"0"), []byte("swordfish"), sign))
	// Output:
	// e46c8d8903c2d0b0d57dd9d7ab599846
	// <nil>
	// signature does not verify
}

func ExampleParsePrivateKey() {
	// A key as it comes out of an environment variable, its end lost.
	_, err := signer.ParsePrivateKey(`-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0BAQEF`)
	if fault := (*signer.KeyError)(nil); errors.As(err, &fault) {
		fmt.Println(errors.Is(err, signer.ErrTruncated), fault.Message)
	}
	// Output:
	// true the key is cut off: there is no -----END line
}
