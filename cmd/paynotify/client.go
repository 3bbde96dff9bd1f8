package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
)

// client talks to a paynotify server, for the commands that need one.
type client struct {
	base  *url.URL
	token string
	http  *http.Client
}

const (
	dialWait       = 5 * time.Second
	replyWait      = 40 * time.Second // above the longest long poll
	replyBytesMax  = 64 << 20         // of one answer that is kept in memory; a page of 500 is far below
	problemBytes   = 1 << 20
	attemptsWait   = 20 * time.Second // one long poll
	problemMessage = "application/problem+json"
)

// newClient reads --server and --token, and their environment variables.
func newClient(cmd *cobra.Command) (*client, error) {
	server, _ := cmd.Flags().GetString("server")
	token, _ := cmd.Flags().GetString("token")
	if token == "" {
		token = os.Getenv("PAYNOTIFY_TOKEN")
	}
	bad := func(why string) error {
		p := usagef("the server's URL %q is wrong", redactURL(server))
		p.why, p.do = why, "give its base URL with --server or PAYNOTIFY_SERVER, like "+defaultServer
		return p
	}
	base, err := url.Parse(server)
	switch {
	case err != nil || base.Host == "":
		return nil, bad("it is not a URL with a host")
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, bad("it does not begin with http:// or https://")
	case base.RawQuery != "" || base.Fragment != "" || base.User != nil:
		return nil, bad("it has more than scheme, host, port and path; the key goes into PAYNOTIFY_TOKEN")
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, usagef("the key in --token or PAYNOTIFY_TOKEN has blanks or characters that no key has")
	}
	return &client{base: base, token: token, http: &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: dialWait}).DialContext,
			TLSHandshakeTimeout:   dialWait,
			ResponseHeaderTimeout: replyWait,
		},
		// A key must not follow a redirect to somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// call is one request to the server.
type call struct {
	method string
	path   []string // segments; escaped here
	query  url.Values
	header map[string]string
	body   any // sent as JSON unless nil
}

// get asks for a resource.
func get(path ...string) call { return call{method: http.MethodGet, path: path} }

// post sends something.
func post(body any, path ...string) call {
	return call{method: http.MethodPost, path: path, body: body}
}

// do sends a request and decodes the answer into out, unless that is nil. It returns the answer's JSON as the
// server wrote it, for --json.
func (c *client) do(ctx context.Context, r call, out any) (json.RawMessage, error) {
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, replyBytesMax))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			return nil, c.foreign(resp, "its answer cannot be read: "+err.Error())
		}
	}
	return raw, nil
}

// send sends a request and returns the answer if it is a success.
func (c *client) send(ctx context.Context, r call) (*http.Response, error) {
	u := c.base.JoinPath(r.path...)
	u.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "paynotify-cli/"+readVersion().Version)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

// unreachable is the error of a server that did not answer.
func (c *client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return &problem{
		code: exitUnavailable, what: "no answer from " + c.base.String(), why: err.Error(),
		do: `start a server with "paynotify serve", or name it with --server or PAYNOTIFY_SERVER`,
	}
}

// foreign is the error of something that answers and is no paynotify.
func (c *client) foreign(resp *http.Response, why string) error {
	return &problem{
		code: exitUnavailable,
		what: fmt.Sprintf("%s does not answer like a paynotify server (%s)", c.base, resp.Status), why: why,
		do: "check --server or PAYNOTIFY_SERVER, and what stands between",
	}
}

// refusal turns an answer that is no success into an error with its exit code.
func (c *client) refusal(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, problemBytes))
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var said api.Problem
	if err != nil || media != problemMessage || json.Unmarshal(raw, &said) != nil {
		return c.foreign(resp, "")
	}
	p := &problem{code: exitOfStatus(resp.StatusCode), what: strings.ToLower(said.Title), why: said.Detail}
	if len(said.Errors) == 1 {
		e := said.Errors[0]
		p.why, p.do = e.Location+": "+e.Message, e.Cure
	} else if len(said.Errors) > 1 {
		// With several each cure stands behind its fault, or nobody knows which belongs to which.
		p.why = ""
		for _, e := range said.Errors {
			p.why += strings.TrimSuffix(e.Location+": "+e.Message+"; "+e.Cure, "; ") + "\n"
		}
	}
	switch {
	case said.Slug() == api.SlugNoBackup:
		p.code = exitConfig // trying again would not help
	case said.Slug() == api.SlugMissingScope:
		p.do = "use a key that has the role, or ask who manages the keys of this server"
	case said.Slug() == api.SlugTokenExpired:
		p.do = "ask for a new key, and put it into PAYNOTIFY_TOKEN"
	case p.code == exitAuth && c.token == "":
		p.do = "set PAYNOTIFY_TOKEN to a key of this server"
	case p.code == exitAuth:
		p.do = "check PAYNOTIFY_TOKEN: the server does not know this key"
	case resp.Header.Get("Retry-After") != "":
		p.do = "try again in " + resp.Header.Get("Retry-After") + " s"
	}
	return p
}

// exitOfStatus maps an HTTP status to an exit code.
func exitOfStatus(status int) int {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitAuth
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests,
		http.StatusServiceUnavailable:
		return exitTemporary
	}
	if status >= http.StatusInternalServerError {
		return exitBug
	}
	return exitData
}

func (c *client) merchants(ctx context.Context, cursor string, limit int) (page api.MerchantPage, err error) {
	r := get("v1", "merchants")
	r.query = url.Values{"limit": {strconv.Itoa(limit)}}
	if cursor != "" {
		r.query.Set("cursor", cursor)
	}
	_, err = c.do(ctx, r, &page)
	return page, err
}

// printLine writes a JSON document as one line, as --json wants it.
func printLine(w io.Writer, raw json.RawMessage) error {
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		return err
	}
	line.WriteByte('\n')
	_, err := w.Write(line.Bytes())
	return err
}
