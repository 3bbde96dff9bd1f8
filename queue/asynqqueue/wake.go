package asynqqueue

import (
	"encoding/json"
	"errors"
)

// wake is the payload of a task, in JSON because people read it in the asynq CLI.
type wake struct {
	Lane string `json:"lane"`
	From string `json:"from"` // the Queue that enqueued it
	N    uint64 `json:"n"`    // its number there, rising; from 1
}

func (w wake) payload() []byte {
	text, err := json.Marshal(w)
	if err != nil {
		panic(err) // strings and a number
	}
	return text
}

var errNoLane = errors.New("the task names no lane")

func parseWake(payload []byte) (wake, error) {
	var w wake
	if err := json.Unmarshal(payload, &w); err != nil {
		return wake{}, err
	}
	if w.Lane == "" {
		return wake{}, errNoLane
	}
	return w, nil
}
