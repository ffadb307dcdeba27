package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/tasks"
)

func (p *program) purge() *cobra.Command {
	r := &removal{}
	var before string
	cmd := &cobra.Command{
		Use:   "purge --before WHEN",
		Short: "Remove what finished long ago, results included",
		Long: "Removes the jobs that finished before a time, whatever their end, with their results, history, checkpoints and\n" +
			"tasks in Redis; then interviews that no job is left of and that have not changed since. Nothing brings them back\n" +
			"but a backup. Without --yes it only counts. Needs an operator's token.",
		Example: "  evalq purge --before 2026-01-01 --dry-run\n  evalq purge --before 90d --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			when, err := flagPast("--before", before, time.Now())
			if err != nil {
				return &usageError{err}
			}
			return p.remove(cmd, r, func(ctx context.Context, c *client.Client, dry bool) (tasks.Removed, error) {
				return c.Purge(ctx, when, dry)
			})
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&before, "before", "", "a day such as 2026-01-01 (UTC), a time such as 2026-01-31T08:00:00Z, or an age such as 90d or 36h")
	return cmd
}

// removal is what the verbs that remove have in common.
type removal struct {
	connection
	dry, yes bool
	wait     time.Duration
}

func (r *removal) flags(cmd *cobra.Command) {
	r.connection.flags(cmd)
	cmd.Flags().BoolVar(&r.dry, "dry-run", false, "count, and change nothing")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do it")
	cmd.Flags().DurationVar(&r.wait, "wait", 30*time.Minute, "how long it may take; it may be called again")
}

// remove counts what would go, or has it go when told --yes, and prints how much.
func (p *program) remove(cmd *cobra.Command, r *removal, do func(context.Context, *client.Client, bool) (tasks.Removed, error)) error {
	if r.dry && r.yes {
		return usagef("--dry-run and --yes: give one of them")
	}
	c, err := p.open(cmd, &r.connection)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), r.wait, fmt.Errorf("it took longer than --wait %s; call it again to go on", r.wait))
	defer cancel()
	out, err := do(ctx, c, !r.yes)
	if err == nil || out != (tasks.Removed{}) {
		if perr := p.printRemoved(out, !r.yes, r.json); perr != nil {
			return perr
		}
	}
	if err == nil && !r.yes && !r.dry {
		return usagef("nothing was removed: this is what would be; add --yes to do it, or --dry-run to leave it at that")
	}
	return err
}

func (p *program) printRemoved(out tasks.Removed, dry, asJSON bool) error {
	if asJSON {
		return printJSON(p.out, out)
	}
	head := "REMOVED"
	if dry {
		head = "WOULD GO"
	}
	var rows [][]string
	for _, row := range []struct {
		what string
		n    int
	}{
		{"jobs", out.Jobs}, {"results", out.Results}, {"attempts", out.Attempts}, {"events", out.Events}, {"checkpoints", out.Checkpoints},
		{"interviews", out.Interviews}, {"unreadable payloads", out.Quarantined}, {"tasks in Redis", out.Tasks},
	} {
		rows = append(rows, []string{row.what, strconv.Itoa(row.n)})
	}
	table(p.out, []string{"WHAT", head}, rows)
	if out.Doubtful > 0 {
		fmt.Fprintf(p.out, "%d of the unreadable payloads have the user's id in them and do not say that it is a user's\n", out.Doubtful)
	}
	if out.Running > 0 {
		fmt.Fprintf(p.out, "%s at work: asked to stop first\n", count(out.Running, "job"))
	}
	return nil
}

// flagPast reads a time in the past.
func flagPast(flag, text string, now time.Time) (time.Time, error) {
	bad := fmt.Errorf("%s: give a day such as 2026-01-01, a time such as 2026-01-31T08:00:00Z, or an age such as 90d or 36h", flag)
	when, err := time.Parse(time.DateOnly, text)
	if err != nil {
		when, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		var age time.Duration
		if days, ok := strings.CutSuffix(text, "d"); ok {
			n, derr := strconv.ParseUint(days, 10, 16)
			age, err = time.Duration(n)*24*time.Hour, derr
		} else {
			age, err = time.ParseDuration(text)
		}
		when = now.Add(-age)
	}
	if err != nil {
		return time.Time{}, bad
	}
	if when.After(now) {
		return time.Time{}, fmt.Errorf("%s: must lie in the past", flag)
	}
	return when.UTC(), nil
}
