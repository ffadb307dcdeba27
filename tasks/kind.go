package tasks

import (
	"fmt"
	"regexp"
)

// Kind names what a job does. It is also the type of its Asynq task.
type Kind string

// The two kinds that evalq evaluates itself. The strings are those of the
// original message types, so a message and a task share one name.
const (
	// KindEvaluationReport is the comprehensive evaluation of an interview.
	KindEvaluationReport Kind = "evaluation_report"
	// KindTopicEvaluation is the evaluation of each answer of an interview.
	KindTopicEvaluation Kind = "topic_evaluation"
)

// Kinds lists the kinds that evalq brings handlers for.
func Kinds() []Kind { return []Kind{KindEvaluationReport, KindTopicEvaluation} }

var kindPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Validate accepts 1 to 63 lower-case letters, digits and underscores that
// begin with a letter. It does not say whether a handler for k exists.
func (k Kind) Validate() error {
	// The pattern is a tenth of what accepting a job costs this process.
	if !k.Builtin() && !kindPattern.MatchString(string(k)) {
		return fmt.Errorf("kind %.80q: use 1 to 63 lower-case letters, digits and underscores, beginning with a letter, such as %q", string(k), KindEvaluationReport)
	}
	return nil
}

// Builtin reports whether evalq evaluates k itself.
func (k Kind) Builtin() bool { return k == KindEvaluationReport || k == KindTopicEvaluation }

// Priority names the queue that a job waits in.
type Priority string

// The three queues. Workers take from them in the ratio 6 : 3 : 1, or strictly
// in this order when told to.
const (
	Critical Priority = "critical"
	Default  Priority = "default"
	Low      Priority = "low"
)

// Priorities lists the queues from the most to the least urgent.
func Priorities() []Priority { return []Priority{Critical, Default, Low} }

// Weight is how often a worker looks into the queue first, out of ten looks.
func (p Priority) Weight() int {
	switch p {
	case Critical:
		return 6
	case Low:
		return 1
	default:
		return 3
	}
}

// Validate refuses everything but the three queues.
func (p Priority) Validate() error {
	switch p {
	case Critical, Default, Low:
		return nil
	}
	return fmt.Errorf("priority %.40q: use %q, %q or %q", string(p), Critical, Default, Low)
}
