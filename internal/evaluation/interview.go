package evaluation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// The languages of an interview.
const (
	Chinese = "zh"
	English = "en"
)

// Interview is one interview as its platform stores it. ParseInterview makes
// only valid ones.
type Interview struct {
	UserID   int64    `json:"user_id"`   // 1 … 2^63-1, the person interviewed
	ReportID int64    `json:"report_id"` // 1 … 2^63-1, the interview's own id
	Title    string   `json:"title"`
	Position string   `json:"position"`
	Language string   `json:"language"` // Chinese or English: the language of the results
	Answers  []Answer `json:"answers"`  // in the order of the interview
}

// Answer is one question, what was answered, and what a good answer holds.
// A judge without a model of the world needs KeyPoints or Reference.
type Answer struct {
	DialogID   string     `json:"dialog_id"` // unique in its interview
	Topic      string     `json:"topic"`
	Difficulty int        `json:"difficulty"` // 1 (easy) … 5 (hard)
	Question   string     `json:"question"`
	Answer     string     `json:"answer"`     // empty when the question was left unanswered
	Reference  string     `json:"reference"`  // a model answer in prose, if there is one
	KeyPoints  []KeyPoint `json:"key_points"` // what a full answer says, if it was written down
}

// KeyPoint is one thing that a full answer says.
type KeyPoint struct {
	ID     string  `json:"id"` // unique in its answer
	Text   string  `json:"text"`
	Weight float64 `json:"weight"` // above 0, relative to the other points of the answer
	// Aliases are other ways of saying the whole point, in any language: an
	// answer that uses one of them has made the point.
	Aliases []string `json:"aliases"`
}

// Blank reports whether the question was left unanswered.
func (a Answer) Blank() bool { return strings.TrimSpace(a.Answer) == "" }

// SkippedEmpty is why the job of an interview is skipped in which nothing was
// answered.
const SkippedEmpty = "empty"

// Measurable reports whether there is anything to measure the answer against.
func (a Answer) Measurable() bool {
	return len(a.KeyPoints) > 0 || strings.TrimSpace(a.Reference) != ""
}

// Hash identifies the content of one question and its answer.
func (a Answer) Hash() string { return hash(a.canonical()) }

// Canonical is the interview as JSON in one fixed form: the same content gives
// the same bytes whatever the order of its fields, its white space and the
// defaults it left out.
func (in Interview) Canonical() []byte {
	answers := make([]Answer, len(in.Answers))
	for i, a := range in.Answers {
		answers[i] = a.canonical()
	}
	in.Answers = answers
	return canonicalJSON(in)
}

// Hash is the SHA-256 of Canonical in hex.
func (in Interview) Hash() string { return hash(json.RawMessage(in.Canonical())) }

// canonical makes absent lists and empty ones the same.
func (a Answer) canonical() Answer {
	points := make([]KeyPoint, len(a.KeyPoints))
	for i, p := range a.KeyPoints {
		p.Aliases = append([]string{}, p.Aliases...)
		points[i] = p
	}
	a.KeyPoints = points
	return a
}

// canonicalJSON cannot fail on what this package hands it: strings, integers,
// finite floats. An Interview built by hand with a NaN weight is the exception
// and gets bytes that no valid one has.
func canonicalJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("not canonical: " + err.Error())
	}
	return b
}

func hash(v any) string {
	sum := sha256.Sum256(canonicalJSON(v))
	return hex.EncodeToString(sum[:])
}
