package api

import (
	"maps"
	"slices"
)

// RoutePatterns lists every route that there is: none can be registered without a row.
func RoutePatterns() []string { return slices.Sorted(maps.Keys(routeAccess)) }

// NewKeyText makes a key as CreateKey does.
var NewKeyText = newKeyText

// ForgeKey is a whole key with an id that is known, and a secret that is not.
func ForgeKey(id string) string {
	body := keyPrefix + id + "_" + randomText(base62, keySecretChars)
	return body + keyCheck(body)
}

// SpentMax bounds the ledger of spent passes.
const SpentMax = spentMax

// Percentile and WindowText are pure.
var (
	Percentile = percentile
	WindowText = windowText
)
