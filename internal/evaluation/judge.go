package evaluation

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Judge evaluates one answer. It fills points, dimensions, lists, confidence
// and flags; score and band come from Grade whatever it says. It may be called
// from several goroutines. An error should carry a tasks class.
type Judge interface {
	Identity() Identity
	Judge(ctx context.Context, in Input) (AnswerEvaluation, error)
}

// Identity says which judge it is. Another identity is another opinion: stored
// evaluations are reused only under the same one.
type Identity struct {
	Evaluator     string // "offline" or "llm"
	Version       string
	Provider      string
	Model         string
	PromptVersion string
}

// String is the identity on one line, such as "offline/1" or
// "llm/2 openai gpt-4o-mini prompt 3".
func (id Identity) String() string {
	s := id.Evaluator + "/" + id.Version
	for _, part := range []string{id.Provider, id.Model} {
		if part != "" {
			s += " " + part
		}
	}
	if id.PromptVersion != "" {
		s += " prompt " + id.PromptVersion
	}
	return strings.TrimSpace(s)
}

// Audit starts an audit with the identity filled in.
func (id Identity) Audit() Audit {
	return Audit{
		Evaluator: id.Evaluator, EvaluatorVersion: id.Version,
		Provider: id.Provider, Model: id.Model, PromptVersion: id.PromptVersion,
		Samples: 1, Currency: "USD",
	}
}

// Input is all that a judge sees.
type Input struct {
	Language string // of the results: Chinese or English
	Answer   Answer
}

// Hash identifies the input.
func (in Input) Hash() string { return hash([]string{in.Language, in.Answer.Hash()}) }

// Begin gives the evaluation of in by id with everything filled in that does
// not depend on a judgement.
func Begin(id Identity, in Input) AnswerEvaluation {
	e := AnswerEvaluation{
		Schema:   AnswerSchema,
		DialogID: in.Answer.DialogID, Topic: in.Answer.Topic, Difficulty: in.Answer.Difficulty, Language: in.Language,
		Dimensions: Dimensions(),
		Audit:      id.Audit(),
	}
	e.Audit.InputSHA256 = in.Hash()
	return e
}

// Unanswered is the evaluation of a blank answer: score 0, and no doubt about it.
func Unanswered(id Identity, in Input) AnswerEvaluation {
	w := wordsOf(in.Language)
	e := Begin(id, in)
	free := int64(0)
	e.Audit.CostMicro = &free
	e.Audit.Samples = 0
	for i := range e.Dimensions {
		d := &e.Dimensions[i]
		d.Assessed, d.Reason = d.Key == Completeness, w.unanswered
	}
	for _, p := range in.Answer.KeyPoints {
		e.Points = append(e.Points, Point{ID: p.ID, Text: p.Text, Weight: p.Weight, Status: Missing})
	}
	e.Weaknesses = []string{w.unanswered}
	if in.Answer.Topic != "" {
		e.Suggestions = []string{fmt.Sprintf(w.revise, in.Answer.Topic)}
	}
	e.Confidence = 1
	e.Flags = []Flag{FlagEmpty}
	Grade(&e)
	return e
}

// Store gives interviews. Errors carry the class interview_missing when there
// is none, wrong_user when it belongs to somebody else.
type Store interface {
	Interview(ctx context.Context, userID, reportID int64) (Interview, error)
}

// Steps makes a paid step happen once for a report, however many jobs and
// attempts ask for it.
type Steps interface {
	// Once gives the stored outcome of key (kept is true), or runs fn and
	// stores what it returns before it gives it. An error of fn is returned as
	// it is and nothing is stored.
	Once(ctx context.Context, key string, fn func(context.Context) (json.RawMessage, error)) (out json.RawMessage, kept bool, err error)
	// Progress says that of total answers done are finished, kept of them
	// without work. It is also the sign of life of a long evaluation.
	Progress(ctx context.Context, done, kept, total int) error
}
