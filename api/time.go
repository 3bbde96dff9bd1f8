package api

import (
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Time is an instant as the API writes it: RFC 3339, UTC, always with microseconds, so that instants compare
// as texts too.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000000Z"

// MarshalJSON writes the instant.
func (t Time) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, len(timeLayout)+2)
	out = append(out, '"')
	out = t.UTC().AppendFormat(out, timeLayout)
	return append(out, '"'), nil
}

// Schema documents the type.
func (Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Format: "date-time", Examples: []any{"2026-11-21T10:42:07.123456Z"},
	}
}

// timeOrNil is the instant, or nil (null) for none.
func timeOrNil(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return &Time{t}
}

// orNil is nil (null) where there is no text.
func orNil[T ~string](text T) *T {
	if text == "" {
		return nil
	}
	return &text
}
