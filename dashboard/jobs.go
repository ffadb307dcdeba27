package dashboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"evalq/tasks"
)

const jobsPerPage = 50

// jobQuery is the filter as typed, kept in the page's address.
type jobQuery struct {
	Kind, State, Queue, User, Report, Class, Cursor string
	Wrong                                           string // what cannot be searched for
}

type jobsView struct {
	Query   jobQuery
	Kinds   []tasks.Kind
	States  []tasks.State
	Queues  []tasks.Priority
	Classes []tasks.Class
	Jobs    []tasks.Job
	Next    string   // address of the next page
	First   string   // address of the first page, on the others
	Revive  []string // ids of the dead and cancelled jobs shown
	Anew    []string // ids of the jobs shown that can be evaluated anew, when the filter asks for such
	Dead    bool     // all of Revive are dead
}

func (h *Handler) jobs(w http.ResponseWriter, r *http.Request) {
	query, filter := readQuery(r.URL.Query())
	v := jobsView{Query: query, Kinds: tasks.Kinds(), States: tasks.States(), Queues: tasks.Priorities(), Classes: tasks.Classes(), Dead: true}
	status := http.StatusOK
	if query.Wrong == "" {
		found, err := h.ledger.List(r.Context(), filter)
		var invalid *tasks.InvalidError
		switch {
		case errors.As(err, &invalid):
			v.Query.Wrong = err.Error()
		case err != nil:
			h.fail(w, r, err)
			return
		}
		v.show(found, h.prefix)
	}
	if v.Query.Wrong != "" {
		status = http.StatusUnprocessableEntity
	}
	h.render(w, r, status, "jobs", "Jobs", v)
}

func (v *jobsView) show(found tasks.Page, prefix string) {
	v.Jobs = found.Jobs
	address := prefix + "/jobs?"
	if found.Next != "" {
		v.Next = address + v.Query.values(found.Next).Encode()
	}
	if v.Query.Cursor != "" {
		v.First = address + v.Query.values("").Encode()
	}
	for _, job := range v.Jobs {
		if job.State == tasks.Dead || job.State == tasks.Cancelled {
			v.Revive = append(v.Revive, job.ID)
			v.Dead = v.Dead && job.State == tasks.Dead
		}
		if v.Query.State != "" && (job.State == tasks.Succeeded || job.State == tasks.Skipped) {
			v.Anew = append(v.Anew, job.ID)
		}
	}
}

// readQuery reads the filter out of an address. What cannot be searched for is
// named in Wrong.
func readQuery(q url.Values) (jobQuery, tasks.Filter) {
	text := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	query := jobQuery{
		Kind: text("kind"), State: text("state"), Queue: text("queue"), User: text("user"),
		Report: text("report"), Class: text("class"), Cursor: text("cursor"),
	}
	filter := tasks.Filter{
		Kind: tasks.Kind(query.Kind), State: tasks.State(query.State), Priority: tasks.Priority(query.Queue),
		Class: tasks.Class(query.Class), Limit: jobsPerPage, Cursor: query.Cursor,
	}
	var wrong []string
	note := func(bad bool, text string) {
		if bad {
			wrong = append(wrong, text)
		}
	}
	var badUser, badReport bool
	filter.UserID, badUser = searchID(query.User)
	filter.ReportID, badReport = searchID(query.Report)
	note(badUser, "the user must be a whole number from 1 to 9223372036854775807")
	note(badReport, "the report must be a whole number from 1 to 9223372036854775807")
	note(query.Kind != "" && filter.Kind.Validate() != nil, "a kind has lower-case letters, digits and underscores")
	note(query.State != "" && !filter.State.Valid(), "there is no such state")
	note(query.Queue != "" && filter.Priority.Validate() != nil, "there is no such queue")
	note(query.Class != "" && !filter.Class.Valid(), "there is no such class")
	query.Wrong = strings.Join(wrong, "; ")
	return query, filter
}

// searchID reads an id; an empty one selects all.
func searchID(s string) (id int64, bad bool) {
	if s == "" {
		return 0, false
	}
	id, err := tasks.ParseID("id", []byte(s))
	return id, err != nil
}

// values puts the filter back into an address.
func (q jobQuery) values(cursor string) url.Values {
	out := url.Values{}
	for name, value := range map[string]string{
		"kind": q.Kind, "state": q.State, "queue": q.Queue, "user": q.User, "report": q.Report, "class": q.Class, "cursor": cursor,
	} {
		if value != "" {
			out.Set(name, value)
		}
	}
	return out
}

// retryShown runs the jobs again that a page of the list showed.
func (h *Handler) retryShown(w http.ResponseWriter, r *http.Request) {
	how, why, ok := h.readRetry(w, r)
	if !ok {
		return
	}
	ids := r.PostForm["id"]
	if len(ids) == 0 || len(ids) > 500 {
		h.sayNo(w, r, http.StatusUnprocessableEntity, "give 1 to 500 jobs")
		return
	}
	for _, id := range ids {
		if !tasks.ValidID(id) {
			h.sayNo(w, r, http.StatusUnprocessableEntity, "one of the ids is not that of a job")
			return
		}
	}
	if !h.audited(w, r, "job.retry", fmt.Sprintf("%d jobs", len(ids)), strings.TrimSpace(how.Detail(why)+" "+strings.Join(ids, " "))) {
		return
	}
	n, err := h.retryEach(r.Context(), ids, how, actor(r), why)
	outcome := fmt.Sprintf("done: %d of %d jobs changed", n, len(ids))
	if aerr := h.audit(r.WithContext(context.WithoutCancel(r.Context())), "job.retry", fmt.Sprintf("%d jobs", len(ids)), outcome); aerr != nil {
		h.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, "the audit log lacks the outcome of an action", slog.String("action", "job.retry"), slog.Any("err", aerr))
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	deed := "retried"
	if n < len(ids) {
		deed = "partly"
	}
	h.done(w, r, deed, n)
}

// retryEach passes over jobs that have moved on meanwhile, and gives how many
// were handed over.
func (h *Handler) retryEach(ctx context.Context, ids []string, how tasks.RetryOptions, who, why string) (int, error) {
	var n atomic.Int64
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(bulkAtOnce)
	for _, id := range ids {
		work.Go(func() error {
			_, err := h.ledger.RetryWith(ctx, id, how, who, fromHere("run from the dashboard", why))
			switch {
			case errors.Is(err, tasks.ErrConflict), errors.Is(err, tasks.ErrNotFound):
				return nil
			case err == nil:
				n.Add(1)
			}
			return err
		})
	}
	err := work.Wait()
	return int(n.Load()), err
}

func number(id int64) string { return strconv.FormatInt(id, 10) }
