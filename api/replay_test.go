package api_test

// replay begins one for a merchant and returns its replay_id. Nobody carries it out here.
func (w *world) replay(mchID string) string {
	w.t.Helper()
	v := w.call("POST", "/v1/notifications/replay", `{"mch_id":"`+mchID+`"}`).want(202)
	return v["replay_id"].(string)
}

// canceledReplay makes room for others at once.
func (w *world) canceledReplay(mchID string) string {
	w.t.Helper()
	id := w.replay(mchID)
	w.call("POST", "/v1/replays/"+id+"/cancel", "").want(200)
	return id
}
