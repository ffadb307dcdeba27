package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"evalq/internal/view"
	"evalq/tasks"
)

// Original reads results in the form of the platform's own two addresses.
type Original interface {
	// Owner is whose an interview is. Errors are those of package tasks.
	Owner(ctx context.Context, reportID int64) (int64, error)
	// Row is the stored result of a kind. Without one it is tasks.ErrNotFound.
	Row(ctx context.Context, kind tasks.Kind, userID, reportID int64) (OriginalRow, error)
}

// OriginalRow is a stored result. Comment and Score are of the comprehensive
// evaluation; List is its dimensions, or the records of the per-topic one.
type OriginalRow struct {
	ID                   int64 // 0 when it is in the ledger alone
	Comment              string
	Score                float64
	List                 json.RawMessage
	CreatedAt, UpdatedAt time.Time
}

// envelope is every answer of the platform's API.
type envelope struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
}

// originalHead is what both results begin with, and standing what they end with.
type originalHead struct {
	ID       int64 `json:"id"`
	UserID   int64 `json:"user_id"`
	ReportID int64 `json:"report_id"`
}

type standing struct {
	CreatedAt *time.Time     `json:"created_at"` // null while nothing is stored
	UpdatedAt *time.Time     `json:"updated_at"`
	State     tasks.State    `json:"state"`
	Sentence  *view.Sentence `json:"sentence"` // null unless something went wrong
}

type originalReport struct {
	originalHead
	Comment    string          `json:"comment"`
	Score      *float64        `json:"score"` // null while nothing is stored
	Dimensions json.RawMessage `json:"dimensions"`
	standing
}

type originalAnswers struct {
	originalHead
	Score   *float64        `json:"score"` // the mean of the records that have one; null without any
	Records json.RawMessage `json:"records"`
	Deleted int             `json:"deleted"`
	standing
}

// OriginalPrefixes begin the addresses of the original form, those of the platform
// and of a branch of it that moved them.
var OriginalPrefixes = []string{"/api/mianshi/", "/api/interview/"}

func (a *API) routeOriginal() {
	if a.cfg.Original == nil {
		return
	}
	for _, prefix := range OriginalPrefixes {
		a.mux.HandleFunc("GET "+prefix+"evaluation", func(w http.ResponseWriter, r *http.Request) { a.original(w, r, tasks.KindEvaluationReport) })
		a.mux.HandleFunc("GET "+prefix+"answer-record", func(w http.ResponseWriter, r *http.Request) { a.original(w, r, tasks.KindTopicEvaluation) })
	}
}

// original answers from what is stored, and 202 while that is nothing yet.
// Parameters that it does not know it leaves alone, as the platform does.
func (a *API) original(w http.ResponseWriter, r *http.Request, kind tasks.Kind) {
	f := &fields{where: "query"}
	user := queryID(f, "user_id", idParam(r.URL.Query().Get("user_id")), false)
	report := queryID(f, "report_id", idParam(r.URL.Query().Get("report_id")), true)
	if err := f.err(); err != nil {
		writeEnvelope(w, http.StatusBadRequest, envelope{Message: err.Error()})
		return
	}
	status, out, err := a.stored(r.Context(), kind, user, report)
	if err != nil {
		p := toProblem(err)
		if p.Status >= http.StatusInternalServerError {
			_ = a.answer(r, err) // which logs it
		}
		for name, values := range p.header {
			w.Header()[name] = values
		}
		status, out = p.Status, envelope{Message: p.Detail}
		if status == http.StatusServiceUnavailable { // the usual detail is about submissions
			out.Message = "this cannot be read at the moment; ask again"
		}
	}
	writeEnvelope(w, status, out)
}

func (a *API) stored(ctx context.Context, kind tasks.Kind, user, report int64) (status int, out envelope, err error) {
	if user == 0 {
		if user, err = a.cfg.Original.Owner(ctx, report); err != nil {
			return 0, out, err
		}
	}
	row, err := a.cfg.Original.Row(ctx, kind, user, report)
	nothing := errors.Is(err, tasks.ErrNotFound)
	if err != nil && !nothing {
		return 0, out, err
	}
	s := standing{State: tasks.Succeeded} // a row from before evalq
	job, err := a.ledger.Find(ctx, kind, user, report)
	switch {
	case errors.Is(err, tasks.ErrNotFound):
		if nothing {
			return 0, out, err
		}
	case err != nil:
		return 0, out, err
	default:
		s.State, s.Sentence = job.State, view.Of(job).Sentence
	}
	status, out.Message = http.StatusOK, "Success"
	var score *float64
	if nothing {
		status, out.Message = said(s)
		row.List = json.RawMessage("[]")
	} else {
		s.CreatedAt, s.UpdatedAt, score = noted(row.CreatedAt), noted(row.UpdatedAt), &row.Score
	}
	head := originalHead{row.ID, user, report}
	if kind == tasks.KindEvaluationReport {
		out.Data = originalReport{head, row.Comment, score, row.List, s}
	} else {
		out.Data = originalAnswers{head, meanScore(row.List), row.List, 0, s}
	}
	return status, out, nil
}

// meanScore has two decimals, as a report's score has. Rows from before evalq may
// have records of any form; those without a score do not count.
func meanScore(records json.RawMessage) *float64 {
	var list []json.RawMessage
	_ = json.Unmarshal(records, &list)
	sum, n := 0.0, 0
	for _, r := range list {
		var record struct {
			Comment struct {
				Score *float64 `json:"score"`
			} `json:"comment"`
		}
		if json.Unmarshal(r, &record) == nil && record.Comment.Score != nil {
			sum += *record.Comment.Score
			n++
		}
	}
	if n == 0 {
		return nil
	}
	mean := math.Round(100*sum/float64(n)) / 100
	return &mean
}

// noted is a time, null when nobody has noted it.
func noted(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// said tells of a job without a result: whether to ask again, and in a sentence
// why not.
func said(s standing) (status int, message string) {
	switch {
	case !s.State.Finished():
		return http.StatusAccepted, "Accepted; the evaluation is not finished"
	case s.Sentence != nil:
		return http.StatusOK, s.Sentence.En
	}
	return http.StatusOK, "The evaluation ended without a result: it is " + string(s.State)
}

func writeEnvelope(w http.ResponseWriter, status int, out envelope) {
	out.Code = status
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = writeJSON(w, out) // of our own types; the caller may be gone
}

// RefuseOriginal is Refuse at the addresses of the original form.
func RefuseOriginal(w http.ResponseWriter, r *http.Request, status int, detail string) {
	drain(w, r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="evalq"`)
	}
	writeEnvelope(w, status, envelope{Message: strings.TrimSpace(detail)})
}
