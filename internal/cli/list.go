package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/tasks"
)

type listFlags struct {
	connection
	kind, state, priority, class string
	user, report                 string
	limit                        int
	cursor                       string
	all                          bool
}

func (p *program) list() *cobra.Command {
	f := &listFlags{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List jobs, newest first",
		Long:  `Lists jobs, newest first. With --json it is {"jobs":[…],"next":"…"}; pass next as --cursor for the next page.`,
		Example: "  evalq list --state dead --class not_assessable\n" +
			"  evalq list --user 7 --all --json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter()
			if err != nil {
				return err
			}
			c, err := p.open(cmd, &f.connection)
			if err != nil {
				return err
			}
			defer c.Close()
			page, err := readPage(cmd.Context(), c, filter, f.all)
			if err != nil {
				return err
			}
			return p.printPage(page, f.json)
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&f.kind, "kind", "", "only this kind")
	cmd.Flags().StringVar(&f.state, "state", "", "only this state, such as dead, running or held")
	cmd.Flags().StringVar(&f.priority, "priority", "", "only this queue: critical, default or low")
	cmd.Flags().StringVar(&f.class, "class", "", "only jobs whose newest failure is of this class, such as timeout")
	cmd.Flags().StringVar(&f.user, "user", "", "only this user's")
	cmd.Flags().StringVar(&f.report, "report", "", "only of this interview")
	cmd.Flags().IntVar(&f.limit, "limit", 50, "jobs a page, 1 to 500")
	cmd.Flags().StringVar(&f.cursor, "cursor", "", "the next of the page before")
	cmd.Flags().BoolVar(&f.all, "all", false, "read all pages")
	return cmd
}

func (f *listFlags) filter() (tasks.Filter, error) {
	out := tasks.Filter{
		Kind: tasks.Kind(f.kind), State: tasks.State(f.state), Priority: tasks.Priority(f.priority),
		Class: tasks.Class(f.class), Limit: f.limit, Cursor: f.cursor,
	}
	if f.limit < 1 || f.limit > 500 {
		return out, usagef("--limit: must be from 1 to 500; --all reads all pages")
	}
	var err error
	if f.user != "" {
		if out.UserID, err = flagID("--user", f.user); err != nil {
			return out, &usageError{err}
		}
	}
	if f.report != "" {
		if out.ReportID, err = flagID("--report", f.report); err != nil {
			return out, &usageError{err}
		}
	}
	return out, nil
}

func readPage(ctx context.Context, c *client.Client, filter tasks.Filter, all bool) (tasks.Page, error) {
	if !all {
		return c.List(ctx, filter)
	}
	page := tasks.Page{}
	for job, err := range c.All(ctx, filter) {
		if err != nil {
			return page, err
		}
		page.Jobs = append(page.Jobs, job)
	}
	return page, nil
}

func (p *program) printPage(page tasks.Page, asJSON bool) error {
	if asJSON {
		if page.Jobs == nil {
			page.Jobs = []tasks.Job{}
		}
		return printJSON(p.out, page)
	}
	table(p.out, jobHead, jobRows(page.Jobs))
	if page.Next != "" {
		fmt.Fprintf(p.errOut, "there are more: add --cursor %s, or --all\n", page.Next)
	}
	return nil
}
