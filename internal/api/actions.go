package api

import (
	"context"
	"encoding/json"
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
		summary: "Run a job again", text: "From dead, cancelled, retrying, held or queued, at once and with a fresh budget. What was finished is kept.",
		body: Reason{}, bodyOptional: true,
		success: map[int]string{http.StatusOK: "The job, waiting to run."}, errors: []int{400, 404, 409, 413, 415, 422, 503},
	}, func(ctx context.Context, p *jobPath) (*jobAnswer, error) {
		return a.act(ctx, p.ID, "retried", a.ledger.Retry)
	})
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
		return a.act(ctx, p.ID, "cancelled", a.ledger.Cancel)
	})
}

type action func(ctx context.Context, id, who, why string) (tasks.Job, error)

func (a *API) act(ctx context.Context, id, done string, do action) (*jobAnswer, error) {
	if err := jobID(id); err != nil {
		return nil, err
	}
	why, err := readReason(request(ctx))
	if err != nil {
		return nil, err
	}
	j, err := do(ctx, id, a.cfg.Who(ctx), why)
	if errors.Is(err, tasks.ErrConflict) {
		return nil, a.inTheWay(ctx, id, done, err)
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

// inTheWay words a conflict by the state that the job is in.
func (a *API) inTheWay(ctx context.Context, id, done string, conflict error) error {
	j, err := a.ledger.Get(ctx, id)
	if err != nil {
		return conflict
	}
	return problemf(http.StatusConflict, "the job is %s and cannot be %s", j.State, done)
}

func readReason(r *http.Request) (string, error) {
	data, err := readBody(r, true)
	if err != nil || data == nil {
		return "", err
	}
	raw, err := object(data, "why")
	if err != nil {
		return "", err
	}
	f := &fields{where: "body", get: func(name string) (json.RawMessage, bool) { v, ok := raw[name]; return v, ok }}
	why := f.text("why", "a string of at most 500 characters")
	if len([]rune(why)) > 500 {
		f.fail("why", errWhy)
	}
	return why, f.err()
}
