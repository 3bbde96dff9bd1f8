package console

import (
	"strconv"

	"paynotify/api"
)

// requestData is the request of one attempt, as it was sent.
type requestData struct {
	Shown   bool
	N       int
	Missing string // why it cannot be shown
	Note    string // what its digest does not prove

	Method, URL string
	Headers     []api.HeaderLine
	Body        string
	BodyNote    string // that the body is no text
	Curl        string
	ToSign      string
	Check       signCheck
}

// requestOf is the request of the attempt that the address asks for, else of the last one that sent one.
func (c *Console) requestOf(
	r *request, n *api.NotificationView, m *api.MerchantView,
) (d requestData, err error) {
	if !r.may(needsEvidence) {
		return d, nil
	}
	for i := range n.Attempts {
		if n.Attempts[i].RequestSHA256 != nil {
			d.N = n.Attempts[i].N
		}
	}
	if asked := r.URL.Query().Get("attempt"); asked != "" {
		if d.N, err = strconv.Atoi(asked); err != nil || d.N < 1 {
			return d, api.NewProblem(api.SlugInvalid, "The attempt of the address is no number from 1.")
		}
	}
	if d.N == 0 {
		return d, nil
	}
	evidence, err := c.service.Evidence(r.Context(), n.NotifyID, d.N)
	if err != nil || len(evidence.Attempts) == 0 {
		return d, err
	}
	d.Shown = true
	a := &evidence.Attempts[0]
	d.Missing, d.Note = deref(a.RequestMissing), deref(a.RequestNote)
	if a.Request == nil {
		return d, nil
	}
	d.Method, d.URL, d.Headers, d.Curl = a.Request.Method, a.Request.URL, a.Request.Headers, a.Request.Curl()
	d.Body = deref(a.Request.Body)
	if a.Request.Body == nil {
		d.Body = api.EscapeReply(a.Request.BodyBase64)
		d.BodyNote = r.t("The body is not UTF-8; other bytes stand as \\xNN. The command sends it as it was.")
	}
	if a.Request.SignBase64 == nil {
		return d, nil
	}
	if d.ToSign = deref(a.Request.StringToSign); a.Request.StringToSign == nil {
		d.ToSign = api.EscapeReply(a.Request.SignBase64)
	}
	keys, err := c.service.PublicKey(r.Context(), n.MchID)
	if err != nil && !absent(err) {
		return d, err
	}
	d.Check = checkOf(r, m, deref(keys.PublicKey), a.Request)
	return d, nil
}
