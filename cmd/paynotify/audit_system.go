package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"paynotify/store"
)

// auditWait is how long a start or a stop waits for its entry in the audit log. It is part of drainMax.
const auditWait = time.Second

// audit puts a start or a stop of this process into the audit log, with what it runs and on which
// configuration. One that cannot be written stands in the log of the process alone: a server that does not
// start, or does not stop, would be worse.
func (e *engine) audit(ctx context.Context, action string) {
	after, err := json.Marshal(map[string]string{
		"version": readVersion().Version, "config_sha256": e.cfg.digest(), "store": storeName(e.cfg.Store),
	})
	if err == nil {
		_ = e.api.Service.Append(ctx, store.AuditEntry{ // it logs what goes wrong
			Actor: "system", Action: action, Object: "process/" + nodeName(), After: after, Result: "ok",
		}, auditWait)
	}
}

// digest tells whether two processes ran on the same configuration. Secrets count only as being there: a
// digest over a short one would let it be guessed.
func (c *Config) digest() string {
	h := sha256.New()
	values := reflect.ValueOf(*c)
	for _, k := range configKeys {
		value := values.FieldByIndex(k.index).Interface()
		if k.name == "store" {
			value = storeName(c.Store)
		}
		fmt.Fprintf(h, "%s=%v\n", k.name, value)
	}
	fmt.Fprintf(h, "dev=%t allow_volatile=%t\n", c.Dev, c.AllowVolatile)
	return hex.EncodeToString(h.Sum(nil))
}
