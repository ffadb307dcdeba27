package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"evalq/tasks"
)

// printJSON writes v for programs: indented, ids with every digit.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table writes rows under headings, for people.
func table(w io.Writer, head []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = cell(c)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	t.Flush()
}

// printable keeps a text of another author from steering the terminal: control
// characters, and those that change the direction of what follows or cannot be seen.
// Newlines stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && steers(r) {
			return ' '
		}
		return r
	}, s)
}

// cell is printable for a text that must stay in its line.
func cell(s string) string { return strings.ReplaceAll(printable(s), "\n", " ") }

// steers reports whether a terminal does something else with r than show it.
func steers(r rune) bool {
	switch r {
	case '\u200c', '\u200d': // joiners, which scripts and emoji need
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

var jobHead = []string{"ID", "KIND", "USER", "REPORT", "REV", "QUEUE", "STATE", "STEPS", "ACCEPTED", "NOTE"}

func jobRow(j tasks.Job) []string {
	return []string{
		j.ID, string(j.Kind), decimal(j.UserID), decimal(j.ReportID), strconv.Itoa(j.Revision),
		string(j.Priority), string(j.State), steps(j.Progress), moment(j.AcceptedAt), note(j),
	}
}

func jobRows(jobs []tasks.Job) [][]string {
	rows := make([][]string, len(jobs))
	for i, j := range jobs {
		rows[i] = jobRow(j)
	}
	return rows
}

func decimal(id int64) string { return strconv.FormatInt(id, 10) }

func steps(p tasks.Progress) string {
	if p.Total == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", p.Done, p.Total)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// count is a number of things, such as "1 mistake" or "2 mistakes".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// note is the one thing worth knowing about a job besides its state.
func note(j tasks.Job) string {
	switch {
	case len(j.Changed) > 0:
		return "brought forward: " + strings.Join(j.Changed, ", ")
	case j.State == tasks.Held:
		return string(j.Hold)
	case j.State == tasks.Skipped:
		return j.Skipped
	case j.CancelAsk && !j.State.Finished():
		return "asked to stop"
	case j.Failing():
		return string(j.Error.Class)
	case j.State == tasks.Accepted && !j.DueAt.IsZero():
		return "due " + moment(j.DueAt)
	}
	return ""
}

// sentence tells the person who waits what happened, or is empty.
func sentence(j tasks.Job) string { return j.Sentence("en") }

// sortLines sorts lines that begin with a number by it.
func sortLines(lines []string) {
	number := func(s string) int {
		n, _ := strconv.Atoi(strings.Fields(s)[0])
		return n
	}
	slices.SortFunc(lines, func(a, b string) int { return number(a) - number(b) })
}
