package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/tasks"
)

func (p *program) retry() *cobra.Command {
	return p.action(&cobra.Command{
		Use:   "retry ID...",
		Short: "Run jobs again at once, with a fresh budget",
		Long: "Runs dead, cancelled, retrying, held or waiting jobs at once, with a fresh budget of attempts. What was\n" +
			"finished is kept. A job that runs or has succeeded is a conflict (exit code 4).",
		Example: "  evalq retry 06azr8a0tmp4g2cqw9kx5e1v --why 'key points added'",
	}, (*client.Client).Retry)
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
	cmd.Flags().StringVar(&why, "why", "", "the reason, kept with the job")
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
