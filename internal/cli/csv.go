package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// columns of a CSV file: first those of the interview, then those of an answer.
var (
	interviewColumns = []string{"report_id", "user_id", "title", "language", "position"}
	answerColumns    = []string{"dialog_id", "topic", "difficulty", "question", "answer", "reference", "key_points"}
)

func columnList() string {
	return strings.Join(slices.Concat(interviewColumns, answerColumns), ", ")
}

func asSyntax(err error, into **json.SyntaxError) bool { return errors.As(err, into) }

// sheet reads the rows of a file into drafts.
type sheet struct {
	*interviews
	column map[string]int
	drafts map[int64]*draft
	order  []*draft
	last   *draft // that of the row before
	doubt  bool   // the row before may be of the interview of the next
}

func parseCSV(ctx context.Context, data []byte) *interviews {
	s := &sheet{interviews: &interviews{}, drafts: map[int64]*draft{}}
	if !utf8.Valid(data) {
		s.fail(1+bytes.Count(data[:firstInvalid(data)], []byte("\n")), "", "not UTF-8: save the file as CSV UTF-8")
		return s.interviews
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	if !s.header(r) {
		return s.interviews
	}
	for ctx.Err() == nil {
		offset := r.InputOffset()
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // where the next row begins is not known any more
			s.unreadable(err)
			s.cutOff(data[offset:])
			break
		}
		line, _ := r.FieldPos(0)
		s.row(line, cells)
	}
	for _, d := range s.order {
		if ctx.Err() != nil {
			break
		}
		s.finish(d)
	}
	return s.interviews
}

func firstInvalid(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(data)
}

func (s *sheet) unreadable(err error) {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		s.fail(parse.StartLine, "", "not CSV: %v; the rest of the file was not read", parse.Err)
		return
	}
	s.fail(1, "", "%v", err)
}

// cutOff leaves out the interviews that may go on in the part of the file that
// was not read: those whose id stands anywhere in it.
func (s *sheet) cutOff(rest []byte) {
	there := map[string]bool{}
	for number := range bytes.FieldsFuncSeq(rest, func(r rune) bool { return r < '0' || r > '9' }) {
		there[string(number)] = true
	}
	for _, d := range s.order {
		if !d.bad && there[decimal(d.ReportID)] {
			s.fail(d.line, "report_id", "may go on in the part of the file that was not read")
			d.bad = true
		}
	}
}

// header reads which column is where.
func (s *sheet) header(r *csv.Reader) bool {
	names, err := r.Read()
	if errors.Is(err, io.EOF) {
		s.fail(1, "", "the file is empty; its first line must name the columns: %s", columnList())
		return false
	}
	if err != nil {
		s.unreadable(err)
		return false
	}
	line, _ := r.FieldPos(0)
	s.column = map[string]int{}
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		_, twice := s.column[name]
		switch {
		case !slices.Contains(interviewColumns, name) && !slices.Contains(answerColumns, name):
			s.fail(line, "", "unknown column %.40q; the columns are %s", name, columnList())
		case twice:
			s.fail(line, name, "the column is there twice")
		}
		s.column[name] = i
	}
	for _, name := range []string{"report_id", "user_id", "question"} {
		if _, ok := s.column[name]; !ok {
			s.fail(line, name, "the column is missing")
		}
	}
	return len(s.wrong) == 0
}

// cells gives a row by column. A column that is not there is empty.
type cells func(name string) string

// row reads one row. When it is bad, its interview is bad as a whole: stored
// without the row, it would have lost an answer.
func (s *sheet) row(line int, record []string) {
	get := cells(func(name string) string {
		i, ok := s.column[name]
		if !ok || i >= len(record) {
			return ""
		}
		return strings.TrimSpace(record[i])
	})
	report, err := tasks.ParseID("report_id", []byte(get("report_id")))
	if err != nil {
		field, message := splitField(err)
		s.fail(line, field, "%s; the interviews of the rows next to it are left out too, since it may be of them", message)
		if s.last != nil {
			s.last.bad = true
		}
		s.doubt = true
		return
	}
	d := s.drafts[report]
	if d == nil {
		d = &draft{line: line, ReportID: report, Answers: []draftAnswer{}}
		s.drafts[report] = d
		s.order = append(s.order, d)
	}
	d.bad = d.bad || s.doubt
	s.last, s.doubt = d, false
	if len(record) != len(s.column) {
		s.fail(line, "", "%d cells, but the header has %d columns: quote cells that have commas in them, and keep the commas of empty ones", len(record), len(s.column))
		d.bad = true
		return
	}
	before := len(s.wrong)
	s.describe(line, d, get)
	s.answer(line, d, get)
	d.bad = d.bad || len(s.wrong) > before
}

// describe reads the columns of the interview, which every row of it may
// repeat but none may change.
func (s *sheet) describe(line int, d *draft, get cells) {
	if text := get("user_id"); text != "" || d.UserID == 0 && !d.bad {
		user, err := tasks.ParseID("user_id", []byte(text))
		switch {
		case err != nil:
			field, message := splitField(err)
			s.fail(line, field, "%s", message)
		case d.UserID != 0 && d.UserID != user:
			s.fail(line, "user_id", "differs from that of the same interview at line %d", d.line)
		default:
			d.UserID = user
		}
	}
	for _, c := range []struct {
		name string
		into *string
	}{{"title", &d.Title}, {"language", &d.Language}, {"position", &d.Position}} {
		text := get(c.name)
		switch {
		case text == "" || text == *c.into:
		case *c.into == "":
			*c.into = text
		default:
			s.fail(line, c.name, "differs from that of the same interview before")
		}
	}
}

func (s *sheet) answer(line int, d *draft, get cells) {
	if !slices.ContainsFunc(answerColumns, func(name string) bool { return get(name) != "" }) {
		return
	}
	a := draftAnswer{
		line: line, DialogID: get("dialog_id"), Topic: get("topic"), Question: get("question"),
		Answer: get("answer"), Reference: get("reference"),
	}
	if text := get("difficulty"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n == 0 {
			s.fail(line, "difficulty", "must be a whole number from 1 (easy) to 5 (hard)")
		}
		a.Difficulty = n
	}
	for _, text := range splitPoints(get("key_points")) {
		a.KeyPoints = append(a.KeyPoints, parsePoint(text))
	}
	d.Answers = append(d.Answers, a)
}

var answerPath = regexp.MustCompile(`^answers\[(\d+)\]\.?`)

// finish checks a draft as a whole and names the row of what is wrong.
func (s *sheet) finish(d *draft) {
	if d.bad {
		return
	}
	data, err := json.Marshal(d)
	if err != nil {
		s.fail(d.line, "", "%v", err)
		return
	}
	in, err := evaluation.ParseInterview(data)
	if err == nil {
		s.add(d.line, in)
		return
	}
	field, message := splitField(err)
	line := d.line
	if m := answerPath.FindStringSubmatch(field); m != nil {
		if i, err := strconv.Atoi(m[1]); err == nil && i < len(d.Answers) {
			line, field = d.Answers[i].line, field[len(m[0]):]
		}
	}
	s.fail(line, field, "%s", message)
}
