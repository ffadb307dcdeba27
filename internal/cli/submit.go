package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/tasks"
)

type submitFlags struct {
	connection
	user, report string
	priority, at string
	data, file   string
	anew, wait   bool
	newKind      bool
}

func (p *program) submit() *cobra.Command {
	f := &submitFlags{}
	cmd := &cobra.Command{
		Use:   "submit KIND --user ID --report ID | submit --file FILE",
		Short: "Ask for evaluations",
		Long: "Asks for an evaluation and prints its job. What exists already is printed; a dead job is revived; an interview\n" +
			"that has changed since starts the next revision. It is safe to repeat.\n\n" +
			"Of a job that is under way the earlier time and the more urgent queue win: a submission without --at means now,\n" +
			"and one without --priority means default. The answer says what was brought forward.\n\n" +
			"KIND is evaluation_report, topic_evaluation, or a kind that the platform's workers have a handler for. With\n" +
			"--new-kind it is accepted before the first of them runs, and waits for it.\n\n" +
			"--file reads many, one JSON object a line, - is standard input:\n" +
			`  {"kind":"evaluation_report","user_id":7,"report_id":42,"priority":"low"}` + "\n" +
			"All lines are checked before the first is sent.",
		Example: "  evalq submit evaluation_report --user 7 --report 42 --wait\n" +
			"  evalq submit topic_evaluation --user 7 --report 42 --priority critical --at 2030-01-31T08:00:00Z\n" +
			"  evalq submit --file requests.ndjson --json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			requests, err := p.requests(cmd.Context(), f, args)
			if err != nil {
				return err
			}
			c, err := p.open(cmd, &f.connection)
			if err != nil {
				return err
			}
			defer c.Close()
			if f.file == "" {
				return p.submitOne(cmd.Context(), c, f, requests[0])
			}
			return p.submitMany(cmd.Context(), c, f, requests)
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&f.user, "user", "", "id of the user, 1 to 9223372036854775807")
	cmd.Flags().StringVar(&f.report, "report", "", "id of the interview, 1 to 9223372036854775807")
	cmd.Flags().StringVar(&f.priority, "priority", "", "critical, default or low")
	cmd.Flags().StringVar(&f.at, "at", "", "the earliest time to run: 2030-01-31T08:00:00Z, or from now, such as 10m")
	cmd.Flags().BoolVar(&f.anew, "anew", false, "take a cancelled job up again")
	cmd.Flags().BoolVar(&f.newKind, "new-kind", false, "the kind is new: accept it although no worker has had a handler for it lately")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait until it has finished; exit code 7 when it did not succeed")
	cmd.Flags().StringVar(&f.data, "data", "", "JSON for a kind of the platform's own, or @FILE")
	cmd.Flags().StringVar(&f.file, "file", "", "read many requests, one JSON object a line")
	return cmd
}

// requests reads what to submit off the arguments or the file.
func (p *program) requests(ctx context.Context, f *submitFlags, args []string) ([]tasks.Request, error) {
	if f.file != "" {
		if len(args) > 0 || f.user != "" || f.report != "" || f.data != "" || f.priority != "" || f.at != "" || f.anew || f.newKind {
			return nil, usagef("--file: each line says what to submit; leave out KIND and the flags that describe one request")
		}
		return untilDone(ctx, func() ([]tasks.Request, error) { return p.readRequests(f.file) })
	}
	if len(args) == 0 {
		return nil, usagef("name what to submit, such as: evalq submit evaluation_report --user 7 --report 42")
	}
	user, err1 := flagID("--user", f.user)
	report, err2 := flagID("--report", f.report)
	at, err3 := flagTime("--at", f.at, time.Now())
	data, err4 := flagData(f.data)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, &usageError{err}
	}
	kind := tasks.Kind(args[0])
	if kind.Builtin() && data != nil {
		return nil, usagef("--data: not used by %q; only kinds of a platform's own carry data", kind)
	}
	r := tasks.Request{Payload: tasks.NewPayload(kind, user, report, data), Priority: tasks.Priority(f.priority), RunAt: at, Anew: f.anew, NewKind: f.newKind}
	if err := r.Validate(); err != nil {
		return nil, &usageError{err}
	}
	return []tasks.Request{r}, nil
}

// flagID reads an id by the rules of JSON, so that the same text means the same
// everywhere.
func flagID(name, text string) (int64, error) { return tasks.ParseID(name, []byte(text)) }

func flagTime(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%s: must be a time such as 2030-01-31T08:00:00Z, or a duration from now such as 10m", name)
	}
	return t, nil
}

func flagData(text string) (json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	data := []byte(text)
	if name, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if data, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("--data: %w", err)
		}
	}
	if err := tasks.CheckJSON(data); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	return data, nil
}

func (p *program) submitOne(ctx context.Context, c *client.Client, f *submitFlags, r tasks.Request) error {
	job, err := c.Submit(ctx, r.Payload, func(out *tasks.Request) { *out = r })
	if err != nil {
		return err
	}
	if f.wait {
		id := job.ID
		if job, err = c.Wait(ctx, id); err != nil {
			return fmt.Errorf("job %s is submitted; waiting for it: %w", id, err)
		}
	}
	if err := p.printJob(job, f.json); err != nil {
		return err
	}
	if f.wait {
		return succeeded(job)
	}
	return nil
}

func (p *program) printJob(j tasks.Job, asJSON bool) error {
	if asJSON {
		return printJSON(p.out, j)
	}
	table(p.out, jobHead, [][]string{jobRow(j)})
	return nil
}

// succeeded is the end of waiting. A job that was skipped had nothing to do,
// and that is no failure.
func succeeded(j tasks.Job) error {
	if j.State == tasks.Succeeded || j.State == tasks.Skipped {
		return nil
	}
	why := sentence(j)
	if why == "" {
		return fmt.Errorf("job %s is %s: it %w", j.ID, j.State, errNotSucceeded)
	}
	return fmt.Errorf("job %s is %s: it %w. %s", j.ID, j.State, errNotSucceeded, why)
}

// submitted is one line of the answer to many.
type submitted struct {
	Job     *tasks.Job `json:"job,omitempty"`
	Created *bool      `json:"created,omitempty"` // absent with an error
	Error   string     `json:"error,omitempty"`
}

func (p *program) submitMany(ctx context.Context, c *client.Client, f *submitFlags, requests []tasks.Request) error {
	answers, err := c.SubmitMany(ctx, requests)
	out := make([]submitted, len(answers))
	var jobs []tasks.Job
	for i, a := range answers {
		if a.Err != nil {
			out[i].Error = a.Err.Error()
			if err == nil {
				err = fmt.Errorf("request %d: %w", i+1, a.Err)
			}
			continue
		}
		if f.wait {
			j, waitErr := c.Wait(ctx, a.Job.ID)
			if waitErr == nil {
				a.Job = j
				waitErr = succeeded(j)
			}
			if err == nil {
				err = waitErr
			}
		}
		out[i] = submitted{Job: &a.Job, Created: &a.Created}
		jobs = append(jobs, a.Job)
	}
	if f.json {
		return errors.Join(printJSON(p.out, out), err)
	}
	table(p.out, jobHead, jobRows(jobs))
	for i, s := range out {
		if s.Error != "" {
			p.complain("request %d: %s", i+1, s.Error)
		}
	}
	return err
}
