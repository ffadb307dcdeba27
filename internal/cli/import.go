package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"evalq/client"
	"evalq/tasks"
)

// maxImport bounds a file, which is read whole so that it can be checked whole.
const maxImport = 256 << 20

type importFlags struct {
	connection
	format   string
	skipBad  bool
	dryRun   bool
	submit   bool
	priority string
}

func (p *program) imports() *cobra.Command {
	f := &importFlags{}
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Store interviews from a JSON or CSV file",
		Long: "Stores interviews; jobs that wait for them go on. - is standard input.\n\n" +
			"The whole file is checked first. When anything is wrong, each place is named with its line and field and\n" +
			"nothing is stored; with --skip-bad, the interviews without mistakes are. One that a bad row is of, or may\n" +
			"be of, is left out as a whole.\n\n" +
			"JSON is one interview, an array of them, or {\"interviews\":[…]}, in the form that /docs of the server describes.\n\n" +
			"CSV is UTF-8 with a header, one row an answer; the rows of one report_id are one interview, in their order.\n" +
			"Each row has as many cells as the header.\n" +
			"Columns, in any order: " + columnList() + ".\n" +
			"report_id, user_id and question are needed; user_id, title, language and position may be given in the\n" +
			"interview's first row only. A row with nothing but these is an interview without answers.\n" +
			"key_points holds one point a line, or several separated by \" / \"; each is text, weight|text,\n" +
			"text|alias;alias or weight|text|alias;alias, such as: 2|scheduled by the runtime|GMP;go scheduler",
		Example: "  evalq import interviews.csv --submit\n" +
			"  evalq import interviews.json --skip-bad --json\n" +
			"  evalq import - --format csv < interviews.csv",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := p.readInterviews(cmd.Context(), f, args[0])
			if err != nil {
				return err
			}
			if f.dryRun {
				return p.printImport(&imported{Skipped: found.wrong, Checked: len(found.good)}, f)
			}
			c, err := p.open(cmd, &f.connection)
			if err != nil {
				return err
			}
			defer c.Close()
			out, err := store(cmd.Context(), c, f, found)
			return errors.Join(p.printImport(out, f), err)
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&f.format, "format", "", "json or csv; by default what the file's name or its first character says")
	cmd.Flags().BoolVar(&f.skipBad, "skip-bad", false, "store the good interviews although others have mistakes")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only check the file")
	cmd.Flags().BoolVar(&f.submit, "submit", false, "also ask for both kinds of evaluation of each")
	cmd.Flags().StringVar(&f.priority, "priority", "", "queue for --submit: critical, default or low")
	return cmd
}

// readInterviews reads and checks the file, and refuses it as a whole unless
// mistakes are to be skipped.
func (p *program) readInterviews(ctx context.Context, f *importFlags, name string) (*interviews, error) {
	if f.priority != "" {
		if err := tasks.Priority(f.priority).Validate(); err != nil {
			return nil, usagef("--priority: %w", err)
		}
		if !f.submit {
			return nil, usagef("--priority: is for --submit")
		}
	}
	found, err := untilDone(ctx, func() (*interviews, error) { return p.parseFile(ctx, f.format, name) })
	if ctx.Err() != nil {
		return nil, fmt.Errorf("import: it was stopped, and nothing was stored: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	for _, m := range found.wrong {
		p.complain("%s:%s", name, m)
	}
	switch {
	case len(found.wrong) > 0 && !f.skipBad:
		hint := ""
		if len(found.good) > 0 {
			hint = fmt.Sprintf("; correct it, or store the %s without mistakes by --skip-bad", count(len(found.good), "interview"))
		}
		return nil, usagef("%s: %s, nothing was stored%s", name, count(len(found.wrong), "mistake"), hint)
	case len(found.good) == 0:
		return nil, usagef("%s: there is no interview to store in it", name)
	}
	return found, nil
}

// parseFile reads a file.
func (p *program) parseFile(ctx context.Context, format, name string) (*interviews, error) {
	file, err := p.openFile(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxImport+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxImport {
		return nil, usagef("%s: larger than %d MiB: split it", name, maxImport>>20)
	}
	if format, err = formatOf(format, name, data); err != nil {
		return nil, err
	}
	return parseInterviews(ctx, format, data), nil
}

// untilDone runs do and leaves it behind when ctx ends first: a read of a pipe or a
// terminal cannot be cut short.
func untilDone[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := do()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// imported is what became of a file.
type imported struct {
	Imported  []importedInterview `json:"imported"`
	Skipped   []mistake           `json:"skipped"`
	Submitted []tasks.Job         `json:"submitted"`
	Checked   int                 `json:"checked,omitempty"` // by --dry-run
}

type importedInterview struct {
	ReportID int64  `json:"report_id"`
	UserID   int64  `json:"user_id"`
	Title    string `json:"title"`
	Answers  int    `json:"answers"`
	Changed  bool   `json:"changed"`
	Error    string `json:"error,omitempty"` // why the server did not take it
}

// store sends the interviews one by one. One that the server refuses keeps no
// other back; a server that cannot be reached ends it.
func store(ctx context.Context, c *client.Client, f *importFlags, found *interviews) (*imported, error) {
	out := &imported{Skipped: found.wrong}
	var requests []tasks.Request
	var first error
	for _, in := range found.good {
		one := importedInterview{ReportID: in.ReportID, UserID: in.UserID, Title: in.Title, Answers: len(in.Answers)}
		doc, err := json.Marshal(in)
		if err == nil {
			one.Changed, err = c.PutInterview(ctx, in.ReportID, doc)
		}
		if err != nil {
			err = fmt.Errorf("interview %d: %w", in.ReportID, err)
			one.Error = err.Error()
			if first == nil {
				first = err
			}
		} else {
			requests = append(requests,
				tasks.Request{Payload: tasks.EvaluationReport{UserID: in.UserID, ReportID: in.ReportID}, Priority: tasks.Priority(f.priority)},
				tasks.Request{Payload: tasks.TopicEvaluation{UserID: in.UserID, ReportID: in.ReportID}, Priority: tasks.Priority(f.priority)})
		}
		out.Imported = append(out.Imported, one)
		if err != nil && (isAway(err) || errors.Is(err, client.ErrUnauthorized)) {
			return out, first
		}
	}
	if !f.submit || len(requests) == 0 {
		return out, first
	}
	answers, err := c.SubmitMany(ctx, requests)
	for _, a := range answers {
		if a.Err == nil {
			out.Submitted = append(out.Submitted, a.Job)
		} else if err == nil {
			err = a.Err
		}
	}
	if first == nil {
		first = err
	}
	return out, first
}

func (p *program) printImport(out *imported, f *importFlags) error {
	if f.json {
		for _, list := range []struct {
			empty bool
			fill  func()
		}{
			{out.Imported == nil, func() { out.Imported = []importedInterview{} }},
			{out.Skipped == nil, func() { out.Skipped = []mistake{} }},
			{out.Submitted == nil, func() { out.Submitted = []tasks.Job{} }},
		} {
			if list.empty {
				list.fill()
			}
		}
		return printJSON(p.out, out)
	}
	if f.dryRun {
		are := "are"
		if out.Checked == 1 {
			are = "is"
		}
		fmt.Fprintf(p.out, "%s %s in order\n", count(out.Checked, "interview"), are)
		return nil
	}
	rows := make([][]string, len(out.Imported))
	for i, in := range out.Imported {
		what := "unchanged"
		switch {
		case in.Error != "":
			what = "not stored"
		case in.Changed:
			what = "stored"
		}
		rows[i] = []string{decimal(in.ReportID), decimal(in.UserID), strconv.Itoa(in.Answers), what, in.Title}
	}
	table(p.out, []string{"REPORT", "USER", "ANSWERS", "", "TITLE"}, rows)
	if len(out.Submitted) > 0 {
		fmt.Fprintln(p.out)
		table(p.out, jobHead, jobRows(out.Submitted))
	}
	return nil
}
