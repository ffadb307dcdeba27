// Package bench measures: how well a judge agrees with people who graded the
// same answers.
package bench

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"evalq/internal/evaluation"
	"evalq/internal/rubric"
)

// JudgeResult says how well a judge agrees with human grades.
type JudgeResult struct {
	Judge string `json:"judge"`
	Rows  int    `json:"rows"` // data rows in the file
	N     int    `json:"n"`    // rows that the figures rest on
	// Unassessable rows have nothing to measure against; they are in Rows and
	// not in N.
	Unassessable int `json:"unassessable"`
	// R is Pearson's correlation of the judge's score with the human one, with
	// nothing fitted. It is null when either is the same on all rows.
	R *float64 `json:"r"`
	// QWK is Cohen's kappa with quadratic weights over the six whole grades
	// 0 … 5. It is null when both gave everything the same grade.
	QWK *float64 `json:"qwk"`
	// RMSE is the root mean square error on the scale 0 … 5.
	RMSE float64 `json:"rmse"`
}

// judgeColumns must be in the header, in any order; alt_references may be, and
// what else is there is not read.
var judgeColumns = []string{"question", "reference", "student", "score01"}

// JudgeCSV lets the offline judge grade each answer of a CSV file with a header
// and compares with the human grade. The columns are question, reference,
// student (the answer), score01 (the human grade, 0 … 1) and, if there is one,
// alt_references (a JSON list of further references: an answer gets the best
// score that any reference gives it). Errors name the line.
func JudgeCSV(r io.Reader) (JudgeResult, error) {
	judge := rubric.New()
	res := JudgeResult{Judge: judge.Identity().String()}
	rows, err := newGradedRows(r)
	if err != nil {
		return res, fmt.Errorf("bench: judge: %w", err)
	}
	var judged, human []float64
	for {
		row, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return res, fmt.Errorf("bench: judge: %w", err)
		}
		res.Rows++
		score, ok, err := bestScore(judge, row)
		if err != nil {
			return res, fmt.Errorf("bench: judge: line %d: %w", row.line, err)
		}
		if !ok {
			res.Unassessable++
			continue
		}
		judged = append(judged, score)
		human = append(human, row.grade)
	}
	if res.N = len(judged); res.N == 0 {
		return res, fmt.Errorf("bench: judge: none of %d rows can be assessed", res.Rows)
	}
	res.R, res.QWK, res.RMSE = correlation(judged, human), kappa(judged, human), 5*rootMeanSquare(judged, human)
	return res, nil
}

// bestScore is the best score over the references, 0 … 1.
func bestScore(judge evaluation.Judge, row gradedRow) (best float64, ok bool, err error) {
	for _, ref := range row.references {
		e, err := judge.Judge(context.Background(), evaluation.Input{
			Language: evaluation.LanguageOf(row.question),
			Answer:   evaluation.Answer{DialogID: "1", Difficulty: 3, Question: row.question, Answer: row.student, Reference: ref},
		})
		if err != nil {
			return 0, false, err
		}
		// A blank answer has its 0 without a reference; here it needs one.
		if e.Score != nil && strings.TrimSpace(ref) != "" {
			best, ok = max(best, float64(*e.Score)/100), true
		}
	}
	return best, ok, nil
}

type gradedRow struct {
	line              int
	question, student string
	references        []string
	grade             float64
}

type gradedRows struct {
	csv    *csv.Reader
	column map[string]int
}

func newGradedRows(r io.Reader) (*gradedRows, error) {
	g := &gradedRows{csv: csv.NewReader(r), column: map[string]int{}}
	header, err := g.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty; a header line is needed")
	}
	if err != nil {
		return nil, readError(err)
	}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		if _, dup := g.column[name]; dup && slices.Contains(append(judgeColumns, "alt_references"), name) {
			return nil, fmt.Errorf("line 1: the column %q is there twice", name)
		}
		g.column[name] = i
	}
	for _, name := range judgeColumns {
		if _, ok := g.column[name]; !ok {
			return nil, fmt.Errorf("line 1: the column %q is missing; needed are %s", name, strings.Join(judgeColumns, ", "))
		}
	}
	return g, nil
}

func (g *gradedRows) next() (gradedRow, error) {
	record, err := g.csv.Read()
	if err != nil {
		return gradedRow{}, readError(err)
	}
	line, _ := g.csv.FieldPos(0)
	row := gradedRow{
		line:       line,
		question:   record[g.column["question"]],
		student:    record[g.column["student"]],
		references: []string{record[g.column["reference"]]},
	}
	text := strings.TrimSpace(record[g.column["score01"]])
	row.grade, err = strconv.ParseFloat(text, 64)
	if err != nil || !(row.grade >= 0 && row.grade <= 1) {
		return row, fmt.Errorf("line %d: score01: %.40q is not a number from 0 to 1", line, text)
	}
	if i, ok := g.column["alt_references"]; ok && strings.TrimSpace(record[i]) != "" {
		var more []string
		if err := json.Unmarshal([]byte(record[i]), &more); err != nil {
			return row, fmt.Errorf("line %d: alt_references: not a JSON list of texts", line)
		}
		row.references = append(row.references, more...)
	}
	return row, nil
}

// readError puts the line first, as all errors here do.
func readError(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("line %d: not CSV: %w", parse.Line, parse.Err)
	}
	return err
}

func correlation(x, y []float64) *float64 {
	mx, my := mean(x), mean(y)
	var xy, xx, yy float64
	for i := range x {
		dx, dy := x[i]-mx, y[i]-my
		xy, xx, yy = xy+dx*dy, xx+dx*dx, yy+dy*dy
	}
	if xx == 0 || yy == 0 {
		return nil
	}
	r := xy / math.Sqrt(xx*yy)
	return &r
}

// kappa compares the disagreement that was seen with the one expected of two
// graders who share nothing but how often they give each grade.
func kappa(x, y []float64) *float64 {
	const grades = 6
	var hx, hy [grades]float64
	seen := 0.0
	for i := range x {
		a, b := grade(x[i]), grade(y[i])
		hx[a]++
		hy[b]++
		seen += float64((a - b) * (a - b))
	}
	expected := 0.0
	for a := range hx {
		for b := range hy {
			expected += float64((a-b)*(a-b)) * hx[a] * hy[b] / float64(len(x))
		}
	}
	if expected == 0 {
		return nil
	}
	k := 1 - seen/expected
	return &k
}

func grade(score float64) int { return int(math.Round(5 * score)) }

func rootMeanSquare(x, y []float64) float64 {
	sum := 0.0
	for i := range x {
		sum += (x[i] - y[i]) * (x[i] - y[i])
	}
	return math.Sqrt(sum / float64(len(x)))
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
