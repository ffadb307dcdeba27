package cli

import (
	"context"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/tasks"
)

func (p *program) erase() *cobra.Command {
	r := &removal{}
	var user string
	cmd := &cobra.Command{
		Use:   "erase --user ID",
		Short: "Remove everything of one user",
		Long: "Removes the jobs of a user with their results, history and checkpoints, the user's interviews, and the user's\n" +
			"tasks in Redis. Unfinished jobs are cancelled; running ones are asked to stop and waited for. The audit log keeps\n" +
			"that it was done. Backups that were made before still have the data. Without --yes it only counts. Needs an\n" +
			"operator's token.",
		Example: "  evalq erase --user 7 --dry-run\n  evalq erase --user 7 --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := flagID("--user", user)
			if err != nil {
				return &usageError{err}
			}
			return p.remove(cmd, r, func(ctx context.Context, c *client.Client, dry bool) (tasks.Removed, error) {
				return c.Erase(ctx, id, dry)
			})
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&user, "user", "", "id of the user, 1 to 9223372036854775807")
	return cmd
}
