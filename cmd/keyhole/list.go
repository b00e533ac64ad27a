package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func listCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List secrets, never their values",
		Args:  args(0, 1, "keyhole list [PREFIX]"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			scopes, q, err := listScope(args)
			if err != nil {
				return err
			}
			c, err := t.client(cmd.Context(), scopes)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.close()) }()
			all := api.List{Data: []api.ListItem{}}
			for {
				_, body, err := c.do(cmd.Context(), http.MethodGet, "/v1/secrets?"+q.Encode(), nil)
				if err != nil {
					return err
				}
				var page api.List
				if err := json.Unmarshal(body, &page); err != nil {
					return errors.New("the server's answer is not a listing")
				}
				all.Data = append(all.Data, page.Data...)
				if page.NextPage == "" {
					return printList(cmd, all, output)
				}
				q.Set("page", page.NextPage)
			}
		},
	}
	t.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func listScope(args []string) (string, url.Values, error) {
	q := url.Values{"limit": {"500"}}
	var prefix secret.Path
	if len(args) == 1 {
		var err error
		if prefix, err = parsePath(args[0]); err != nil {
			return "", nil, err
		}
		q.Set("prefix", prefix.String())
	}
	below, err := secret.Below(prefix)
	if err != nil {
		return "", nil, usage("%w", err)
	}
	scopes := policy.Scopes{{Action: policy.List, Pattern: below}}
	if !prefix.IsZero() {
		scopes = append(scopes, policy.Scope{Action: policy.List, Pattern: secret.Exactly(prefix)})
	}
	return scopes.String(), q, nil
}

func printList(cmd *cobra.Command, l api.List, output string) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), l)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "PATH\tVERSION\tUPDATED\tMOUNT")
	for _, it := range l.Data {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", it.Path, it.Version, it.UpdatedAt, it.Mount)
	}
	return w.Flush()
}
