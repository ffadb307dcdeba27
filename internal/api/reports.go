package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

type reportQuery struct {
	ReportID idParam    `path:"report_id" doc:"The interview's id."`
	UserID   idParam    `query:"user_id" doc:"Whose. Left out, it is the owner of the interview, or of the newest job."`
	Shape    shapeParam `query:"shape" doc:"native (report/1 and answer-eval/1) or original, the two shapes that the platform's pages read."`
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

type reportAnswer struct{ Body ReportAnswer }

func (a *API) routeReports() {
	route(a, endpoint{
		id: "report", method: http.MethodGet, path: "/v1/reports/{report_id}", tag: tagReports,
		summary: "Read the results of an interview",
		text:    "The newest stored results of both kinds, and where their jobs stand. It reads only: submit to have something evaluated.",
		success: map[int]string{http.StatusOK: "What is stored."}, errors: []int{400, 404, 422, 503},
	}, a.report)
}

func (a *API) report(ctx context.Context, q *reportQuery) (*reportAnswer, error) {
	f := &fields{where: "query"}
	user := queryID(f, "user_id", q.UserID, false)
	if q.Shape != "" && q.Shape != shapeNative && q.Shape != shapeOriginal {
		f.fail("shape", errors.New("shape: must be native or original"))
	}
	report, err := pathID("report_id", q.ReportID)
	if err == nil {
		err = f.err()
	}
	if err != nil {
		return nil, err
	}
	if user == 0 {
		if user, err = a.owner(ctx, report); err != nil {
			return nil, err
		}
	}
	out := &reportAnswer{ReportAnswer{ReportID: report, UserID: user}}
	if out.Body.EvaluationReport, err = a.outcome(ctx, tasks.KindEvaluationReport, user, report, q.Shape); err != nil {
		return nil, err
	}
	if out.Body.TopicEvaluation, err = a.outcome(ctx, tasks.KindTopicEvaluation, user, report, q.Shape); err != nil {
		return nil, err
	}
	if out.Body.EvaluationReport == nil && out.Body.TopicEvaluation == nil {
		return nil, problemf(http.StatusNotFound, "no evaluation of this interview was ever asked for; POST /v1/evaluations asks for one")
	}
	return out, nil
}

// owner finds whose the interview is: a job that names the wrong user must not
// hide the right one's result, so the interview goes before the jobs.
func (a *API) owner(ctx context.Context, report int64) (int64, error) {
	doc, err := a.ledger.Interview(ctx, 0, report)
	if err == nil {
		return doc.UserID, nil
	}
	if !isMissing(err) {
		return 0, err
	}
	page, err := a.ledger.List(ctx, tasks.Filter{ReportID: report, Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(page.Jobs) == 0 {
		return 0, problemf(http.StatusNotFound, "there is neither an interview nor an evaluation with this report_id")
	}
	return page.Jobs[0].UserID, nil
}

// outcome is nil when nothing of the kind was ever asked for.
func (a *API) outcome(ctx context.Context, kind tasks.Kind, user, report int64, shape shapeParam) (*Outcome, error) {
	newest, err := a.ledger.Find(ctx, kind, user, report)
	if errors.Is(err, tasks.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	source := newest
	if newest.Result == nil && newest.Revision > 1 {
		if source, err = a.lastResult(ctx, kind, user, report); err != nil {
			return nil, err
		}
	}
	newest.Result = nil
	out := &Outcome{Job: view(newest)}
	if source.Result == nil {
		return out, nil
	}
	out.Judge, out.Revision = source.Judge, source.Revision
	out.Result, err = a.render(ctx, source, shape)
	return out, err
}

// lastResult finds the newest revision that has a result; a zero job when none
// has.
func (a *API) lastResult(ctx context.Context, kind tasks.Kind, user, report int64) (tasks.Job, error) {
	page, err := a.ledger.List(ctx, tasks.Filter{Kind: kind, UserID: user, ReportID: report, State: tasks.Succeeded, Limit: 1})
	if err != nil || len(page.Jobs) == 0 {
		return tasks.Job{}, err
	}
	return a.ledger.Get(ctx, page.Jobs[0].ID)
}

// render puts a stored result into the shape that was asked for.
func (a *API) render(ctx context.Context, j tasks.Job, shape shapeParam) (json.RawMessage, error) {
	if shape != shapeOriginal {
		return j.Result, nil
	}
	out, err := a.original(ctx, j)
	if err != nil {
		return nil, fmt.Errorf("api: render the result of %q: %w", j.ID, err)
	}
	return json.Marshal(out)
}

// original gives a result in the platform's form. What the answers were is not
// in a result: it comes from the interview as it is stored now.
func (a *API) original(ctx context.Context, j tasks.Job) (any, error) {
	if j.Kind == tasks.KindEvaluationReport {
		var r evaluation.Report
		if err := json.Unmarshal(j.Result, &r); err != nil {
			return nil, err
		}
		return evaluation.OriginalReport(&r), nil
	}
	var t evaluation.TopicEvaluation
	if err := json.Unmarshal(j.Result, &t); err != nil {
		return nil, err
	}
	doc, err := a.ledger.Interview(ctx, 0, j.ReportID)
	if err != nil && !isMissing(err) {
		return nil, err
	}
	return evaluation.OriginalAnswerReport(&t, doc), nil
}
