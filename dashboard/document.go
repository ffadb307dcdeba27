package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// document is an interview of which an operator edits two fields an answer.
// Every other field, known here or not, stays byte for byte what it is.
type document struct {
	fields  map[string]json.RawMessage
	Title   string
	Who     string // position
	UserID  string // the digits
	Lang    string
	Answers []*answerDoc
}

type answerDoc struct {
	fields     map[string]json.RawMessage
	Topic      string
	Difficulty string
	Question   string
	Answer     string
	Reference  string
	Points     []keyPoint
	// Lines is what the form shows for Points: what was typed, after a mistake.
	Lines string
	Wrong string
}

type keyPoint struct {
	ID      string   `json:"id"`
	Text    string   `json:"text"`
	Weight  float64  `json:"weight"`
	Aliases []string `json:"aliases,omitempty"`
}

// Assessable reports whether a judge has anything to measure the answer
// against.
func (a *answerDoc) Assessable() bool {
	return strings.TrimSpace(a.Reference) != "" || len(a.Points) > 0
}

// assessable reports whether every answer is.
func (d *document) assessable() bool {
	for _, a := range d.Answers {
		if !a.Assessable() {
			return false
		}
	}
	return true
}

func readDocument(raw []byte) (*document, error) {
	d := &document{}
	if err := json.Unmarshal(raw, &d.fields); err != nil {
		return nil, fmt.Errorf("dashboard: read an interview: %w", err)
	}
	d.Title, d.Who, d.Lang = text(d.fields["title"]), text(d.fields["position"]), text(d.fields["language"])
	d.UserID = text(d.fields["user_id"])
	var answers []map[string]json.RawMessage
	if err := unmarshal(d.fields["answers"], &answers); err != nil {
		return nil, fmt.Errorf("dashboard: read an interview's answers: %w", err)
	}
	for _, fields := range answers {
		a := &answerDoc{
			fields: fields, Topic: text(fields["topic"]), Difficulty: text(fields["difficulty"]),
			Question: text(fields["question"]), Answer: text(fields["answer"]), Reference: text(fields["reference"]),
		}
		if err := unmarshal(fields["key_points"], &a.Points); err != nil {
			return nil, fmt.Errorf("dashboard: read an interview's key points: %w", err)
		}
		a.Lines = pointLines(a.Points)
		d.Answers = append(d.Answers, a)
	}
	return d, nil
}

func unmarshal(raw json.RawMessage, v any) error {
	if len(raw) == 0 {
		return nil
	}
	return json.Unmarshal(raw, v)
}

// text gives a JSON string's text, or a number's digits as they are written.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	if len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		return string(raw)
	}
	return ""
}

// edit takes what the form holds. On a mistake it names it at the answer, and
// keeps what was typed.
func (d *document) edit(form url.Values) error {
	wrong := 0
	for i, a := range d.Answers {
		if reference, ok := formText(form, "reference", i); ok {
			a.Reference = plainLines(reference)
		}
		lines, ok := formText(form, "points", i)
		if !ok {
			continue
		}
		a.Lines = plainLines(lines)
		points, err := parsePoints(a.Lines, a.Points)
		if err != nil {
			a.Wrong = err.Error()
			wrong++
			continue
		}
		a.Points = points
	}
	if wrong > 0 {
		return errors.New("nothing was saved: the key points of " + plural(wrong, "answer") + " cannot be read; see below")
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// plainLines undoes the line ends that browsers send.
func plainLines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func (d *document) encode() ([]byte, error) {
	answers := make([]map[string]json.RawMessage, 0, len(d.Answers))
	for _, a := range d.Answers {
		if err := put(a.fields, "reference", a.Reference, a.Reference == ""); err != nil {
			return nil, err
		}
		if err := put(a.fields, "key_points", a.Points, len(a.Points) == 0); err != nil {
			return nil, err
		}
		answers = append(answers, a.fields)
	}
	if err := put(d.fields, "answers", answers, false); err != nil {
		return nil, err
	}
	return json.Marshal(d.fields)
}

func put(fields map[string]json.RawMessage, name string, v any, remove bool) error {
	if remove {
		delete(fields, name)
		return nil
	}
	raw, err := json.Marshal(v)
	fields[name] = raw
	return err
}
