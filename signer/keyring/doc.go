// Package keyring seals merchants' keys under the operator's master key, so that a copy of the database is
// worth nothing without it.
//
// A ring holds one or several master keys: the first seals, all open. Changing the master key is adding a
// line at the top of the file. Values are AES-256-GCM with the merchant and the key's id as additional data:
// a sealed key cannot be moved to another merchant.
//
// Start reading at Ring, then at Ring.Seal.
package keyring
