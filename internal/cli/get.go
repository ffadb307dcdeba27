package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/tasks"
)

type getFlags struct {
	connection
	wait, attempts, events, result bool
}

func (p *program) get() *cobra.Command {
	f := &getFlags{}
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show a job",
		Long: "Shows a job. With --json it is the job as the API gives it, result included; with --attempts or --events\n" +
			`too, it is {"job":…,"attempts":[…],"events":[…]}. --result prints the result alone.`,
		Example: "  evalq get 06azr8a0tmp4g2cqw9kx5e1v --wait\n" +
			"  evalq get 06azr8a0tmp4g2cqw9kx5e1v --attempts --events\n" +
			"  evalq get 06azr8a0tmp4g2cqw9kx5e1v --result > report.json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.open(cmd, &f.connection)
			if err != nil {
				return err
			}
			defer c.Close()
			return p.show(cmd.Context(), c, f, args[0])
		},
	}
	f.flags(cmd)
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait until it has finished; exit code 7 when it did not succeed")
	cmd.Flags().BoolVar(&f.attempts, "attempts", false, "show every try at it")
	cmd.Flags().BoolVar(&f.events, "events", false, "show every move of it: when, who, why")
	cmd.Flags().BoolVar(&f.result, "result", false, "print only the result, as JSON")
	return cmd
}

// shown is a job with what was asked for besides.
type shown struct {
	Job      tasks.Job       `json:"job"`
	Attempts []tasks.Attempt `json:"attempts,omitempty"`
	Events   []tasks.Event   `json:"events,omitempty"`
}

func (p *program) show(ctx context.Context, c *client.Client, f *getFlags, id string) error {
	job, err := c.Get(ctx, id) // also with --wait, which would wait for a server too
	if err == nil && f.wait && !job.State.Finished() {
		job, err = c.Wait(ctx, id)
	}
	if err != nil {
		return err
	}
	if f.result {
		return p.printResult(job)
	}
	s := shown{Job: job}
	if f.attempts {
		if s.Attempts, err = c.Attempts(ctx, id); err != nil {
			return err
		}
	}
	if f.events {
		if s.Events, err = c.Events(ctx, id); err != nil {
			return err
		}
	}
	if err := p.printShown(s, f); err != nil {
		return err
	}
	if f.wait {
		return succeeded(job)
	}
	return nil
}

func (p *program) printResult(j tasks.Job) error {
	if j.Result == nil {
		if j.State.Finished() {
			return succeededWithout(j)
		}
		return fmt.Errorf("job %s is %s and has no result yet: add --wait", j.ID, j.State)
	}
	return printJSON(p.out, j.Result)
}

func succeededWithout(j tasks.Job) error {
	if err := succeeded(j); err != nil {
		return err
	}
	return fmt.Errorf("job %s is %s and has no result", j.ID, j.State)
}

func (p *program) printShown(s shown, f *getFlags) error {
	if f.json {
		if f.attempts || f.events {
			return printJSON(p.out, s)
		}
		return printJSON(p.out, s.Job)
	}
	p.printDetails(s.Job)
	if f.attempts {
		fmt.Fprintln(p.out)
		table(p.out, []string{"ATTEMPT", "RUN", "WORKER", "STARTED", "TOOK", "OUTCOME", "CHARGED", "SAVED", "ERROR"}, attemptRows(s.Attempts))
	}
	if f.events {
		fmt.Fprintln(p.out)
		table(p.out, []string{"AT", "FROM", "TO", "WHO", "WHY"}, eventRows(s.Events))
	}
	return nil
}

func (p *program) printDetails(j tasks.Job) {
	lines := [][2]string{
		{"id", j.ID},
		{"kind", string(j.Kind)},
		{"user", decimal(j.UserID)},
		{"report", fmt.Sprintf("%d, revision %d", j.ReportID, j.Revision)},
		{"queue", string(j.Priority)},
		{"state", strings.TrimSpace(string(j.State) + "  " + note(j))},
		{"steps", stepsKept(j.Progress)},
		{"attempts", fmt.Sprintf("%d, charged %d of %d", j.Attempt, j.Charged, j.Budget)},
		{"accepted", moment(j.AcceptedAt)}, {"due", moment(j.DueAt)}, {"started", moment(j.StartedAt)}, {"finished", moment(j.FinishedAt)},
	}
	if !j.StepsSince.IsZero() {
		lines = append(lines, [2]string{"kept steps", "none from before " + moment(j.StepsSince)})
	}
	if j.Error != nil {
		name := "last error"
		if j.Failing() {
			name = "error"
		}
		lines = append(lines, [2]string{name, failed(j.Error)})
	}
	if s := sentence(j); s != "" {
		lines = append(lines, [2]string{"meaning", s})
	}
	if j.Result != nil {
		lines = append(lines, [2]string{"result", summary(j)})
	}
	t := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		if l[1] != "-" && l[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", l[0], cell(l[1]))
		}
	}
	t.Flush()
}

func stepsKept(p tasks.Progress) string {
	if p.Kept == 0 {
		return steps(p)
	}
	return fmt.Sprintf("%s, %d of them kept from before", steps(p), p.Kept)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// failed is a failure in one line.
func failed(f *tasks.Failure) string {
	if line := firstLine(f.Message); line != "" {
		return string(f.Class) + ": " + line
	}
	return string(f.Class)
}

// summary says of a result what is known of it: its score, and what made it.
func summary(j tasks.Job) string {
	var r struct {
		Overall *int `json:"overall"`
	}
	var facts []string
	if json.Unmarshal(j.Result, &r) == nil && r.Overall != nil {
		facts = append(facts, "score "+strconv.Itoa(*r.Overall))
	}
	if j.Judge != "" {
		facts = append(facts, "made by "+j.Judge)
	}
	if len(facts) == 0 {
		return "--result prints it"
	}
	return strings.Join(facts, ", ") + "; --result prints it"
}

func attemptRows(list []tasks.Attempt) [][]string {
	rows := make([][]string, len(list))
	for i, a := range list {
		took, outcome, failure := "-", a.Outcome, ""
		if !a.FinishedAt.IsZero() {
			took = a.FinishedAt.Sub(a.StartedAt).String()
		}
		if outcome == "" {
			outcome = "running"
		}
		if a.Stuck {
			outcome += " (stuck)"
		}
		if a.Error != nil {
			failure = failed(a.Error)
		}
		rows[i] = []string{strconv.Itoa(a.Number), strconv.Itoa(a.Run), a.Worker, moment(a.StartedAt), took, outcome,
			strconv.FormatBool(a.Charged), strconv.Itoa(a.Saved), failure}
	}
	return rows
}

func eventRows(list []tasks.Event) [][]string {
	rows := make([][]string, len(list))
	for i, e := range list {
		rows[i] = []string{moment(e.At), string(e.From), string(e.To), e.Who, firstLine(e.Why)}
	}
	return rows
}
