package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// Ledger is what a report is read from.
type Ledger interface {
	Get(ctx context.Context, id string) (tasks.Job, error)
	// Find gives the newest revision.
	Find(ctx context.Context, kind tasks.Kind, userID, reportID int64) (tasks.Job, error)
	List(ctx context.Context, f tasks.Filter) (tasks.Page, error)
	// Interview with userID 0 gives the interview whoever owns it.
	Interview(ctx context.Context, userID, reportID int64) (evaluation.Interview, error)
}

// ReportAnswer is what is stored about an interview.
type ReportAnswer struct {
	ReportID         int64    `json:"report_id"`
	UserID           int64    `json:"user_id"`
	EvaluationReport *Outcome `json:"evaluation_report,omitempty" doc:"The comprehensive evaluation; absent when it was never asked for."`
	TopicEvaluation  *Outcome `json:"topic_evaluation,omitempty" doc:"The evaluation of each answer; absent when it was never asked for."`
}

// Outcome is where one kind of evaluation stands and what it gave.
type Outcome struct {
	Job      Job             `json:"job" doc:"The newest revision, without its result."`
	Judge    string          `json:"judge,omitempty" doc:"What made the result."`
	Revision int             `json:"revision,omitempty" doc:"The revision that the result is of: an older one than the job's while a newer one is on its way."`
	Result   json.RawMessage `json:"result,omitempty" doc:"The newest stored result; absent while there is none."`
}

// MissingError says what of a report is not there. It is tasks.ErrNotFound.
type MissingError struct{ text string }

// Error says what is missing and what to do.
func (e *MissingError) Error() string { return e.text }

// Unwrap gives tasks.ErrNotFound.
func (e *MissingError) Unwrap() error { return tasks.ErrNotFound }

// Report reads the newest stored results of both kinds and where their jobs
// stand. With user 0 it is the owner of the interview who is meant, or of the
// newest job when there is no interview. Original puts the results into the two
// shapes that the platform's pages read. When nothing was ever asked for, the
// error is a *MissingError.
func Report(ctx context.Context, l Ledger, report, user int64, original bool) (ReportAnswer, error) {
	if user == 0 {
		var err error
		if user, err = Owner(ctx, l, report); err != nil {
			return ReportAnswer{}, err
		}
	}
	out := ReportAnswer{ReportID: report, UserID: user}
	var err error
	if out.EvaluationReport, err = outcome(ctx, l, tasks.KindEvaluationReport, user, report, original); err != nil {
		return out, err
	}
	if out.TopicEvaluation, err = outcome(ctx, l, tasks.KindTopicEvaluation, user, report, original); err != nil {
		return out, err
	}
	if out.EvaluationReport == nil && out.TopicEvaluation == nil {
		return out, &MissingError{"no evaluation of this interview was ever asked for; submit one"}
	}
	return out, nil
}

// Owner finds whose the interview is: a job that names the wrong user must not
// hide the right one's result, so the interview goes before the jobs. Without
// either the error is a *MissingError.
func Owner(ctx context.Context, l Ledger, report int64) (int64, error) {
	doc, err := l.Interview(ctx, 0, report)
	if err == nil {
		return doc.UserID, nil
	}
	if !IsMissing(err) {
		return 0, err
	}
	page, err := l.List(ctx, tasks.Filter{ReportID: report, Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(page.Jobs) == 0 {
		return 0, &MissingError{"there is neither an interview nor an evaluation with this report_id"}
	}
	return page.Jobs[0].UserID, nil
}

// Original reads the newest stored result of one kind in the platform's form, and
// where its job stands; nil when nothing of the kind was ever asked for.
func Original(ctx context.Context, l Ledger, kind tasks.Kind, user, report int64) (*Outcome, error) {
	return outcome(ctx, l, kind, user, report, true)
}

// IsMissing reports whether a job or an interview is not there.
func IsMissing(err error) bool {
	return errors.Is(err, tasks.ErrNotFound) || tasks.ClassOf(err) == tasks.ClassInterviewMissing
}

// outcome is nil when nothing of the kind was ever asked for.
func outcome(ctx context.Context, l Ledger, kind tasks.Kind, user, report int64, original bool) (*Outcome, error) {
	newest, err := l.Find(ctx, kind, user, report)
	if errors.Is(err, tasks.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	source := newest
	if newest.Result == nil && newest.Revision > 1 {
		if source, err = lastResult(ctx, l, kind, user, report); err != nil {
			return nil, err
		}
	}
	newest.Result = nil
	out := &Outcome{Job: Of(newest)}
	if source.Result == nil {
		return out, nil
	}
	out.Judge, out.Revision, out.Result = source.Judge, source.Revision, source.Result
	if original {
		if out.Result, err = render(ctx, l, source); err != nil {
			return nil, fmt.Errorf("view: render the result of %q: %w", source.ID, err)
		}
	}
	return out, nil
}

// lastResult finds the newest revision that has a result; a zero job when none
// has.
func lastResult(ctx context.Context, l Ledger, kind tasks.Kind, user, report int64) (tasks.Job, error) {
	page, err := l.List(ctx, tasks.Filter{Kind: kind, UserID: user, ReportID: report, State: tasks.Succeeded, Limit: 1})
	if err != nil || len(page.Jobs) == 0 {
		return tasks.Job{}, err
	}
	return l.Get(ctx, page.Jobs[0].ID)
}

// schemas are those of evalq's own results.
var schemas = map[tasks.Kind]string{tasks.KindEvaluationReport: evaluation.ReportSchema, tasks.KindTopicEvaluation: evaluation.TopicSchema}

// render puts a result into the platform's form; nil when it cannot be. What the
// answers were is not in a result: it comes from the interview as it is stored now.
func render(ctx context.Context, l Ledger, j tasks.Job) (json.RawMessage, error) {
	var made struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(j.Result, &made); err != nil || made.Schema != schemas[j.Kind] {
		return foreign(j.Kind, j.Result), nil
	}
	if j.Kind == tasks.KindEvaluationReport {
		var r evaluation.Report
		if err := json.Unmarshal(j.Result, &r); err != nil {
			return nil, err
		}
		return json.Marshal(evaluation.OriginalReport(&r))
	}
	var t evaluation.TopicEvaluation
	if err := json.Unmarshal(j.Result, &t); err != nil {
		return nil, err
	}
	doc, err := l.Interview(ctx, 0, j.ReportID)
	if err != nil && !IsMissing(err) {
		return nil, err
	}
	return json.Marshal(evaluation.OriginalAnswerReport(&t, doc))
}
