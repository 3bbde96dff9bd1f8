package api

import (
	"slices"
	"strings"
)

// Role says what the holder of a key may do.
type Role string

// The roles. What each may do stands in routeAccess, route by route.
const (
	RoleIngest   Role = "ingest"   // brings notifications, and reads one by its notify_id
	RoleRead     Role = "read"     // looks at merchants and notifications
	RoleOperator Role = "operator" // also stops, starts and repeats sends
	RoleAdmin    Role = "admin"    // everything
	RoleAuditor  Role = "auditor"  // reads the audit log, and nothing else
	RoleMetrics  Role = "metrics"  // scrapes metrics, and nothing else
	// RolePortal is a merchant that looks at what is its own. It is for links that the server hands out; the
	// API gives it to no key.
	RolePortal Role = "portal"
)

// Roles lists the roles that a key can be given.
var Roles = []Role{RoleIngest, RoleRead, RoleOperator, RoleAdmin, RoleAuditor, RoleMetrics}

// bindable are the roles of keys that may be bound to one merchant. What the others are for is not of one.
var bindable = []Role{RoleIngest, RoleRead, RoleOperator}

// access says who may use a route, and how its use stands in the audit log.
type access struct {
	roles    []Role
	open     bool   // everybody, without a key
	loopback bool   // also peers of this machine, without a key
	whole    bool   // it is about everything there is: not for who is bound to one merchant
	action   string // in the audit log; empty: the route changes nothing
	// volume is a route whose uses are too many for the audit log, and each of which leaves a record of its
	// own: only refused ones go there. It is also the hot path.
	volume bool
}

var (
	mayBring  = []Role{RoleIngest, RoleOperator, RoleAdmin}
	maySee    = []Role{RoleRead, RoleOperator, RoleAdmin, RolePortal}
	maySeeOne = []Role{RoleIngest, RoleRead, RoleOperator, RoleAdmin, RolePortal}
	maySeeRaw = []Role{RoleOperator, RoleAdmin, RolePortal}
	mayWatch  = []Role{RoleRead, RoleOperator, RoleAdmin}
	mayManage = []Role{RoleOperator, RoleAdmin}
	mayOwn    = []Role{RoleAdmin}
	mayRevise = []Role{RoleAuditor, RoleAdmin}
	mayScrape = []Role{RoleMetrics, RoleOperator, RoleAdmin}
)

// routeAccess is the one place that says who may do what. A route without a row cannot be registered.
//
// Who is bound to one merchant finds other merchants' things absent (404), which Service sees to (see
// boundTo); in lists they are left out.
//
// Bringing notifications is not in the audit log: each of them is a record of its own, with its time and its
// merchant, and there may be thousands a second. Which key brought it is not kept, so that a key with the
// role ingest may read any one notification of the merchants that it may bring for: whoever knows a notify_id
// has brought it, or was told by one who has.
var routeAccess = map[string]access{
	"POST /v1/notifications":                     {roles: mayBring, action: "notification.accept", volume: true},
	"POST /v1/notifications/batch":               {roles: mayBring, action: "notification.accept", volume: true},
	"GET /v1/notifications":                      {roles: maySee},
	"GET /v1/notifications/{notify_id}":          {roles: maySeeOne},
	"GET /v1/attempts":                           {roles: maySee},
	"POST /v1/notifications/{notify_id}/resend":  {roles: mayManage, action: "notification.resend"},
	"POST /v1/notifications/{notify_id}/cancel":  {roles: mayManage, action: "notification.cancel"},
	"GET /v1/notifications/{notify_id}/evidence": {roles: maySeeRaw},

	"POST /v1/notifications/replay":       {roles: mayManage, action: "notification.replay"},
	"GET /v1/replays":                     {roles: mayWatch},
	"GET /v1/replays/{replay_id}":         {roles: mayWatch},
	"POST /v1/replays/{replay_id}/cancel": {roles: mayManage, action: "replay.cancel"},

	"GET /v1/merchants":                      {roles: maySee},
	"GET /v1/merchants/{mch_id}":             {roles: maySee},
	"GET /v1/merchants/{mch_id}/public-key":  {roles: maySee},
	"POST /v1/merchants":                     {roles: mayOwn, whole: true, action: "merchant.create"},
	"PATCH /v1/merchants/{mch_id}":           {roles: mayOwn, action: "merchant.change"},
	"DELETE /v1/merchants/{mch_id}":          {roles: mayOwn, action: "merchant.delete"},
	"POST /v1/merchants/{mch_id}/rotate-key": {roles: mayOwn, action: "merchant.rotate-key"},
	"POST /v1/merchants/{mch_id}/pause":      {roles: mayManage, action: "merchant.pause"},
	"POST /v1/merchants/{mch_id}/resume":     {roles: mayManage, action: "merchant.resume"},
	"POST /v1/merchants/{mch_id}/probe":      {roles: mayManage, action: "merchant.probe"},

	"GET /v1/merchants/{mch_id}/sla":          {roles: maySee},
	"GET /v1/merchants/{mch_id}/statement":    {roles: maySee},
	"POST /v1/merchants/{mch_id}/gaps":        {roles: maySee}, // it asks: the list is too long for a query
	"POST /v1/merchants/{mch_id}/portal-link": {roles: mayManage, action: "merchant.portal-link"},

	"GET /v1/stats":        {roles: mayWatch, whole: true},
	"GET /v1/callback":     {roles: mayWatch, whole: true},
	"GET /v1/sending":      {roles: mayWatch, whole: true},
	"PUT /v1/sending":      {roles: mayManage, whole: true, action: "sending.switch"},
	"GET /v1/backup":       {roles: mayOwn, whole: true, action: "store.backup"},
	"GET /v1/keys":         {roles: mayOwn, whole: true},
	"POST /v1/keys":        {roles: mayOwn, whole: true, action: "key.create"},
	"DELETE /v1/keys/{id}": {roles: mayOwn, whole: true, action: "key.revoke"},
	"GET /v1/audit":        {roles: mayRevise, whole: true},
	"POST /v1/login-links": {roles: Roles, action: "login-link.create"},

	"GET /metrics":      {roles: mayScrape, whole: true, loopback: true},
	"GET /debug/pprof/": {roles: mayOwn, whole: true, loopback: true}, // on the listener of the metrics alone

	"GET /healthz":               {open: true},
	"GET /readyz":                {open: true},
	"GET /openapi.json":          {open: true},
	"GET /gateway.do":            {open: true},
	"GET /trade/notify_query.do": {open: true},
	"/":                          {open: true}, // nothing is there; see missing, which asks for a key under /v1
}

// judge is why somebody may not use a route, nil when it may.
func (a *access) judge(who *Principal, route string) *Problem {
	if !slices.Contains(a.roles, who.Role) || who.Role == RolePortal && who.MchID == "" {
		return problem(SlugMissingScope, "The role of this key is "+string(who.Role)+"; "+route+" needs "+
			oneOfRoles(a.roles)+".")
	}
	if a.whole && who.MchID != "" {
		return problem(SlugMissingScope, "This key is bound to merchant "+who.MchID+"; "+route+
			" needs one that is bound to none.")
	}
	return nil
}

// Permit is why somebody may not do what a route of the API does, nil when it may: for what does the same in
// another way, such as a page. The route is written as in routeAccess; one without a row panics, as it would
// when it is registered.
func Permit(who Principal, route string) *Problem {
	rule := row(route)
	if rule.open {
		return nil
	}
	return rule.judge(&who, route)
}

// Action is what the use of a route is called in the audit log; empty for a route that changes nothing.
func Action(route string) string { return row(route).action }

func row(route string) *access {
	rule, known := routeAccess[route]
	if !known {
		panic("route " + route + " has no row in routeAccess: say who may use it")
	}
	return &rule
}

// oneOfRoles names the roles that a person can have a key for.
func oneOfRoles(roles []Role) string {
	var names []string
	for _, r := range roles {
		if r != RolePortal {
			names = append(names, string(r))
		}
	}
	return strings.Join(names, " or ")
}
