package console

func (c *Console) overviewRoutes() []route {
	return []route{{pattern: "GET /console/{$}", needs: "GET /v1/notifications", show: c.overview}}
}

// overviewData is what the first page shows.
type overviewData struct{ Pending int }

func (c *Console) overview(r *request) (page, error) {
	stats, err := c.service.Stats(r.Context())
	if err != nil {
		return page{}, err
	}
	return page{name: "overview", title: r.t("Overview"), data: overviewData{stats.States["pending"]}}, nil
}
