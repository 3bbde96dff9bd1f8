package egress

// HeaderLines lists the header lines of the request in the order in which a client with this UserAgent
// writes them, without Host and Content-Length, which follow from target and body. It is for showing a
// request to people; an empty userAgent is the client's default.
func (r *Request) HeaderLines(userAgent string) []Header {
	lines := make([]Header, 0, len(r.Header)+3)
	for _, line := range [...]Header{
		{"User-Agent", orDefault(userAgent, defaultUserAgent)}, {"Accept", "*/*"}, {"Accept-Encoding", "identity"},
	} {
		if !r.has(line.Name) {
			lines = append(lines, line)
		}
	}
	return append(lines, r.Header...)
}
