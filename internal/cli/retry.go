package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"evalq/client"
	"evalq/tasks"
)

func (p *program) retry() *cobra.Command {
	var anew, drop bool
	cmd := p.action(&cobra.Command{
		Use:   "retry ID...",
		Short: "Run jobs again at once, with a fresh budget, or evaluate them anew",
		Long: "Runs dead, cancelled, retrying, held or waiting jobs at once, with a fresh budget of attempts. What was\n" +
			"finished is kept. A job that runs or has succeeded is a conflict (exit code 4).\n\n" +
			"--anew evaluates jobs again that have succeeded or were skipped, because the judge, a prompt or a handler has\n" +
			"changed: each gets its next revision, which uses no step that is kept, and is printed. The result stays until\n" +
			"the next one is there. A dead or cancelled job runs again itself without its kept steps. It is safe to\n" +
			"repeat while that revision is unfinished; another unfinished job is a conflict.\n\n" +
			"--drop-steps runs jobs again without the steps that they have kept. All of them are paid for again.",
		Example: "  evalq retry 06azr8a0tmp4g2cqw9kx5e1v --reason 'key points added'\n" +
			"  evalq retry 06azr8a0tmp4g2cqw9kx5e1v --anew --reason 'the judge has changed'\n" +
			"  evalq retry 06azr8a0tmp4g2cqw9kx5e1v --drop-steps --reason 'its kept answer cannot be read'",
	}, func(c *client.Client, ctx context.Context, id, why string) (tasks.Job, error) {
		return c.Retry(ctx, id, why, func(o *tasks.RetryOptions) { o.NewRevision, o.DropSteps = anew, drop })
	})
	cmd.Flags().BoolVar(&anew, "anew", false, "evaluate finished jobs again, as their next revisions")
	cmd.Flags().BoolVar(&drop, "drop-steps", false, "do not use the steps that the jobs have kept")
	return cmd
}

// action is a verb that does one thing to each of some jobs.
func (p *program) action(cmd *cobra.Command, do func(*client.Client, context.Context, string, string) (tasks.Job, error)) *cobra.Command {
	var conn connection
	var why string
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		c, err := p.open(cmd, &conn)
		if err != nil {
			return err
		}
		defer c.Close()
		return p.each(ids, conn.json, func(id string) (tasks.Job, error) { return do(c, cmd.Context(), id, why) })
	}
	conn.flags(cmd)
	cmd.Flags().StringVar(&why, "reason", "", "the reason, kept with the job")
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "why" { // as the API calls it
			name = "reason"
		}
		return pflag.NormalizedName(name)
	})
	return cmd
}

// acted is what became of one job.
type acted struct {
	ID    string     `json:"id"`
	Job   *tasks.Job `json:"job,omitempty"`
	Error string     `json:"error,omitempty"`
}

// each does it to all, also behind one that failed, and ends with the first
// error.
func (p *program) each(ids []string, asJSON bool, do func(string) (tasks.Job, error)) error {
	out := make([]acted, len(ids))
	var jobs []tasks.Job
	var first error
	for i, id := range ids {
		out[i].ID = id
		job, err := do(id)
		if err != nil {
			out[i].Error = err.Error()
			err = fmt.Errorf("job %.40s: %w", id, err)
			p.complain("%s", err)
			if first == nil {
				first = &saidError{err}
			}
			continue
		}
		out[i].Job = &job
		jobs = append(jobs, job)
	}
	if asJSON {
		if err := printJSON(p.out, out); err != nil {
			return err
		}
		return first
	}
	if len(jobs) > 0 {
		table(p.out, jobHead, jobRows(jobs))
	}
	return first
}
