package api

import (
	"context"
	"net/url"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/profile"
)

// Links let people in who have no key at hand: a merchant, to look at what is its own, and somebody who has a
// key in a terminal and needs it in a browser.

// PortalLinkRequest is the body of portal-link; all of it is optional.
type PortalLinkRequest struct {
	ExpiresIn string `json:"expires_in,omitempty" doc:"From 1m to 720h; default 24h" example:"24h"`
}

// LinkView is a link of the console. Whoever has it has what it opens.
type LinkView struct {
	URL       string `json:"url" doc:"Under the host that the request asked for; shown this once"`
	ExpiresAt Time   `json:"expires_at"`
}

func (*PortalLinkRequest) documented() reflect.Type { return reflect.TypeFor[PortalLinkRequest]() }

func (req *PortalLinkRequest) readFrom(r *reader) {
	r.object("body", []string{"expires_in"}, func(string) {
		req.ExpiresIn = r.optionalText("body.expires_in")
	})
}

// life is how long the link is to live.
func (req *PortalLinkRequest) life() (time.Duration, *Problem) {
	if req.ExpiresIn == "" {
		return portalLinkDefault, nil
	}
	d, err := time.ParseDuration(req.ExpiresIn)
	if err != nil || d < portalLinkMin || d > portalLinkMax {
		return 0, invalid([]profile.Fault{{
			Location: "body.expires_in", Message: "is no duration from 1m to 720h", Cure: "write it like 24h",
		}})
	}
	return d, nil
}

func (a *API) linkRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "make-portal-link", Method: "POST", Path: "/v1/merchants/{mch_id}/portal-link",
		Tags: tagAccess, Summary: "Make a link through which a merchant looks at what is its own",
		Description: "It may be used often until it expires, by whoever has it, and shows the merchant, its " +
			"notifications and what was sent, and nothing of others. It ends with the key that made it.",
		RequestBody: requestBody[PortalLinkRequest](a),
	}, []int{404}, func(ctx context.Context, in *mchBody) (LinkView, error) {
		return withBody(&in.Body, func(req *PortalLinkRequest) (LinkView, error) {
			return s.PortalLink(ctx, in.MchID, *req)
		})
	}, bodyOptional)
	declare(a, huma.Operation{
		OperationID: "make-login-link", Method: "POST", Path: "/v1/login-links", Tags: tagAccess,
		Summary:     "Make a link that logs its maker in to the console, once",
		Description: "For five minutes. The session may do what the key may that made it, and ends with it.",
	}, nil, func(ctx context.Context, _ *noInput) (LinkView, error) { return s.LoginLink(ctx) })
}

// PortalLink makes a link through which a merchant looks at what is its own. It is the caller's: it ends with
// the caller's key.
func (s *Service) PortalLink(ctx context.Context, mchID string, req PortalLinkRequest) (LinkView, error) {
	life, refused := req.life()
	if refused != nil {
		return LinkView{}, refused
	}
	if _, refused = s.merchant(ctx, mchID); refused != nil {
		return LinkView{}, refused
	}
	return s.makeLink(ctx, "portal", "merchant/"+mchID, func(by string) pass {
		return s.auth.newPass(passPortal, by, mchID, life)
	})
}

// LoginLink makes a link that logs the caller in, once.
func (s *Service) LoginLink(ctx context.Context) (LinkView, error) {
	return s.makeLink(ctx, "login", "login-link", func(by string) pass {
		return s.auth.newPass(passLogin, by, "", loginLinkLife)
	})
}

// makeLink makes a link to a page of the console that takes a pass. The audit log gets the pass's id, which
// opens nothing.
func (s *Service) makeLink(
	ctx context.Context, page, object string, of func(by string) pass,
) (LinkView, error) {
	c, asked := callerOf(ctx)
	if !asked || c.Name == "" || c.Role == RolePortal {
		return LinkView{}, unauthorized("A link is made with a key.")
	}
	p := of(c.Name)
	made := facts{}
	made.set("link_id", p.ID)
	made.set("expires_at", Time{p.expires()})
	note(ctx, object, nil, made)
	return LinkView{
		URL:       c.Origin + "/console/" + page + "?token=" + url.QueryEscape(s.auth.text(&p)),
		ExpiresAt: Time{p.expires()},
	}, nil
}
