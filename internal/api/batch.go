package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"evalq/internal/view"
	"evalq/tasks"
)

const maxBatch = 1000

var errWhy = fmt.Errorf("why: must be a string of at most 500 characters")

// Batch documents the body of a batch.
type Batch struct {
	Requests []Submission `json:"requests" minItems:"1" maxItems:"1000" nullable:"false"`
}

// BatchResult answers one request of a batch.
type BatchResult struct {
	Job     *Job     `json:"job,omitempty" doc:"The job, unless there is an error."`
	Created *bool    `json:"created,omitempty" nullable:"false" doc:"False when it existed; changed of the job names what was brought forward. Absent when there is an error."`
	Error   *Problem `json:"error,omitempty" doc:"Why this one was not accepted."`
}

// BatchResults answers a batch in its order.
type BatchResults struct {
	Results []BatchResult `json:"results" nullable:"false"`
}

type batchAnswer struct{ Body BatchResults }

func (a *API) routeBatch() {
	route(a, endpoint{
		id: "submitMany", method: http.MethodPost, path: evaluationsPath + ":batch", tag: tagEvaluations,
		summary: "Submit up to 1000 evaluations",
		text:    "Each stands for itself: the answer says for each, in order, which job it is, without its data and result, or what is wrong with it. Safe to repeat.",
		body:    Batch{},
		success: map[int]string{http.StatusOK: "One result a request."},
		errors:  []int{400, 413, 415, 422},
	}, a.submitMany)
}

func (a *API) submitMany(ctx context.Context, _ *struct{}) (*batchAnswer, error) {
	data, err := readBody(request(ctx), false)
	if err != nil {
		return nil, err
	}
	raw, err := object(data, "requests")
	if err != nil {
		return nil, err
	}
	var items []json.RawMessage
	if json.Unmarshal(raw["requests"], &items) != nil || len(items) == 0 || len(items) > maxBatch {
		return nil, badFields(FieldError{"body.requests", fmt.Sprintf("requests: must be an array of 1 to %d submissions", maxBatch)})
	}
	out := make([]BatchResult, len(items))
	var good []tasks.Request
	var place []int // good[k] is items[place[k]]
	check := a.ledger.KindCheck()
	for i, item := range items {
		r, err := decode(ctx, item, check)
		if err != nil {
			out[i].Error = a.inBatch(ctx, i, err)
			continue
		}
		good, place = append(good, r), append(place, i)
	}
	if len(good) > 0 {
		for k, accepted := range a.ledger.AcceptMany(ctx, good, a.cfg.Who(ctx)) {
			if accepted.Err != nil {
				out[place[k]].Error = a.inBatch(ctx, place[k], accepted.Err)
				continue
			}
			job := view.Of(accepted.Job)
			job.Data, job.Result = nil, nil // of jobs that exist already they may be larger than any request
			out[place[k]] = BatchResult{Job: &job, Created: &accepted.Created}
		}
	}
	return &batchAnswer{BatchResults{out}}, nil
}

// inBatch is the problem of one request; its locations name its place.
func (a *API) inBatch(ctx context.Context, i int, err error) *Problem {
	p := *toProblem(err)
	p.Instance = fmt.Sprintf("%s:%d", instance(ctx), i)
	fields := make([]FieldError, len(p.Errors))
	for k, e := range p.Errors {
		fields[k] = FieldError{fmt.Sprintf("body.requests[%d]%s", i, e.Location[len("body"):]), e.Message}
	}
	p.Errors = fields
	if p.Status >= http.StatusInternalServerError {
		a.cfg.Logger.ErrorContext(ctx, "request failed", "instance", p.Instance, "err", err)
	}
	return &p
}
