package evaluation

import "encoding/json"

// The names of the forms of Report and TopicEvaluation.
const (
	ReportSchema = "report/1"
	TopicSchema  = "topic-eval/1"
)

// Report is the comprehensive evaluation of an interview (schema report/1). It
// is computed from the evaluations of its answers. It advises; it holds no
// verdict on the person.
type Report struct {
	Schema   string `json:"schema"`
	ReportID int64  `json:"report_id"`
	UserID   int64  `json:"user_id"`
	Title    string `json:"title"`
	Position string `json:"position"`
	Language string `json:"language"`

	// Overall is the mean of the scores, in which hard questions count up to
	// twice as much as easy ones, an unanswered question counts 0, and one that
	// could not be evaluated is left out.
	Overall    int               `json:"overall"` // 0 … 100
	Band       Band              `json:"band"`
	Dimensions []ReportDimension `json:"dimensions"`
	Topics     []TopicScore      `json:"topics"`  // in the order of the interview
	Answers    []AnswerScore     `json:"answers"` // in the order of the interview
	Answered   int               `json:"answered"`
	Evaluated  int               `json:"evaluated"` // have a score; unanswered ones count as evaluated
	Total      int               `json:"total"`

	Strengths   []Finding `json:"strengths"`   // at most 5, best first
	Weaknesses  []Finding `json:"weaknesses"`  // at most 5, worst first
	Suggestions []Finding `json:"suggestions"` // at most 5, most urgent first
	Summary     string    `json:"summary"`
	Confidence  float64   `json:"confidence"` // 0 … 1
	NeedsReview bool      `json:"needs_review"`
	Limits      []string  `json:"limits"` // what the numbers do not say, in the report's language
	Audit       Audit     `json:"audit"`
}

// ReportDimension is one dimension over all answers.
type ReportDimension struct {
	Key      string `json:"key"`
	Score    int    `json:"score"` // 0 … 100; counts only when Assessed
	Assessed bool   `json:"assessed"`
	Answers  int    `json:"answers"` // answers that it rests on
}

// TopicScore is the answers of one topic taken together.
type TopicScore struct {
	Topic          string   `json:"topic"`
	Answers        int      `json:"answers"`
	Score          *int     `json:"score"` // null when no answer of the topic has one
	Min            *int     `json:"min"`
	Max            *int     `json:"max"`
	DifficultyMean float64  `json:"difficulty_mean"`
	Strengths      []string `json:"strengths"` // at most 3
	Gaps           []string `json:"gaps"`      // at most 3
}

// AnswerScore is one line on one answer.
type AnswerScore struct {
	DialogID   string  `json:"dialog_id"`
	Score      *int    `json:"score"`
	Confidence float64 `json:"confidence"`
	Flags      []Flag  `json:"flags"`
}

// Finding is a statement about the interview and the answers it rests on.
type Finding struct {
	Text      string   `json:"text"`
	DialogIDs []string `json:"dialog_ids"`
}

// TopicEvaluation is the evaluation of each answer of an interview (schema
// topic-eval/1).
type TopicEvaluation struct {
	Schema      string             `json:"schema"`
	ReportID    int64              `json:"report_id"`
	UserID      int64              `json:"user_id"`
	Title       string             `json:"title"`
	Language    string             `json:"language"`
	Answers     []AnswerEvaluation `json:"answers"` // in the order of the interview
	Evaluated   int                `json:"evaluated"`
	Total       int                `json:"total"`
	Confidence  float64            `json:"confidence"`
	NeedsReview bool               `json:"needs_review"`
	Limits      []string           `json:"limits"`
	Audit       Audit              `json:"audit"`
}

// Weakest is the topic with the lowest score; of equal ones, the first. It is
// false when no topic has a score.
func (r *Report) Weakest() (TopicScore, bool) {
	return r.extreme(func(a, b int) bool { return a < b })
}

// Strongest is the topic with the highest score; of equal ones, the first.
func (r *Report) Strongest() (TopicScore, bool) {
	return r.extreme(func(a, b int) bool { return a > b })
}

func (r *Report) extreme(better func(a, b int) bool) (best TopicScore, ok bool) {
	for _, t := range r.Topics {
		if t.Score != nil && (!ok || better(*t.Score, *best.Score)) {
			best, ok = t, true
		}
	}
	return best, ok
}

// MarshalJSON writes absent lists as empty ones.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	p := plain(r)
	p.Dimensions, p.Topics, p.Answers, p.Limits = list(p.Dimensions), list(p.Topics), list(p.Answers), list(p.Limits)
	p.Strengths, p.Weaknesses, p.Suggestions = list(p.Strengths), list(p.Weaknesses), list(p.Suggestions)
	return json.Marshal(p)
}

// MarshalJSON writes absent lists as empty ones.
func (t TopicScore) MarshalJSON() ([]byte, error) {
	type plain TopicScore
	p := plain(t)
	p.Strengths, p.Gaps = list(p.Strengths), list(p.Gaps)
	return json.Marshal(p)
}

// MarshalJSON writes absent lists as empty ones.
func (a AnswerScore) MarshalJSON() ([]byte, error) {
	type plain AnswerScore
	p := plain(a)
	p.Flags = list(p.Flags)
	return json.Marshal(p)
}

// MarshalJSON writes absent lists as empty ones.
func (t TopicEvaluation) MarshalJSON() ([]byte, error) {
	type plain TopicEvaluation
	p := plain(t)
	p.Answers, p.Limits = list(p.Answers), list(p.Limits)
	return json.Marshal(p)
}
