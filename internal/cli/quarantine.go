package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/tasks"
)

func (p *program) quarantine() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "List what came in and could not be read; try it again or discard it",
		Long: "Tasks and messages that came in and could not be read are set aside, with their reason. What was in them is never\n" +
			"shown: it may be personal data.",
		Example: "  evalq quarantine list\n  evalq quarantine replay 17",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.quarantineList(), p.quarantineReplay(), p.quarantineDiscard())
	return cmd
}

func (p *program) quarantineList() *cobra.Command {
	var conn connection
	var all bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List what nobody has dealt with, newest first",
		Example: "  evalq quarantine list --all --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.open(cmd, &conn)
			if err != nil {
				return err
			}
			defer c.Close()
			entries, open, err := c.Quarantine(cmd.Context(), all)
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(p.out, map[string]any{"entries": entries, "open": open})
			}
			var rows [][]string
			for _, q := range entries {
				rows = append(rows, []string{decimal(q.ID), moment(q.At), q.Source, q.Queue, q.TaskID, strconv.Itoa(q.Size), q.Settled, q.Reason})
			}
			if len(rows) > 0 {
				table(p.out, []string{"ID", "CAME", "FROM", "QUEUE", "TASK", "BYTES", "SETTLED", "WHY"}, rows)
			}
			fmt.Fprintf(p.out, "%d open\n", open)
			return nil
		},
	}
	conn.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list what was settled too")
	return cmd
}

func (p *program) quarantineReplay() *cobra.Command {
	var conn connection
	var user, report string
	cmd := &cobra.Command{
		Use:   "replay ID...",
		Short: "Submit what came over the bridge, as it is read now",
		Long: "Reads messages that came over the bridge by the rules of today, submits them and settles them. What still cannot\n" +
			"be submitted stays, with its reason (exit code 2). Of a message whose ids a float64 has changed, --report-id and\n" +
			"--user-id name the true ones. Needs an operator's token.",
		Example: "  evalq quarantine replay 17 18\n  evalq quarantine replay 19 --report-id 9007199254740993",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := entryIDs(args)
			if err != nil {
				return err
			}
			var named [2]int64
			for i, f := range []struct{ flag, text string }{{"--user-id", user}, {"--report-id", report}} {
				if f.text == "" {
					continue
				}
				if named[i], err = flagID(f.flag, f.text); err != nil {
					return &usageError{err}
				}
				if len(ids) > 1 {
					return usagef("%s: one entry at a time, because each has its own ids", f.flag)
				}
			}
			return p.aside(cmd, &conn, ids, func(ctx context.Context, c *client.Client, id int64) (*tasks.Job, error) {
				job, err := c.Replay(ctx, id, named[0], named[1])
				if err != nil {
					return nil, err
				}
				return &job, nil
			})
		},
	}
	conn.flags(cmd)
	cmd.Flags().StringVar(&user, "user-id", "", "the true user of a message whose id was changed")
	cmd.Flags().StringVar(&report, "report-id", "", "the true report of a message whose id was changed")
	return cmd
}

func (p *program) quarantineDiscard() *cobra.Command {
	var conn connection
	cmd := &cobra.Command{
		Use:     "discard ID...",
		Short:   "Settle entries and remove what was in them",
		Long:    "Settles entries without more. What was in them is removed. Needs an operator's token.",
		Example: "  evalq quarantine discard 17 18",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := entryIDs(args)
			if err != nil {
				return err
			}
			return p.aside(cmd, &conn, ids, func(ctx context.Context, c *client.Client, id int64) (*tasks.Job, error) {
				return nil, c.Discard(ctx, id)
			})
		},
	}
	conn.flags(cmd)
	return cmd
}

func entryIDs(args []string) (ids []int64, err error) {
	for _, a := range args {
		id, err := flagID("ID", a)
		if err != nil {
			return nil, &usageError{err}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// aside does something to all entries, also behind one that failed, and ends with
// the first error.
func (p *program) aside(cmd *cobra.Command, conn *connection, ids []int64, do func(context.Context, *client.Client, int64) (*tasks.Job, error)) error {
	c, err := p.open(cmd, conn)
	if err != nil {
		return err
	}
	defer c.Close()
	type outcome struct {
		ID    int64      `json:"id"`
		Job   *tasks.Job `json:"job,omitempty"`
		Error string     `json:"error,omitempty"`
	}
	var all []outcome
	var rows [][]string
	var first error
	for _, id := range ids {
		job, err := do(cmd.Context(), c, id)
		o := outcome{ID: id, Job: job}
		switch {
		case err != nil:
			o.Error = err.Error()
			err = fmt.Errorf("entry %d: %w", id, err)
			p.complain("%s", err)
			if first == nil {
				first = &saidError{err}
			}
		case job != nil:
			rows = append(rows, []string{decimal(id), "submitted", job.ID, string(job.Kind), decimal(job.UserID), decimal(job.ReportID), string(job.State)})
		default:
			rows = append(rows, []string{decimal(id), "discarded", "", "", "", "", ""})
		}
		all = append(all, o)
	}
	if conn.json {
		if err := printJSON(p.out, all); err != nil {
			return err
		}
		return first
	}
	if len(rows) > 0 {
		table(p.out, []string{"ENTRY", "", "JOB", "KIND", "USER", "REPORT", "STATE"}, rows)
	}
	return first
}
