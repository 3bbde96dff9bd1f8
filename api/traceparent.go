package api

import (
	"net/http"
	"strings"
)

// traceParentBytes is the length of a traceparent of version 00.
const traceParentBytes = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

// traceParent is the trace context of a request as version 00 of https://www.w3.org/TR/trace-context/ writes
// it; empty when there is none or it is not valid, which is no fault of the request. Of a later version the
// part that it shares with 00 is taken, as the specification asks. Its tracestate is not kept: we forward it
// to nobody.
func traceParent(req *http.Request) string {
	given := req.Header["Traceparent"]
	if len(given) != 1 || len(given[0]) < traceParentBytes {
		return ""
	}
	text, more := given[0][:traceParentBytes], given[0][traceParentBytes:]
	for i, c := range []byte(text) {
		dash := i == 2 || i == 35 || i == 52
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if dash != (c == '-') || !dash && !hex {
			return ""
		}
	}
	version, traceID, parentID := text[:2], text[3:35], text[36:52]
	switch {
	case strings.Trim(traceID, "0") == "", strings.Trim(parentID, "0") == "":
		return ""
	case version == "00":
		if more != "" {
			return ""
		}
	case version == "ff", more != "" && more[0] != '-':
		return ""
	}
	return "00" + text[2:]
}
