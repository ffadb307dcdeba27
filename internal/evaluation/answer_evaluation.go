package evaluation

import (
	"encoding/json"
	"time"
)

// AnswerSchema names the form of AnswerEvaluation.
const AnswerSchema = "answer-eval/1"

// Band is a score in a word.
type Band string

// The bands: 0-19, 20-39, 40-59, 60-79, 80-100.
const (
	BandNone    Band = "none"
	BandWeak    Band = "weak"
	BandPartial Band = "partial"
	BandGood    Band = "good"
	BandStrong  Band = "strong"
)

// The dimensions of an answer.
const (
	Correctness  = "correctness"
	Completeness = "completeness"
	Depth        = "depth"
	Clarity      = "clarity"
)

// MaxDimension is the best score on one dimension.
const MaxDimension = 4

// Status says how an answer deals with one point.
type Status string

// The statuses of a point.
const (
	Covered      Status = "covered"
	Partial      Status = "partial"
	Missing      Status = "missing"
	Contradicted Status = "contradicted"
)

// Flag marks something about an answer that a reader of its score must know.
type Flag string

// The flags.
const (
	FlagEmpty              Flag = "empty"               // nothing was answered
	FlagOffTopic           Flag = "off_topic"           // about something else
	FlagNoReference        Flag = "no_reference"        // nothing to measure against: no score
	FlagLowCoverage        Flag = "low_coverage"        // hardly anything was recognised, which need not mean wrong
	FlagLanguageMismatch   Flag = "language_mismatch"   // answered in another language
	FlagInjectionSuspected Flag = "injection_suspected" // the answer addresses the judge
	FlagTruncated          Flag = "truncated"           // only a part was looked at
	FlagFallback           Flag = "fallback"            // another judge stood in
	FlagWordList           Flag = "word_list"           // words without sentences, or one phrase over and over
	FlagQuestionEcho       Flag = "question_echo"       // repeats the question and adds nothing
	FlagNotEvaluated       Flag = "not_evaluated"       // the judge could not take this answer: no score
)

// AnswerEvaluation is what is known about one answer (schema answer-eval/1).
type AnswerEvaluation struct {
	Schema      string      `json:"schema"`
	DialogID    string      `json:"dialog_id"`
	Topic       string      `json:"topic"`
	Difficulty  int         `json:"difficulty"`
	Language    string      `json:"language"`
	Score       *int        `json:"score"` // 0 … 100; null when no dimension could be assessed
	Band        Band        `json:"band"`  // empty without a score
	Dimensions  []Dimension `json:"dimensions"`
	Points      []Point     `json:"points"`
	Strengths   []string    `json:"strengths"`   // at most 3
	Weaknesses  []string    `json:"weaknesses"`  // at most 3
	Suggestions []string    `json:"suggestions"` // at most 3
	Confidence  float64     `json:"confidence"`  // 0 … 1, of the score
	NeedsReview bool        `json:"needs_review"`
	Flags       []Flag      `json:"flags"`
	Audit       Audit       `json:"audit"`
}

// Dimension is one side of an answer. Score counts only when Assessed.
type Dimension struct {
	Key      string  `json:"key"`
	Score    float64 `json:"score"` // 0 … Max
	Max      int     `json:"max"`
	Weight   float64 `json:"weight"` // before renormalising over the assessed dimensions
	Assessed bool    `json:"assessed"`
	Reason   string  `json:"reason"`
}

// Point is one key point (or, without key points, one sentence of the
// reference) and what the answer says about it.
type Point struct {
	ID       string    `json:"id"`
	Text     string    `json:"text"`
	Weight   float64   `json:"weight"`
	Status   Status    `json:"status"`
	Credit   float64   `json:"credit"`   // 0 … 1
	Evidence *Evidence `json:"evidence"` // null when there is none
}

// Evidence is where the answer says it: Quote is the answer's own text from
// Start to End, counted in Unicode code points (Go runes), End not included.
type Evidence struct {
	Quote string `json:"quote"`
	Start int    `json:"start"`
	End   int    `json:"end"`
}

// Audit says what made a result, from what and at what price. In a report it
// holds the sums over its answers.
type Audit struct {
	Evaluator        string    `json:"evaluator"` // "offline" or "llm"
	EvaluatorVersion string    `json:"evaluator_version"`
	Provider         string    `json:"provider"`
	Model            string    `json:"model"`
	PromptVersion    string    `json:"prompt_version"`
	PromptSHA256     string    `json:"prompt_sha256"`
	InputSHA256      string    `json:"input_sha256"`
	Temperature      float64   `json:"temperature"`
	Seed             int64     `json:"seed"`
	Samples          int       `json:"samples"`
	RepairCalls      int       `json:"repair_calls"`
	Tokens           Tokens    `json:"tokens"`
	CostMicro        *int64    `json:"cost_micro"` // millionths of Currency; null when unknown
	Currency         string    `json:"currency"`
	LatencyMS        int64     `json:"latency_ms"`
	EvaluatedAt      time.Time `json:"evaluated_at"`
}

// Tokens counts what a model read and wrote.
type Tokens struct {
	Prompt     int64 `json:"prompt"`
	Cached     int64 `json:"cached"`
	Completion int64 `json:"completion"`
	Reasoning  int64 `json:"reasoning"`
}

func (t Tokens) plus(o Tokens) Tokens {
	return Tokens{t.Prompt + o.Prompt, t.Cached + o.Cached, t.Completion + o.Completion, t.Reasoning + o.Reasoning}
}

// Has reports whether the evaluation carries a flag.
func (e AnswerEvaluation) Has(f Flag) bool {
	for _, have := range e.Flags {
		if have == f {
			return true
		}
	}
	return false
}

// MarshalJSON writes absent lists as empty ones, so that a reader in any
// language can go over them.
func (e AnswerEvaluation) MarshalJSON() ([]byte, error) {
	type plain AnswerEvaluation
	p := plain(e)
	p.Dimensions, p.Points, p.Flags = list(p.Dimensions), list(p.Points), list(p.Flags)
	p.Strengths, p.Weaknesses, p.Suggestions = list(p.Strengths), list(p.Weaknesses), list(p.Suggestions)
	return json.Marshal(p)
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
