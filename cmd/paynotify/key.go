package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
)

// newKeyCommand manages API keys through the server.
func newKeyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Add, list and revoke API keys; log in to the console",
		Long: `API keys let programs and people use the server, each with what its role allows and no more.

Roles:
  ingest    brings notifications, and reads one by its notify_id
  read      looks at merchants and notifications
  operator  also pauses, resumes, resends, cancels, probes, and stops all sending
  admin     everything: merchants, keys, backup, audit log
  auditor   reads the audit log
  metrics   scrapes /metrics

To rotate a key add a second one, give it to its holder, and revoke the first.

While there is no admin key, neither in the configuration nor here, users of the server's machine need none.
The first one that is added ends that.`,
	}
	asGroup(c)
	c.AddCommand(keyAdd(), keyList(), keyRevoke(), keyLoginLink())
	return c
}

func roleNames() (names []string) {
	for _, r := range api.Roles {
		names = append(names, string(r))
	}
	return names
}

func keyAdd() *cobra.Command {
	var name, role, mch, expires string
	c := &cobra.Command{
		Use:   "add --role ROLE",
		Short: "Add an API key; it is shown this once",
		Example: "  paynotify key add --name checkout --role ingest\n" +
			"  paynotify key add --name \"support of m1\" --role read --mch m1 --expires 720h",
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(roleNames(), role) {
				p := usagef("--role %q: want one of %s", role, strings.Join(roleNames(), ", "))
				if n := nearest(role, roleNames()); role != "" && n != "" {
					p.do = fmt.Sprintf("did you mean %q?", n)
				}
				return p
			}
			body := map[string]any{"name": name, "role": role}
			if mch != "" {
				body["mch_id"] = mch
			}
			if expires != "" {
				at, err := parseInstant("--expires", expires, time.Now(), 1)
				if err != nil {
					return err
				}
				body["expires_at"] = at
			}
			return addKey(cmd, body)
		},
	}
	c.Flags().StringVar(&name, "name", "", "what people call it")
	c.Flags().StringVar(&role, "role", "", "what it may do: "+strings.Join(roleNames(), ", "))
	c.Flags().StringVar(&mch, "mch", "", "the only merchant that it is for: ingest, read and operator")
	c.Flags().StringVar(&expires, "expires", "", "when it ends: an instant, or a duration from now such as 720h")
	completeFlag(c, "role", roleNames())
	if err := c.RegisterFlagCompletionFunc("mch", completeMchFlag); err != nil {
		panic(err) // the flag does not exist: a slip in the lines above
	}
	return c
}

func addKey(cmd *cobra.Command, body map[string]any) error {
	c, err := newClient(cmd)
	if err != nil {
		return err
	}
	var k api.AccessKeyCreated
	raw, err := c.do(cmd.Context(), post(body, "v1", "keys"), &k)
	if err != nil {
		return err
	}
	for _, w := range k.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+w)
	}
	if wantsJSON(cmd) {
		return printLine(cmd.OutOrStdout(), raw)
	}
	// The key alone on stdout: KEY=$(paynotify key add …) is what scripts want.
	fmt.Fprintf(cmd.ErrOrStderr(), "key %s (%s) added; keep it: it is not shown again\n", k.ID,
		keyAbout(&k.AccessKeyView))
	_, err = fmt.Fprintln(cmd.OutOrStdout(), k.Key)
	return err
}

// keyAbout says in a few words what a key is for.
func keyAbout(k *api.AccessKeyView) string {
	about := string(k.Role)
	if k.MchID != nil {
		about += " of merchant " + *k.MchID
	}
	if k.Name != "" {
		about += ", " + printable(k.Name)
	}
	return about
}

func keyList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List API keys, oldest first",
		Args:  needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			var list api.AccessKeyList
			if _, err := c.do(cmd.Context(), get("v1", "keys"), &list); err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printEach(cmd.OutOrStdout(), list.Keys)
			}
			if len(list.Keys) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), `no API keys yet; "paynotify key add --help" shows how to add one`)
			}
			return printKeys(cmd.OutOrStdout(), list.Keys)
		},
	}
}

func printKeys(w io.Writer, keys []api.AccessKeyView) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(keys) > 0 {
		fmt.Fprintln(tw, "ID\tROLE\tMCH_ID\tSTATE\tCREATED\tEXPIRES\tNAME")
	}
	for i := range keys {
		k := &keys[i]
		expires := "–"
		if k.ExpiresAt != nil {
			expires = k.ExpiresAt.Local().Format(time.DateTime)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Role, orDash(deref(k.MchID)), k.State,
			k.CreatedAt.Local().Format(time.DateTime), expires, orDash(printable(k.Name)))
	}
	return tw.Flush()
}

func keyRevoke() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "End an API key for good",
		Args:  needs("ID"), ValidArgsFunction: completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args[0]) > keyIDMax {
				p := usagef("%q is not the id of a key", args[0][:keyIDMax]+"…")
				p.do = `give the id that "paynotify key list" shows, not the key`
				return p
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			r := get("v1", "keys", args[0])
			r.method = http.MethodDelete
			if _, err := c.do(cmd.Context(), r, nil); err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printEach(cmd.OutOrStdout(), []map[string]string{{"id": args[0], "state": "revoked"}})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "key %s revoked\n", args[0])
			return err
		},
	}
}

func keyLoginLink() *cobra.Command {
	return &cobra.Command{
		Use:   "login-link",
		Short: "Make a link that logs you in to the console, once, within five minutes",
		Long: `Make a link that logs you in to the console, once, within five minutes, with the rights of the key
that this command uses. Whoever opens it first is you.`,
		Example: "  xdg-open \"$(paynotify key login-link)\"",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			var link api.LinkView
			raw, err := c.do(cmd.Context(), post(nil, "v1", "login-links"), &link)
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printLine(cmd.OutOrStdout(), raw)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), link.URL)
			return err
		},
	}
}

// keyIDMax is longer than an id and shorter than a key, which must not end in a URL, or in a log of URLs.
const keyIDMax = 16
