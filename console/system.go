package console

import (
	"strconv"
	"time"

	"paynotify/api"
)

func (c *Console) systemRoutes() []route {
	return []route{
		{pattern: "GET /console/system", needs: "GET /v1/stats", show: c.system},
		{pattern: "POST /console/system/sending", needs: "PUT /v1/sending", do: c.switchSending},
	}
}

// systemData is what the page shows.
type systemData struct {
	Ready    chip
	Reasons  []string // why it is not ready
	Warnings []string
	Store    []systemFact

	Sending   chip
	Paused    bool
	Reason    string // why it was stopped or started
	Since     string
	MaySwitch bool

	Checks []checkRow
}

// systemFact is one thing that is known of the store.
type systemFact struct {
	Name  string
	State chip
	Text  string
}

// checkRow is one thing that was looked at.
type checkRow struct {
	Name, Found, Cure string
	State             chip
}

// system shows how this process and what it depends on are.
func (c *Console) system(r *request) (page, error) {
	data := systemData{MaySwitch: r.may("PUT /v1/sending")}
	ready := c.api.Ready(r.Context())
	data.Ready = chip{"ok", "✓", r.t("ready")}
	if !ready.Ready {
		data.Ready = chip{"bad", "✕", r.t("not ready")}
	}
	data.Reasons, data.Warnings = ready.Reasons, ready.Warnings
	data.Store = storeFacts(r, c.service)
	sending, err := c.service.Sending(r.Context())
	if err != nil {
		return page{}, err
	}
	data.Paused, data.Sending = sending.Paused, chip{"ok", "▶", r.t("goes on")}
	if sending.Paused {
		data.Sending = chip{"warn", "‖", r.t("stopped")}
	}
	if sending.Reason != nil {
		data.Reason = *sending.Reason
	}
	if sending.Since != nil {
		data.Since = sending.Since.UTC().Format(time.DateTime)
	}
	if c.doctor != nil {
		for _, check := range c.doctor(r.Context()) {
			state := checkState(r, check.State)
			data.Checks = append(data.Checks, checkRow{check.Name, check.Detail, check.Cure, state})
		}
	}
	return page{name: "system", title: r.t("System"), data: data}, nil
}

// storeFacts says how durable what the store commits is.
func storeFacts(r *request, s *api.Service) []systemFact {
	h := s.Store.Health(r.Context())
	commits := systemFact{r.t("Commits"), chip{"ok", "✓", r.t("yes")}, ""}
	if h.Err != nil {
		commits.State, commits.Text = chip{"bad", "✕", r.t("no")}, h.Err.Error()
	}
	restart := systemFact{
		r.t("Survives a restart of the store"), chip{"ok", "✓", r.t("yes")}, "",
	}
	if !h.Durable {
		restart.State = chip{"bad", "✕", r.t("no")}
		restart.Text = r.t("What was accepted may be lost: the store does not write it to disk.")
	}
	power := systemFact{r.t("Survives a power failure"), chip{"ok", "✓", r.t("yes")}, ""}
	if !h.FsyncAlways {
		power.State = chip{"warn", "!", r.t("perhaps")}
		power.Text = r.t("What was accepted in the last seconds may be lost: the store syncs it later.")
	}
	return []systemFact{commits, restart, power}
}

// checkState says how a check ended.
func checkState(r *request, state string) chip {
	switch state {
	case "ok":
		return chip{"ok", "✓", r.t("fine")}
	case "warning":
		return chip{"warn", "!", r.t("to look at")}
	}
	return chip{"bad", "✕", r.t("wrong")}
}

// switchSending stops or starts all sending.
func (c *Console) switchSending(r *request) (to string, err error) {
	var req api.SendingRequest
	if req.Paused, err = strconv.ParseBool(r.PostForm.Get("paused")); err != nil {
		return "", api.NewProblem(api.SlugInvalid, "paused must be true, to stop sending, or false, to start it.")
	}
	if req.Reason, err = reasonOf(r); err != nil {
		return "", err
	}
	_, err = c.service.SetSending(r.Context(), req)
	return "system", err
}
