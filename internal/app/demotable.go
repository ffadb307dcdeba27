package app

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/width"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// counts is the progress line's content.
type counts struct{ total, finished, running, succeeded, skipped, dead int }

func (c *counts) add(s tasks.State) {
	c.total++
	if s.Finished() {
		c.finished++
	}
	switch s {
	case tasks.Running:
		c.running++
	case tasks.Succeeded:
		c.succeeded++
	case tasks.Skipped:
		c.skipped++
	case tasks.Dead:
		c.dead++
	}
}

func (c counts) String() string {
	const cells = 24
	done := cells * c.finished / max(1, c.total)
	return fmt.Sprintf("[%s%s] %d of %d finished: %d succeeded, %d skipped, %d dead; %d running",
		strings.Repeat("#", done), strings.Repeat(".", cells-done), c.finished, c.total, c.succeeded, c.skipped, c.dead, c.running)
}

// line is one line of text that changes: in place on a terminal, once a change
// elsewhere.
type line struct {
	out      io.Writer
	terminal bool
	last     string
}

func newLine(out io.Writer) *line {
	f, ok := out.(*os.File)
	if !ok {
		return &line{out: out}
	}
	info, err := f.Stat()
	return &line{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (l *line) show(text string) {
	if text == l.last {
		return
	}
	l.last = text
	if l.terminal {
		fmt.Fprintf(l.out, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(l.out, text)
}

func (l *line) end() {
	if l.terminal {
		fmt.Fprintln(l.out)
	}
}

// writeTable shows the reports: one row an interview.
func writeTable(out io.Writer, entries []*entry) error {
	rows := [][]string{{"report", "user", "queue", "title", "result", "score", "completeness", "correctness", "depth", "clarity", "answered", "weakest topic"}}
	judges := map[string]bool{}
	for _, e := range entries {
		row := []string{strconv.FormatInt(e.in.ReportID, 10), strconv.FormatInt(e.in.UserID, 10), string(e.report.Priority), clip(e.in.Title, 34), outcome(e.report), "", "", "", "", "", "", ""}
		if e.report.State == tasks.Succeeded {
			var r evaluation.Report
			if err := json.Unmarshal(e.report.Result, &r); err != nil {
				return err
			}
			judges[e.report.Judge] = true
			row[5] = fmt.Sprintf("%d %s", r.Overall, r.Band)
			for i, key := range []string{evaluation.Completeness, evaluation.Correctness, evaluation.Depth, evaluation.Clarity} {
				row[6+i] = dimension(r, key)
			}
			row[10] = fmt.Sprintf("%d of %d", r.Answered, r.Total)
			if t, ok := r.Weakest(); ok {
				row[11] = fmt.Sprintf("%s (%d)", t.Topic, *t.Score)
			}
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(out)
	writeRows(out, rows)
	for j := range judges {
		fmt.Fprintf(out, "\nJudged by %s. It measures completeness against key points and says nothing on\ncorrectness, depth and clarity: those dimensions are marked as not assessed.\n", j)
	}
	return nil
}

func outcome(j tasks.Job) string {
	switch {
	case j.State == tasks.Skipped:
		return "skipped: " + j.Skipped
	case j.State == tasks.Dead && j.Error != nil:
		return "dead: " + string(j.Error.Class)
	}
	return string(j.State)
}

func dimension(r evaluation.Report, key string) string {
	for _, d := range r.Dimensions {
		if d.Key == key && d.Assessed {
			return strconv.Itoa(d.Score)
		}
	}
	return "n/a"
}

func writeRows(out io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-columns(cell)+2))
			}
		}
		fmt.Fprintln(out, b.String())
	}
}

// columns is how wide a terminal shows s: a Chinese character takes two.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n++
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n++
		}
	}
	return n
}

func clip(s string, most int) string {
	if columns(s) <= most {
		return s
	}
	for columns(s) > most-1 {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s + "…"
}
