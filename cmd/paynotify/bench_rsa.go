package main

import (
	"time"

	"paynotify/signer"
)

// timeRSA is what one RSA-2048 signature costs on this machine, measured on one core.
func timeRSA() (time.Duration, error) {
	key, err := signer.GenerateRSA()
	if err != nil {
		return 0, err
	}
	const signatures = 200
	text := []byte(benchParams)
	began := time.Now()
	for range signatures {
		if _, err := signer.SignRSA2(key, text); err != nil {
			return 0, err
		}
	}
	return time.Since(began) / signatures, nil
}
