package api

import (
	"context"
	"errors"
	"net/http"

	"evalq/internal/view"
	"evalq/tasks"
)

type jobPath struct {
	ID string `path:"id" doc:"The job's id."`
}

// Reason documents the body of an action; it may be left out.
type Reason struct {
	Why string `json:"why,omitempty" maxLength:"500" doc:"Kept with the event."`
}

// Retry documents the body of a retry; it may be left out.
type Retry struct {
	Reason
	Anew      bool `json:"anew,omitempty" doc:"Evaluate a job anew that has succeeded or was skipped: its next revision is accepted and uses no kept step, neither the job's own nor an answer that is kept for all jobs of the report. The result stays until the next one is there. A dead or cancelled job runs again itself without its kept steps. Safe to repeat: while that revision is unfinished, it is the answer."`
	DropSteps bool `json:"drop_steps,omitempty" doc:"Run the job again without the steps that are kept: each is paid for again."`
}

// AttemptList is every try at a job, oldest first.
type AttemptList struct {
	Attempts []tasks.Attempt `json:"attempts" nullable:"false"`
}

// EventList is every move of a job, oldest first.
type EventList struct {
	Events []tasks.Event `json:"events" nullable:"false"`
}

type (
	attemptsAnswer struct{ Body AttemptList }
	eventsAnswer   struct{ Body EventList }
)

func (a *API) routeActions() {
	route(a, endpoint{
		id: "attempts", method: http.MethodGet, path: evaluationsPath + "/{id}/attempts", tag: tagEvaluations,
		summary: "Read a job's attempts", text: "Each with its worker, duration and error, oldest first.",
		success: map[int]string{http.StatusOK: "The attempts."}, errors: []int{400, 404, 422, 503},
	}, func(ctx context.Context, p *jobPath) (*attemptsAnswer, error) {
		if err := jobID(p.ID); err != nil {
			return nil, err
		}
		list, err := a.ledger.Attempts(ctx, p.ID)
		if list == nil {
			list = []tasks.Attempt{}
		}
		return &attemptsAnswer{AttemptList{list}}, err
	})
	route(a, endpoint{
		id: "events", method: http.MethodGet, path: evaluationsPath + "/{id}/events", tag: tagEvaluations,
		summary: "Read a job's moves", text: "When, who and why, oldest first.",
		success: map[int]string{http.StatusOK: "The events."}, errors: []int{400, 404, 422, 503},
	}, func(ctx context.Context, p *jobPath) (*eventsAnswer, error) {
		if err := jobID(p.ID); err != nil {
			return nil, err
		}
		list, err := a.ledger.Events(ctx, p.ID)
		if list == nil {
			list = []tasks.Event{}
		}
		return &eventsAnswer{EventList{list}}, err
	})
	route(a, endpoint{
		id: "retry", method: http.MethodPost, path: evaluationsPath + "/{id}/retry", tag: tagEvaluations,
		summary: "Run a job again", text: "From dead, cancelled, retrying, held or queued, at once and with a fresh budget. What was finished is kept, unless drop_steps is set. " +
			"With anew a job that has succeeded or was skipped is evaluated again, as its next revision.",
		body: Retry{}, bodyOptional: true,
		success: map[int]string{
			http.StatusOK:       "The job, waiting to run.",
			http.StatusAccepted: "The next revision, which evaluates the job anew.",
		},
		errors: []int{400, 404, 409, 413, 415, 422, 503},
	}, a.retry)
	route(a, endpoint{
		id: "cancel", method: http.MethodPost, path: evaluationsPath + "/{id}/cancel", tag: tagEvaluations,
		summary: "Cancel a job", text: "At once, unless it runs: then it is asked to stop. Safe to repeat.",
		body: Reason{}, bodyOptional: true,
		success: map[int]string{
			http.StatusOK:       "The job is cancelled.",
			http.StatusAccepted: "The job runs and was asked to stop.",
		},
		errors: []int{400, 404, 409, 413, 415, 422, 503},
	}, func(ctx context.Context, p *jobPath) (*jobAnswer, error) {
		return a.cancel(ctx, p.ID)
	})
}

func (a *API) retry(ctx context.Context, p *jobPath) (*jobAnswer, error) {
	if err := jobID(p.ID); err != nil {
		return nil, err
	}
	f, err := readOptional(request(ctx), "why", "anew", "drop_steps")
	if err != nil {
		return nil, err
	}
	why, how := f.why(), tasks.RetryOptions{NewRevision: f.truth("anew"), DropSteps: f.truth("drop_steps")}
	if err := f.err(); err != nil {
		return nil, err
	}
	j, err := a.ledger.RetryWith(ctx, p.ID, how, a.cfg.Who(ctx), why)
	if errors.Is(err, tasks.ErrConflict) {
		return nil, a.notRetried(ctx, p.ID, how, err)
	}
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if j.ID != p.ID {
		status = http.StatusAccepted
	}
	return &jobAnswer{Status: status, Location: location(j.ID), Body: view.Of(j)}, nil
}

// notRetried words a conflict by the state that the job is in, or its newest
// revision.
func (a *API) notRetried(ctx context.Context, id string, how tasks.RetryOptions, conflict error) error {
	j, err := a.ledger.Get(ctx, id)
	if err == nil && how.NewRevision {
		j, err = a.ledger.Find(ctx, j.Kind, j.UserID, j.ReportID)
	}
	switch {
	case err != nil:
		return conflict
	case how.NewRevision:
		return problemf(http.StatusConflict, "revision %d of the job, %s, is %s: only a finished job is evaluated anew, so wait for its end or cancel it", j.Revision, j.ID, j.State)
	case j.State == tasks.Succeeded, j.State == tasks.Skipped:
		return problemf(http.StatusConflict, "the job is %s and cannot be retried; with \"anew\": true it is evaluated again, as its next revision", j.State)
	}
	return inTheWay(j, "retried")
}

func (a *API) cancel(ctx context.Context, id string) (*jobAnswer, error) {
	if err := jobID(id); err != nil {
		return nil, err
	}
	f, err := readOptional(request(ctx), "why")
	if err != nil {
		return nil, err
	}
	why := f.why()
	if err := f.err(); err != nil {
		return nil, err
	}
	j, err := a.ledger.Cancel(ctx, id, a.cfg.Who(ctx), why)
	if errors.Is(err, tasks.ErrConflict) {
		if j, gerr := a.ledger.Get(ctx, id); gerr == nil {
			err = inTheWay(j, "cancelled")
		}
	}
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if j.CancelAsk && !j.State.Finished() {
		status = http.StatusAccepted
	}
	return &jobAnswer{Status: status, Location: location(j.ID), Body: view.Of(j)}, nil
}

// inTheWay is a conflict in words.
func inTheWay(j tasks.Job, done string) error {
	return problemf(http.StatusConflict, "the job is %s and cannot be %s", j.State, done)
}

// why reads the reason of an action.
func (f *fields) why() string {
	why := f.text("why", "a string of at most 500 characters")
	if len([]rune(why)) > 500 {
		f.fail("why", errWhy)
	}
	return why
}
