package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"evalq/internal/evaluation"
	"evalq/internal/view"
	"evalq/tasks"
)

const interviewsPath = "/v1/interviews/{report_id}"

type interviewPath struct {
	ReportID idParam `path:"report_id" doc:"The interview's id."`
}

// StoredInterview answers a PUT.
type StoredInterview struct {
	ReportID int64  `json:"report_id"`
	Hash     string `json:"hash" doc:"Identifies the content; a changed one starts the next revision of an evaluation."`
	Changed  bool   `json:"changed" doc:"False when the same content was stored already."`
}

type storedAnswer struct {
	Status   int
	Location string `header:"Location" doc:"Where the interview is."`
	Body     StoredInterview
}

type interviewAnswer struct{ Body evaluation.Interview }

func (a *API) routeInterviews() {
	route(a, endpoint{
		id: "putInterview", method: http.MethodPut, path: interviewsPath, tag: tagInterviews,
		summary: "Store an interview",
		text: "Replaces what was stored under the id. Jobs that wait for it go on. The body's report_id may be left out; " +
			"when given, it must be that of the address. Safe to repeat.",
		body: InterviewBody{},
		success: map[int]string{
			http.StatusCreated: "Stored, for the first time.",
			http.StatusOK:      "Stored; there was one before.",
		},
		errors: []int{400, 409, 413, 415, 422, 503},
	}, a.putInterview)
	route(a, endpoint{
		id: "getInterview", method: http.MethodGet, path: interviewsPath, tag: tagInterviews,
		summary: "Read an interview", text: "As it is stored.",
		success: map[int]string{http.StatusOK: "The interview."}, errors: []int{400, 404, 422, 503},
	}, a.getInterview)
}

func (a *API) putInterview(ctx context.Context, p *interviewPath) (*storedAnswer, error) {
	report, err := pathID("report_id", p.ReportID)
	if err != nil {
		return nil, err
	}
	doc, err := readInterview(request(ctx), report)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if _, err := a.ledger.Interview(ctx, 0, report); view.IsMissing(err) {
		status = http.StatusCreated
	}
	changed, err := a.ledger.PutInterview(ctx, doc, a.cfg.Who(ctx))
	if errors.Is(err, tasks.ErrConflict) {
		return nil, problemf(http.StatusConflict, "this report_id belongs to another user_id")
	}
	if err != nil {
		return nil, err
	}
	return &storedAnswer{
		Status: status, Location: fmt.Sprintf("/v1/interviews/%d", report),
		Body: StoredInterview{ReportID: report, Hash: doc.Hash(), Changed: changed},
	}, nil
}

// readInterview reads the body as the interview with the address's id.
func readInterview(r *http.Request, report int64) (evaluation.Interview, error) {
	var none evaluation.Interview
	data, err := readBody(r, false)
	if err != nil {
		return none, err
	}
	doc, err := evaluation.ParseInterviewOf(report, data)
	var form *evaluation.FormError
	switch {
	case errors.As(err, &form):
		return none, malformed(err)
	case err != nil:
		return none, inBody(err)
	}
	return doc, nil
}

func (a *API) getInterview(ctx context.Context, p *interviewPath) (*interviewAnswer, error) {
	report, err := pathID("report_id", p.ReportID)
	if err != nil {
		return nil, err
	}
	doc, err := a.ledger.Interview(ctx, 0, report)
	if err != nil {
		return nil, err
	}
	return &interviewAnswer{doc}, nil
}
