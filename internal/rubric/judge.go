package rubric

import (
	"context"

	"evalq/internal/evaluation"
)

// Version changes whenever the same answer could get another evaluation.
// Stored evaluations of another version are not reused.
const Version = "1"

const (
	// bend is the k of 1-(1-c)^k on a prose reference.
	bend = 5
	// Coverage at which a point is called covered or partial. It explains; the
	// score is made of the graded credits, because a hard line does worse.
	pointCovered = 0.5
	pointPartial = 0.2
	// The same for a sentence of prose, of which nobody repeats half.
	proseCovered = 0.3
	// lowCoverage is where recognising little stops telling anything.
	lowCoverage = 0.1
	// reviewBelow is the confidence that asks for a person.
	reviewBelow = 0.4
)

// Judge is an evaluation.Judge. It is safe for concurrent use and blocks for
// microseconds to milliseconds.
type Judge struct{}

var _ evaluation.Judge = (*Judge)(nil)

// New makes a judge. It has nothing to configure: the constants of this package
// were published with the figures that they reach, and other constants would
// be another judge.
func New() *Judge { return &Judge{} }

// Identity is offline, at Version.
func (*Judge) Identity() evaluation.Identity {
	return evaluation.Identity{Evaluator: "offline", Version: Version}
}

// Judge measures the answer against its key points, or against its reference
// when it has none. Without either there is no score and the flag no_reference.
// The only error is that of ctx.
func (j *Judge) Judge(ctx context.Context, in evaluation.Input) (evaluation.AnswerEvaluation, error) {
	if err := ctx.Err(); err != nil {
		return evaluation.AnswerEvaluation{}, err
	}
	if in.Answer.Blank() {
		return evaluation.Unanswered(j.Identity(), in), nil
	}
	e := evaluation.Begin(j.Identity(), in)
	free := int64(0)
	e.Audit.CostMicro = &free
	m, ok := measure(in.Answer)
	if ok {
		m.report(&e, in)
	} else {
		unmeasured(&e, in.Language)
	}
	evaluation.Grade(&e)
	return e, nil
}
