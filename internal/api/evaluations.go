package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"evalq/internal/view"
	"evalq/tasks"
)

const evaluationsPath = "/v1/evaluations"

func location(id string) string { return evaluationsPath + "/" + id }

type jobAnswer struct {
	Status   int
	Location string `header:"Location" doc:"Where the job is."`
	Body     Job
}

type jobBody struct{ Body Job }

type jobQuery struct {
	ID   string `path:"id" doc:"The job's id: 24 lower-case letters and digits."`
	Wait string `query:"wait" doc:"Answer when the job has finished, or after this long, such as 30s; at most 60s." example:"30s"`
}

type listQuery struct {
	Kind     string        `query:"kind" doc:"Only this kind."`
	State    stateParam    `query:"state" doc:"Only jobs in this state."`
	Priority priorityParam `query:"priority" doc:"Only this queue."`
	UserID   idParam       `query:"user_id" doc:"Only this user's."`
	ReportID idParam       `query:"report_id" doc:"Only of this interview."`
	Class    string        `query:"class" doc:"Only jobs whose newest failure is of this class."`
	Limit    limitParam    `query:"limit" doc:"Jobs a page; 50 when left out."`
	Cursor   string        `query:"cursor" doc:"The next of the page before."`
}

// JobPage is one page of jobs.
type JobPage struct {
	Jobs []Job  `json:"jobs" nullable:"false"`
	Next string `json:"next" doc:"Pass it as cursor for the next page; empty on the last."`
}

type listAnswer struct{ Body JobPage }

type findQuery struct {
	Kind     string  `query:"kind" required:"true" doc:"The kind."`
	UserID   idParam `query:"user_id" required:"true" doc:"Whose."`
	ReportID idParam `query:"report_id" required:"true" doc:"Of which interview."`
}

func (a *API) routeEvaluations() {
	route(a, endpoint{
		id: "submit", method: http.MethodPost, path: evaluationsPath, tag: tagEvaluations,
		summary: "Submit an evaluation",
		text: "Answers after the ledger has committed. What exists already is returned; a dead job is revived; " +
			"an interview that has changed since starts the next revision. Of a job that is under way the earlier time and the more urgent queue win, " +
			"and changed names what was brought forward: run_at, priority. Safe to repeat.",
		body: Submission{}, usual: http.StatusAccepted,
		success: map[int]string{
			http.StatusAccepted: "Accepted: a new job, the next revision, or a revived one.",
			http.StatusOK:       "It exists already; changed names what was brought forward.",
		},
		errors: []int{400, 413, 415, 422, 503},
	}, a.submit)
	route(a, endpoint{
		id: "list", method: http.MethodGet, path: evaluationsPath, tag: tagEvaluations,
		summary: "List jobs", text: "Newest first, without data and results. A page holds at most about 1 MiB, so it may end before its limit; next is then not empty.",
		success: map[int]string{http.StatusOK: "One page."}, errors: []int{400, 422, 503},
	}, a.list)
	route(a, endpoint{
		id: "get", method: http.MethodGet, path: evaluationsPath + "/{id}", tag: tagEvaluations,
		summary: "Read a job", text: "With its result once it has succeeded. ?wait= makes it a long poll.",
		success: map[int]string{http.StatusOK: "The job."}, errors: []int{400, 404, 422, 503},
	}, a.get)
	route(a, endpoint{
		id: "find", method: http.MethodGet, path: "/v1/find", tag: tagEvaluations,
		summary: "Find the newest job", text: "The newest revision for a kind, user and interview, with its result.",
		success: map[int]string{http.StatusOK: "The job."}, errors: []int{400, 404, 422, 503},
	}, a.find)
}

// kindCheck refuses requests for kinds that are not accepted.
type kindCheck func(context.Context, tasks.Request) error

// note puts a kind that is not accepted among the fields that are wrong. The error is
// that of a ledger which cannot be asked.
func (c kindCheck) note(ctx context.Context, f *fields, r tasks.Request) error {
	err := c(ctx, r)
	if isInvalid(err) {
		f.fail("kind", err)
		return nil
	}
	return err
}

func (a *API) submit(ctx context.Context, _ *struct{}) (*jobAnswer, error) {
	data, err := readBody(request(ctx), false)
	if err != nil {
		return nil, err
	}
	r, err := decode(ctx, data, a.ledger.KindCheck())
	if err != nil {
		return nil, err
	}
	j, created, err := a.ledger.Accept(ctx, r, a.cfg.Who(ctx))
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if created {
		status = http.StatusAccepted
	}
	return &jobAnswer{Status: status, Location: location(j.ID), Body: view.Of(j)}, nil
}

func (a *API) get(ctx context.Context, q *jobQuery) (*jobBody, error) {
	if err := jobID(q.ID); err != nil {
		return nil, err
	}
	wait, err := a.wait(q.Wait)
	if err != nil {
		return nil, err
	}
	var j tasks.Job
	if wait > 0 {
		j, err = a.ledger.Wait(ctx, q.ID, wait)
	} else {
		j, err = a.ledger.Get(ctx, q.ID)
	}
	if err != nil {
		return nil, err
	}
	return &jobBody{view.Of(j)}, nil
}

// wait reads ?wait=. Longer than the server allows is cut, as the caller asks
// again anyway.
func (a *API) wait(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, badFields(FieldError{"query.wait", "wait: must be a duration such as 30s"})
	}
	return min(d, a.cfg.MaxWait), nil
}

func (a *API) find(ctx context.Context, q *findQuery) (*jobBody, error) {
	f := &fields{where: "query"}
	kind := tasks.Kind(q.Kind)
	check, asked := kindCheck(a.ledger.KindCheck()), tasks.Request{Payload: tasks.NewPayload(kind, 1, 1, nil)}
	if kind.Validate() != nil {
		if err := check.note(ctx, f, asked); err != nil {
			return nil, err
		}
	}
	user, report := queryID(f, "user_id", q.UserID, true), queryID(f, "report_id", q.ReportID, true)
	if err := f.err(); err != nil {
		return nil, err
	}
	j, err := a.ledger.Find(ctx, kind, user, report)
	if errors.Is(err, tasks.ErrNotFound) { // a kind that no worker handles any more may have jobs
		if away := check.note(ctx, f, asked); away != nil {
			return nil, away
		}
		if unknown := f.err(); unknown != nil {
			return nil, unknown
		}
	}
	if err != nil {
		return nil, err
	}
	return &jobBody{view.Of(j)}, nil
}

func (a *API) list(ctx context.Context, q *listQuery) (*listAnswer, error) {
	filter, err := a.filter(q)
	if err != nil {
		return nil, err
	}
	page, err := a.ledger.List(ctx, filter)
	if isInvalid(err) { // only the ledger can tell whether a cursor is one of its own
		return nil, badFields(FieldError{"query.cursor", errCursor.Error()})
	}
	if err != nil {
		return nil, err
	}
	return &listAnswer{JobPage{Jobs: view.All(page.Jobs), Next: page.Next}}, nil
}

func (a *API) filter(q *listQuery) (tasks.Filter, error) {
	f := &fields{where: "query"}
	out := tasks.Filter{
		Kind: tasks.Kind(q.Kind), State: tasks.State(q.State), Priority: tasks.Priority(q.Priority),
		Class: tasks.Class(q.Class), Cursor: q.Cursor,
	}
	if out.Kind != "" { // a kind that is no longer configured may still have jobs
		if out.Kind.Validate() != nil {
			f.fail("kind", errKind)
		}
	}
	if out.State != "" && !out.State.Valid() {
		f.fail("state", fmt.Errorf("state: must be one of %s", joined(tasks.States())))
	}
	if out.Priority != "" && out.Priority.Validate() != nil {
		f.fail("priority", errPriority)
	}
	if out.Class != "" && !out.Class.Valid() {
		f.fail("class", fmt.Errorf("class: must be one of %s", joined(tasks.Classes())))
	}
	out.UserID, out.ReportID = queryID(f, "user_id", q.UserID, false), queryID(f, "report_id", q.ReportID, false)
	out.Limit = readLimit(f, q.Limit)
	if len(out.Cursor) > 200 {
		f.fail("cursor", errCursor)
	}
	return out, f.err()
}

// readLimit answers 0 when none is given.
func readLimit(f *fields, p limitParam) int {
	if p == "" {
		return 0
	}
	n, err := strconv.Atoi(string(p))
	if err != nil || n < 1 || n > 500 {
		f.fail("limit", errLimit)
	}
	return n
}

func joined[S ~string](all []S) string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// queryID reads an id of the query; without required it may be absent.
func queryID(f *fields, name string, p idParam, required bool) int64 {
	if p == "" && !required {
		return 0
	}
	id, err := parseID(name, string(p))
	if err != nil {
		f.fail(name, err)
	}
	return id
}
