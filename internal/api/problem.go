package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"evalq/internal/view"
	"evalq/tasks"
)

// Problem is the body of every answer that is an error (RFC 9457).
type Problem struct {
	Type     string       `json:"type" format:"uri" doc:"Names the kind of problem; stable, for programs to compare." example:"urn:evalq:problem:not-found"`
	Title    string       `json:"title" doc:"The kind of problem in words." example:"Not found"`
	Status   int          `json:"status" doc:"The HTTP status." example:"404"`
	Detail   string       `json:"detail,omitempty" doc:"What is wrong here and what to do."`
	Instance string       `json:"instance,omitempty" format:"uri" doc:"Names this one occurrence, for looking it up in the server's log."`
	Errors   []FieldError `json:"errors,omitempty" doc:"Each field that is wrong."`
	header   http.Header
}

// FieldError names one field that is wrong.
type FieldError struct {
	Location string `json:"location" doc:"Where, such as body.user_id or query.limit." example:"body.user_id"`
	Message  string `json:"message" doc:"What is wrong with it. Never quotes a value."`
}

// Error is the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus tells huma the status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders tells huma the headers that go with the status.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType tells huma the media type of problem documents.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// kinds of problem, by status. OutcomeUnknown shares 503 and is told apart by
// its slug.
var problems = map[int]struct{ slug, title string }{
	http.StatusBadRequest:            {"malformed", "Malformed request"},
	http.StatusUnauthorized:          {"unauthenticated", "Sign-in needed"},
	http.StatusForbidden:             {"forbidden", "Not allowed"},
	http.StatusNotFound:              {"not-found", "Not found"},
	http.StatusMethodNotAllowed:      {"method-not-allowed", "Method not allowed"},
	http.StatusConflict:              {"conflict", "Not possible in this state"},
	http.StatusRequestEntityTooLarge: {"too-large", "Body too large"},
	http.StatusUnsupportedMediaType:  {"unsupported-media-type", "Wrong content type"},
	http.StatusUnprocessableEntity:   {"invalid", "Invalid value"},
	http.StatusTooManyRequests:       {"too-many-attempts", "Too many attempts"},
	http.StatusServiceUnavailable:    {"unavailable", "Unavailable for the moment"},
	http.StatusInternalServerError:   {"internal", "Internal error"},
}

const slugOutcomeUnknown = "outcome-unknown"

// statuses is the one table from errors to answers. The first row that matches
// holds; an error that matches none is 500. A row with a detail shows that
// instead of the error's own text, which may speak of internals.
var statuses = []struct {
	match  func(error) bool
	status int
	slug   string // when it is not the status's usual one
	detail string
	retry  bool
}{
	{match: isInvalid, status: http.StatusUnprocessableEntity},
	{match: is(tasks.ErrOutcomeUnknown), status: http.StatusServiceUnavailable, slug: slugOutcomeUnknown, detail: tasks.ErrOutcomeUnknown.Error(), retry: true},
	{match: is(ErrRedisAway), status: http.StatusServiceUnavailable, detail: ErrRedisAway.Error(), retry: true},
	{match: is(tasks.ErrUnavailable), status: http.StatusServiceUnavailable, detail: tasks.ErrUnavailable.Error(), retry: true},
	{match: isClass(tasks.ClassInterviewMissing), status: http.StatusNotFound, detail: "there is no interview for this report_id"},
	{match: isMissing, status: http.StatusNotFound},
	{match: is(errNoEntry), status: http.StatusNotFound, detail: errNoEntry.Error()},
	{match: is(tasks.ErrNotFound), status: http.StatusNotFound, detail: "there is no such evaluation, interview or report"},
	{match: is(tasks.ErrConflict), status: http.StatusConflict},
	{match: isClass(tasks.ClassWrongUser), status: http.StatusConflict, detail: "this report_id belongs to another user_id"},
	{match: isClass(tasks.ClassStorage), status: http.StatusServiceUnavailable, detail: tasks.ErrUnavailable.Error(), retry: true},
	{match: is(context.Canceled), status: http.StatusServiceUnavailable, detail: "this was cut off, as when the server is stopping; it is safe to ask again", retry: true},
	{match: is(context.DeadlineExceeded), status: http.StatusServiceUnavailable, detail: "this took too long; it is safe to ask again", retry: true},
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isClass(c tasks.Class) func(error) bool {
	return func(err error) bool { return tasks.ClassOf(err) == c }
}

// isMissing matches an error that says itself what is not there.
func isMissing(err error) bool {
	var missing *view.MissingError
	return errors.As(err, &missing)
}

func isInvalid(err error) bool {
	var invalid *tasks.InvalidError
	return errors.As(err, &invalid)
}

// toProblem gives the answer to an error. A Problem stays as it is.
func toProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	for _, row := range statuses {
		if !row.match(err) {
			continue
		}
		detail := row.detail
		if detail == "" {
			detail = err.Error()
		}
		p := problemf(row.status, "%s", detail)
		if row.slug != "" {
			p.Type = problemType(row.slug)
		}
		if row.retry {
			p.header = http.Header{"Retry-After": {"1"}}
		}
		return p
	}
	return problemf(http.StatusInternalServerError, "something went wrong here; the server's log says more under this instance")
}

func problemType(slug string) string { return "urn:evalq:problem:" + slug }

func problemf(status int, format string, args ...any) *Problem {
	p := &Problem{Status: status, Detail: fmt.Sprintf(format, args...)}
	if kind, ok := problems[status]; ok {
		p.Type, p.Title = problemType(kind.slug), kind.title
	} else { // as RFC 9457 has it for a problem that says no more than its status
		p.Type, p.Title = "about:blank", cmp.Or(http.StatusText(status), "Error")
	}
	return p
}

// badFields is the answer to values that are wrong. The detail repeats the
// first, for people who read no further.
func badFields(fields ...FieldError) *Problem {
	p := problemf(http.StatusUnprocessableEntity, "%s", fields[0].Message)
	p.Errors = fields
	return p
}

// inBody is the answer to err, which begins with the path of a field of the
// body when it is about one.
func inBody(err error) error {
	field, _, ok := strings.Cut(err.Error(), ": ")
	if name, notQuoted := strconv.Unquote(field); notQuoted == nil {
		field = name
	}
	if !ok || strings.ContainsAny(field, " \"") {
		return &tasks.InvalidError{Err: err}
	}
	return badFields(FieldError{"body." + field, err.Error()})
}

// Refuse answers a request that the caller's credentials do not allow, or not
// yet. Status is 401 or 403, or 429 or 503, in which case the caller of Refuse has
// set Retry-After; detail says what to do and quotes no credential.
func Refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="evalq"`)
	}
	drain(w, r)
	writeProblem(w, r, problemf(status, "%s", detail))
}

// writeProblem answers outside of huma.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	p.Instance = instance(r.Context())
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(p) // the caller may be gone
	}
}
