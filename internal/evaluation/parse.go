package evaluation

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"evalq/tasks"
)

// The bounds of an interview. Sizes of texts are in bytes.
const (
	MaxInterview = 1 << 20
	MaxAnswers   = 500
	MaxText      = 256 << 10 // of a question, an answer or a reference
	MaxKeyPoints = 32        // of one answer
	MaxAliases   = 32        // of one key point
	MaxName      = 500       // of titles, topics, positions, key points and aliases
	MaxID        = 64        // of a dialog id or key point id
	MaxWeight    = 1000.0
)

const (
	defaultDifficulty = 3
	maxDifficulty     = 5
)

// The documents as they arrive: pointers and raw text where "absent" and
// "zero" differ, or where encoding/json would bend a number.
type interviewDoc struct {
	UserID   json.RawMessage `json:"user_id"`
	ReportID json.RawMessage `json:"report_id"`
	Title    string          `json:"title"`
	Position string          `json:"position"`
	Language string          `json:"language"`
	Answers  []answerDoc     `json:"answers"`
}

type answerDoc struct {
	DialogID   string          `json:"dialog_id"`
	Topic      string          `json:"topic"`
	Difficulty json.RawMessage `json:"difficulty"`
	Question   string          `json:"question"`
	Answer     string          `json:"answer"`
	Reference  string          `json:"reference"`
	KeyPoints  []keyPointDoc   `json:"key_points"`
}

type keyPointDoc struct {
	ID      string          `json:"id"`
	Text    string          `json:"text"`
	Weight  json.RawMessage `json:"weight"`
	Aliases []string        `json:"aliases"`
}

// ParseInterview reads an interview from JSON. It refuses unknown and duplicate
// fields, NUL characters, ids outside 1 … 2^63-1 or not written as whole
// numbers, and whatever is outside the bounds above. Its errors begin with the
// path of the field and never quote an answer. What may be left out gets its
// default: dialog ids and key point ids by position ("1", "2", … and "p1",
// "p2", …), difficulty 3, weight 1, the language that the questions are written
// in. An interview without answers is valid, since people quit early, but must
// say so: "answers": [].
func ParseInterview(b []byte) (Interview, error) {
	if len(b) > MaxInterview {
		return Interview{}, fmt.Errorf("interview: %d bytes, at most %d are taken", len(b), MaxInterview)
	}
	if err := tasks.CheckJSON(b); err != nil {
		return Interview{}, err
	}
	var doc interviewDoc
	if err := tasks.DecodeStrict(b, &doc); err != nil {
		return Interview{}, err
	}
	in, err := doc.interview()
	if err != nil {
		return Interview{}, err
	}
	return in, nil
}

func (d interviewDoc) interview() (in Interview, err error) {
	if in.UserID, err = tasks.ParseID("user_id", d.UserID); err != nil {
		return in, err
	}
	if in.ReportID, err = tasks.ParseID("report_id", d.ReportID); err != nil {
		return in, err
	}
	if in.Title, err = name("title", d.Title, MaxName); err != nil {
		return in, err
	}
	if in.Position, err = name("position", d.Position, MaxName); err != nil {
		return in, err
	}
	if d.Answers == nil { // a slip would else empty what is stored
		return in, errors.New("answers: missing; give [] for an interview without any")
	}
	if len(d.Answers) > MaxAnswers {
		return in, fmt.Errorf("answers: %d given, at most %d are taken", len(d.Answers), MaxAnswers)
	}
	in.Answers = make([]Answer, len(d.Answers))
	seen := make(map[string]int, len(d.Answers))
	for i, a := range d.Answers {
		path := fmt.Sprintf("answers[%d]", i)
		if in.Answers[i], err = a.answer(path, i); err != nil {
			return in, err
		}
		id := in.Answers[i].DialogID
		if first, dup := seen[id]; dup {
			return in, fmt.Errorf("%s.dialog_id: the same as that of answers[%d]", path, first)
		}
		seen[id] = i
	}
	in.Language, err = language(d.Language, in.Answers)
	return in, err
}

func (d answerDoc) answer(path string, i int) (a Answer, err error) {
	if a.DialogID, err = identifier(path+".dialog_id", d.DialogID, strconv.Itoa(i+1)); err != nil {
		return a, err
	}
	if a.Topic, err = name(path+".topic", d.Topic, MaxName); err != nil {
		return a, err
	}
	if a.Difficulty, err = difficulty(path+".difficulty", d.Difficulty); err != nil {
		return a, err
	}
	if a.Question = strings.TrimSpace(d.Question); a.Question == "" {
		return a, fmt.Errorf("%s.question: missing", path)
	}
	a.Answer, a.Reference = d.Answer, strings.TrimSpace(d.Reference)
	for _, f := range []struct{ field, text string }{{"question", a.Question}, {"answer", a.Answer}, {"reference", a.Reference}} {
		if len(f.text) > MaxText {
			return a, fmt.Errorf("%s.%s: %d bytes, at most %d are taken", path, f.field, len(f.text), MaxText)
		}
	}
	a.KeyPoints, err = keyPoints(path, d.KeyPoints)
	return a, err
}

func keyPoints(path string, docs []keyPointDoc) ([]KeyPoint, error) {
	if len(docs) > MaxKeyPoints {
		return nil, fmt.Errorf("%s.key_points: %d given, at most %d are taken", path, len(docs), MaxKeyPoints)
	}
	points := make([]KeyPoint, len(docs))
	seen := make(map[string]int, len(docs))
	for i, d := range docs {
		at := fmt.Sprintf("%s.key_points[%d]", path, i)
		p, err := d.keyPoint(at, i)
		if err != nil {
			return nil, err
		}
		if first, dup := seen[p.ID]; dup {
			return nil, fmt.Errorf("%s.id: the same as that of key_points[%d]", at, first)
		}
		seen[p.ID] = i
		points[i] = p
	}
	return points, nil
}

func (d keyPointDoc) keyPoint(path string, i int) (p KeyPoint, err error) {
	if p.ID, err = identifier(path+".id", d.ID, "p"+strconv.Itoa(i+1)); err != nil {
		return p, err
	}
	if p.Text, err = name(path+".text", d.Text, MaxName); err != nil {
		return p, err
	}
	if p.Text == "" {
		return p, fmt.Errorf("%s.text: missing", path)
	}
	if p.Weight, err = weight(path+".weight", d.Weight); err != nil {
		return p, err
	}
	if len(d.Aliases) > MaxAliases {
		return p, fmt.Errorf("%s.aliases: %d given, at most %d are taken", path, len(d.Aliases), MaxAliases)
	}
	p.Aliases = make([]string, len(d.Aliases))
	for j, alias := range d.Aliases {
		at := fmt.Sprintf("%s.aliases[%d]", path, j)
		if p.Aliases[j], err = name(at, alias, MaxName); err != nil {
			return p, err
		}
		if p.Aliases[j] == "" {
			return p, fmt.Errorf("%s: is empty", at)
		}
	}
	return p, nil
}

func name(path, s string, limit int) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) > limit {
		return "", fmt.Errorf("%s: %d bytes, at most %d are taken", path, len(s), limit)
	}
	return s, nil
}

func identifier(path, s, absent string) (string, error) {
	if s == "" {
		return absent, nil
	}
	if len(s) > MaxID {
		return "", fmt.Errorf("%s: %d bytes, at most %d are taken", path, len(s), MaxID)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError }) {
		return "", fmt.Errorf("%s: must not contain spaces or control characters", path)
	}
	return s, nil
}

func difficulty(path string, raw json.RawMessage) (int, error) {
	if raw == nil || string(raw) == "null" {
		return defaultDifficulty, nil
	}
	var d int
	if raw[0] == '"' || json.Unmarshal(raw, &d) != nil || d < 0 || d > maxDifficulty {
		return 0, fmt.Errorf("%s: must be a whole number from 1 (easy) to %d (hard)", path, maxDifficulty)
	}
	if d == 0 {
		return defaultDifficulty, nil
	}
	return d, nil
}

func weight(path string, raw json.RawMessage) (float64, error) {
	if raw == nil || string(raw) == "null" {
		return 1, nil
	}
	var w float64
	if raw[0] == '"' || json.Unmarshal(raw, &w) != nil || math.IsNaN(w) || math.IsInf(w, 0) {
		return 0, fmt.Errorf("%s: must be a number", path)
	}
	switch {
	case w <= 0:
		return 0, fmt.Errorf("%s: must be above 0", path)
	case w < 0.001 || w > MaxWeight:
		return 0, fmt.Errorf("%s: must be between 0.001 and %g", path, MaxWeight)
	}
	return w, nil
}

func language(given string, answers []Answer) (string, error) {
	base, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(given, "_", "-")), "-")
	switch base {
	case Chinese, English:
		return base, nil
	case "":
		return spoken(answers), nil
	}
	return "", errors.New(`language: must be "zh" or "en"`)
}

func spoken(answers []Answer) string {
	var questions strings.Builder
	for _, a := range answers {
		questions.WriteString(a.Question)
	}
	return LanguageOf(questions.String())
}

// LanguageOf is Chinese as soon as a tenth of the letters are: a Chinese
// question about software is full of English words.
func LanguageOf(text string) string {
	han, letters := 0, 0
	for _, r := range text {
		if unicode.Is(unicode.Han, r) {
			han++
		}
		if unicode.IsLetter(r) {
			letters++
		}
	}
	if han*10 > letters {
		return Chinese
	}
	return English
}
