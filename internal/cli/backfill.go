package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/tasks"
)

type backfillFlags struct {
	connection
	dry, yes, watch bool
	user            string
	ask             tasks.Backfill
	every           time.Duration
}

func (p *program) backfill() *cobra.Command {
	f := &backfillFlags{}
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "Submit the interviews that were answered and have no result",
		Long: "Goes through all interviews for those in which something was answered and which have no result of a kind, or an\n" +
			"empty one, and submits them with low priority. Jobs that are on their way, dead or cancelled are left alone, and so\n" +
			"are interviews whose newest answer is younger than --older-than: whoever holds them is about to submit them. With a\n" +
			"platform's database it looks into the platform's tables; a result that evalq has and that is missing there is\n" +
			"written again, and nothing is evaluated for it. Without --yes it only counts. It may be called again at any time,\n" +
			"and several times at once. Needs an operator's token.",
		Example: "  evalq backfill --dry-run\n  evalq backfill --yes --limit 1000\n  evalq backfill --yes --watch --every 5m",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.runBackfill(cmd, f) },
	}
	f.flags(cmd)
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "count, and change nothing")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do it")
	cmd.Flags().StringVar(&f.user, "user", "", "only this user's interviews")
	cmd.Flags().DurationVar(&f.ask.OlderThan, "older-than", 10*time.Minute, "how old the newest answer must be")
	cmd.Flags().IntVar(&f.ask.Limit, "limit", 0, "the most interviews for which something is done in one pass; 0 is no limit")
	cmd.Flags().StringVar(&f.ask.Cursor, "cursor", "", "where a pass stopped, to go on there")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "do it again and again, until interrupted")
	cmd.Flags().DurationVar(&f.every, "every", 5*time.Minute, "the pause between two passes of --watch")
	return cmd
}

func (f *backfillFlags) check() (err error) {
	switch {
	case f.dry && f.yes:
		return usagef("--dry-run and --yes: give one of them")
	case f.watch && !f.dry && !f.yes:
		return usagef("--watch: say with --yes or --dry-run what to do again and again")
	case f.ask.OlderThan < 0:
		return usagef("--older-than: must not be below zero")
	case f.ask.Limit < 0:
		return usagef("--limit: must not be below zero")
	case f.every < time.Second:
		return usagef("--every: must be 1s or more")
	case f.user == "":
		return nil
	}
	if f.ask.UserID, err = flagID("--user", f.user); err != nil {
		return &usageError{err}
	}
	return nil
}

func (p *program) runBackfill(cmd *cobra.Command, f *backfillFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	f.ask.DryRun = !f.yes
	c, err := p.open(cmd, &f.connection)
	if err != nil {
		return err
	}
	defer c.Close()
	if f.watch {
		return p.watchBackfill(cmd.Context(), c, f)
	}
	out, err := p.pass(cmd.Context(), c, f)
	if err == nil && !f.yes && !f.dry && out.Interviews > 0 {
		return usagef("nothing was submitted: this is what would be; add --yes to do it, or --dry-run to leave it at that")
	}
	return err
}

// watchBackfill makes a pass, waits, and goes on. A server that is away for a
// while does not end it.
func (p *program) watchBackfill(ctx context.Context, c *client.Client, f *backfillFlags) error {
	for {
		out, err := p.pass(ctx, c, f)
		switch {
		case ctx.Err() != nil:
			return nil // whoever watches has seen enough
		case errors.Is(err, errNotWritten), isAway(err):
			p.complain("%s; the next pass is in %s", err, f.every)
		case err != nil:
			return err
		}
		f.ask.Cursor = out.Next
		timer := time.NewTimer(f.every)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// errNotWritten is the end of a pass that could not do all.
var errNotWritten = errors.New("not every stored result could be written into the platform's tables; the server's log says why")

// pass goes once through the interviews and prints what it found.
func (p *program) pass(ctx context.Context, c *client.Client, f *backfillFlags) (tasks.Backfilled, error) {
	out, err := c.Backfill(ctx, f.ask)
	if err != nil && out.Looked == 0 {
		return out, err
	}
	if f.json {
		enc := json.NewEncoder(p.out)
		if !f.watch {
			enc.SetIndent("", "  ")
		}
		if err := enc.Encode(out); err != nil {
			return out, err
		}
	} else {
		p.printBackfilled(out, f)
	}
	if err != nil {
		return out, err
	}
	for _, n := range out.Kinds {
		if n.Failed > 0 {
			return out, errNotWritten
		}
	}
	return out, nil
}

func (p *program) printBackfilled(out tasks.Backfilled, f *backfillFlags) {
	submitted, rewritten := "SUBMITTED", "REWRITTEN"
	if f.ask.DryRun {
		submitted, rewritten = "TO SUBMIT", "TO REWRITE"
	}
	var rows [][]string
	var dead, cancelled int
	for _, k := range tasks.Kinds() {
		n := out.Kinds[k]
		row := []string{string(k)}
		for _, x := range []int{n.Found, n.Submitted, n.Underway, n.Dead, n.Cancelled, n.Skipped, n.Young, n.Rewritten, n.Failed} {
			row = append(row, strconv.Itoa(x))
		}
		rows = append(rows, row)
		dead, cancelled = dead+n.Dead, cancelled+n.Cancelled
	}
	if f.watch {
		fmt.Fprintf(p.out, "%s\n", moment(time.Now()))
	}
	table(p.out, []string{"KIND", "FOUND", submitted, "UNDERWAY", "DEAD", "CANCELLED", "SKIPPED", "TOO YOUNG", rewritten, "NOT WRITTEN"}, rows)
	fmt.Fprintf(p.out, "looked at %s\n", count(out.Looked, "interview"))
	if dead+cancelled > 0 {
		more := ""
		if dead+cancelled > len(out.Left) {
			more = " and more"
		}
		fmt.Fprintf(p.out, "left alone, %d dead and %d cancelled: %s%s\n", dead, cancelled, strings.Join(out.Left, " "), more)
		fmt.Fprintln(p.out, "run them again with `evalq retry ID...`; `evalq list --state dead` and `--state cancelled` list them with the reason")
	}
	if out.Next != "" {
		fmt.Fprintf(p.errOut, "there are more: add --cursor %s to go on there\n", out.Next)
	}
}
