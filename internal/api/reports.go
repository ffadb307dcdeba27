package api

import (
	"context"
	"errors"
	"net/http"

	"evalq/internal/view"
)

type reportQuery struct {
	ReportID idParam    `path:"report_id" doc:"The interview's id."`
	UserID   idParam    `query:"user_id" doc:"Whose. Left out, it is the owner of the interview, or of the newest job."`
	Shape    shapeParam `query:"shape" doc:"native (report/1 and answer-eval/1) or original, the two shapes that the platform's pages read."`
}

// ReportAnswer is what is stored about an interview.
type ReportAnswer = view.ReportAnswer

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
	out, err := view.Report(ctx, a.ledger, report, user, q.Shape == shapeOriginal)
	if err != nil {
		return nil, err
	}
	return &reportAnswer{out}, nil
}
