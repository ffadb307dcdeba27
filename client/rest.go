package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"evalq/tasks"
)

// A server takes at most this much in one batch; the bytes leave room for
// what stands around the requests.
const (
	batchRequests = 1000
	batchBytes    = 1<<20 - 4096
)

// rest speaks to a server.
type rest struct{ http transport }

func newREST(rawURL string, cfg Config) (*rest, error) {
	base, err := parseBase(rawURL)
	if err != nil {
		return nil, err
	}
	return &rest{newTransport(base, cfg)}, nil
}

func (c *rest) close() error {
	c.http.close()
	return nil
}

// submission is a request as the server reads it.
type submission struct {
	Kind     tasks.Kind      `json:"kind"`
	UserID   int64           `json:"user_id"`
	ReportID int64           `json:"report_id"`
	Priority tasks.Priority  `json:"priority,omitempty"`
	RunAt    time.Time       `json:"run_at,omitzero"`
	Anew     bool            `json:"anew,omitempty"`
	Passive  bool            `json:"passive,omitempty"`
	NewKind  bool            `json:"new_kind,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
}

func toSubmission(r tasks.Request) submission {
	s := submission{Kind: r.Payload.Kind(), Priority: r.Priority, RunAt: r.RunAt, Anew: r.Anew, Passive: r.Passive, NewKind: r.NewKind}
	s.UserID, s.ReportID = r.Payload.Subject()
	if custom, ok := r.Payload.(tasks.Custom); ok {
		s.Data = custom.Data
	}
	return s
}

func (c *rest) submit(ctx context.Context, r tasks.Request) (job tasks.Job, err error) {
	err = c.http.call(ctx, call{
		doing: "submit", method: http.MethodPost, path: "/v1/evaluations", repeatable: true,
		body: toSubmission(r), into: &job,
	})
	return job, err
}

func (c *rest) submitMany(ctx context.Context, requests []tasks.Request) ([]tasks.Accepting, error) {
	out := make([]tasks.Accepting, len(requests))
	var piece []json.RawMessage
	var place []int
	size := 0
	var failed error
	send := func() {
		if len(piece) == 0 {
			return
		}
		if failed == nil {
			failed = c.batch(ctx, piece, place, out)
		}
		for _, i := range place {
			if failed != nil && out[i].Err == nil && out[i].Job.ID == "" {
				out[i].Err = failed
			}
		}
		piece, place, size = nil, nil, 0
	}
	for i, r := range requests {
		if err := r.Validate(); err != nil {
			out[i].Err = &tasks.InvalidError{Err: err}
			continue
		}
		item, err := json.Marshal(toSubmission(r))
		if err != nil {
			out[i].Err = &tasks.InvalidError{Err: err}
			continue
		}
		if len(piece) == batchRequests || size+len(item) > batchBytes {
			send()
		}
		piece, place, size = append(piece, item), append(place, i), size+len(item)+1
	}
	send()
	return out, failed
}

// batch sends one piece; out[place[k]] gets the answer to piece[k].
func (c *rest) batch(ctx context.Context, piece []json.RawMessage, place []int, out []tasks.Accepting) error {
	var answer struct {
		Results []struct {
			Job     *tasks.Job `json:"job"`
			Created bool       `json:"created"`
			Error   *problem   `json:"error"`
		} `json:"results"`
	}
	err := c.http.call(ctx, call{
		doing: "submit many", method: http.MethodPost, path: "/v1/evaluations:batch", repeatable: true,
		body: map[string]any{"requests": piece}, into: &answer,
	})
	if err != nil {
		return err
	}
	if len(answer.Results) != len(piece) {
		return fmt.Errorf("client: submit many: the server answered %d of %d requests: %w", len(answer.Results), len(piece), tasks.ErrOutcomeUnknown)
	}
	for k, r := range answer.Results {
		switch {
		case r.Error != nil:
			out[place[k]].Err = r.Error.err()
		case r.Job != nil:
			out[place[k]] = tasks.Accepting{Job: *r.Job, Created: r.Created}
		default:
			out[place[k]].Err = tasks.ErrOutcomeUnknown
		}
	}
	return nil
}

func (c *rest) get(ctx context.Context, id string) (job tasks.Job, err error) {
	err = c.http.call(ctx, call{doing: "get", path: jobPath(id), repeatable: true, into: &job})
	return job, err
}

// wait makes each poll with a deadline of its own, so that a connection that
// died silently is noticed.
func (c *rest) wait(ctx context.Context, id string) (tasks.Job, error) {
	return c.http.wait(ctx, longestWait, func(ctx context.Context) (job tasks.Job, err error) {
		ctx, cancel := context.WithTimeout(ctx, pollFor+10*time.Second)
		defer cancel()
		err = c.http.once(ctx, call{
			path: jobPath(id), query: url.Values{"wait": {pollFor.String()}}, into: &job,
		})
		return job, err
	})
}

func jobPath(id string, more ...string) string {
	path := "/v1/evaluations/" + url.PathEscape(id)
	for _, m := range more {
		path += "/" + m
	}
	return path
}

func (c *rest) find(ctx context.Context, kind tasks.Kind, userID, reportID int64) (job tasks.Job, err error) {
	q := url.Values{"kind": {string(kind)}, "user_id": {decimal(userID)}, "report_id": {decimal(reportID)}}
	err = c.http.call(ctx, call{doing: "find", path: "/v1/find", query: q, repeatable: true, into: &job})
	return job, err
}

func decimal(id int64) string { return strconv.FormatInt(id, 10) }

func (c *rest) list(ctx context.Context, f tasks.Filter) (page tasks.Page, err error) {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" && value != "0" {
			q.Set(name, value)
		}
	}
	set("kind", string(f.Kind))
	set("state", string(f.State))
	set("priority", string(f.Priority))
	set("user_id", decimal(f.UserID))
	set("report_id", decimal(f.ReportID))
	set("class", string(f.Class))
	set("limit", strconv.Itoa(min(max(f.Limit, 0), 500)))
	set("cursor", f.Cursor)
	err = c.http.call(ctx, call{doing: "list", path: "/v1/evaluations", query: q, repeatable: true, into: &page})
	return page, err
}

// repeatableRetry: a retry that was done and then asked for again could meet a job
// that runs already, and would be told of a conflict; or one that has ended, and
// would have it evaluated once more.
const repeatableRetry = false

// retryBody is a retry as the server reads it.
type retryBody struct {
	Why       string `json:"why,omitempty"`
	Anew      bool   `json:"anew,omitempty"`
	DropSteps bool   `json:"drop_steps,omitempty"`
}

func (c *rest) retry(ctx context.Context, id string, how tasks.RetryOptions, why string) (job tasks.Job, err error) {
	var body any
	if how != (tasks.RetryOptions{}) || why != "" {
		body = retryBody{why, how.NewRevision, how.DropSteps}
	}
	err = c.http.call(ctx, call{
		doing: "retry", method: http.MethodPost, path: jobPath(id, "retry"), repeatable: repeatableRetry,
		body: body, into: &job,
	})
	return job, err
}

func (c *rest) cancel(ctx context.Context, id, why string) (job tasks.Job, err error) {
	var body any
	if why != "" {
		body = map[string]string{"why": why}
	}
	err = c.http.call(ctx, call{
		doing: "cancel", method: http.MethodPost, path: jobPath(id, "cancel"), repeatable: true,
		body: body, into: &job,
	})
	return job, err
}

func (c *rest) attempts(ctx context.Context, id string) ([]tasks.Attempt, error) {
	var answer struct {
		Attempts []tasks.Attempt `json:"attempts"`
	}
	err := c.http.call(ctx, call{doing: "attempts", path: jobPath(id, "attempts"), repeatable: true, into: &answer})
	return answer.Attempts, err
}

func (c *rest) events(ctx context.Context, id string) ([]tasks.Event, error) {
	var answer struct {
		Events []tasks.Event `json:"events"`
	}
	err := c.http.call(ctx, call{doing: "events", path: jobPath(id, "events"), repeatable: true, into: &answer})
	return answer.Events, err
}

func (c *rest) putInterview(ctx context.Context, reportID int64, doc json.RawMessage) (bool, error) {
	if !json.Valid(doc) { // else it could not be put into a request
		return false, fmt.Errorf("client: put interview: %w", &tasks.InvalidError{Err: fmt.Errorf("the interview is not JSON")})
	}
	var answer struct {
		Changed bool `json:"changed"`
	}
	err := c.http.call(ctx, call{
		doing: "put interview", method: http.MethodPut, path: "/v1/interviews/" + decimal(reportID), repeatable: true,
		body: doc, into: &answer,
	})
	return answer.Changed, err
}

func (c *rest) report(ctx context.Context, reportID int64) (doc json.RawMessage, err error) {
	err = c.http.call(ctx, call{doing: "report", path: "/v1/reports/" + decimal(reportID), repeatable: true, into: &doc})
	return doc, err
}
