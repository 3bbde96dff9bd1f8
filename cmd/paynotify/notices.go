package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"paynotify/api"
	"paynotify/notices"
	"paynotify/signer"
	"paynotify/store"
)

// hooks are the merchants that the configuration makes: whom the engine itself has something to tell.
func (c *Config) hooks() []api.Own {
	return []api.Own{
		{
			MchID: store.CallbackMerchant, Name: "platform callback", URL: c.Callback.URL,
			Secret: string(c.Callback.Secret),
		},
		{
			MchID: store.NoticesMerchant, Name: "operator notices", URL: c.Notices.URL,
			Secret: string(c.Notices.Secret),
		},
	}
}

// check looks at one of them. Its address is judged when the rules for addresses are known; see checkHooks.
func (h *HookConfig) check(found *faults, section string) {
	secret := section + ".secret"
	switch {
	case h.URL == "" && h.Secret == "":
	case h.URL == "":
		found.add(section+".url", "is missing; say where to POST, or remove %s", secret)
	case h.Secret == "":
		found.add(secret, "is missing: without it nobody could tell our messages from forged ones; keep one "+
			"like %s", signer.GenerateWhsec())
	default:
		if _, err := signer.ParseWhsec(string(h.Secret)); err != nil {
			found.add(secret, "%s; for example %s", err, signer.GenerateWhsec())
		}
	}
}

// checkHooks judges their addresses as those of any merchant.
func (c *Config) checkHooks() error {
	rules := c.rules(nil)
	for _, own := range c.hooks() {
		if own.URL == "" {
			continue
		}
		if _, bad := rules.CheckURL(own.URL); bad != nil {
			return &problem{
				code: exitConfig, what: "the configuration is wrong",
				why: fmt.Sprintf("%s.url: refused by rule %s", own.MchID[1:], bad.Rule), do: bad.Cure,
			}
		}
	}
	return nil
}

// newFollower makes who tells the platform and operators what happens.
func (e *engine) newFollower() *notices.Follower {
	return notices.New(notices.Options{
		Store: e.Store, Intake: e.dispatcher, Callback: e.cfg.Callback.URL != "", Notices: e.cfg.Notices.URL != "",
		Node: nodeName() + "/" + rand.Text()[:8], Sole: !isRedisURL(e.cfg.Store), Log: e.log,
	})
}

// settled is told of what the dispatcher settles, where nobody reads the feed of it; else it is nil.
func (e *engine) settled() func(*store.Settled) {
	if e.cfg.Callback.URL != "" || e.cfg.Notices.URL != "" {
		return nil
	}
	return func(s *store.Settled) { e.follower.See(s) }
}

// following tells how following stands, whichever process does.
func (e *engine) following(ctx context.Context) (api.Following, error) {
	f, err := notices.StatusOf(ctx, e.Store, e.Store.Now())
	possible := e.follower.Follows() || isRedisURL(e.cfg.Store) // else a name there is of one that was killed
	return api.Following{Now: possible && f.Owner != "", Missed: f.Missed}, err
}

// hooksAgain is how long to wait between two tries to make the merchants of the configuration.
const hooksAgain = time.Second

// tellOthers follows what happens until ctx ends.
func (e *engine) tellOthers(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-e.admitted:
	}
	for _, own := range e.cfg.hooks() {
		if !e.keepOwn(ctx, own) {
			return
		}
	}
	e.follower.Run(ctx)
}

// keepOwn makes one merchant what the configuration says, however long the store is away.
func (e *engine) keepOwn(ctx context.Context, own api.Own) bool {
	again := time.NewTicker(hooksAgain)
	defer again.Stop()
	for {
		err := e.api.Service.KeepOwn(ctx, own)
		if err == nil {
			return true
		}
		if p, ok := errors.AsType[*api.Problem](err); ok && p.Status < 500 {
			e.fail(&problem{
				code: exitConfig, what: "the configuration of the " + own.Name + " is refused", why: p.Error(),
				do: "correct url and secret",
			})
			return false
		}
		e.log.Error("the "+own.Name+" cannot be set up, trying again", "err", err)
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
}
