package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"evalq/tasks"
)

// House is what an operator may have done to the ledger as a whole. Who is on
// record for it, before anything is done.
type House interface {
	// Purge removes the jobs that finished before then and what belongs to them.
	// Dry counts and changes nothing. An answer that is not Done wants to be asked
	// again.
	Purge(ctx context.Context, before time.Time, dry bool, who string) (tasks.Removed, error)
	// Erase removes everything of a user, in the same manner.
	Erase(ctx context.Context, userID int64, dry bool, who string) (tasks.Removed, error)
	// Backfill looks at one page of the interviews and submits those that were
	// answered and have no result. An answer with Next wants to be asked again, with
	// that as the cursor. A bad cursor is a *tasks.InvalidError.
	Backfill(ctx context.Context, ask tasks.Backfill, who string) (tasks.Backfilled, error)
	// Quarantine lists what could not be read, newest first; with all, what was
	// settled too. It also counts the open ones.
	Quarantine(ctx context.Context, all bool, limit int) (entries []tasks.Quarantined, open int, err error)
	// Replay submits an entry that came over the bridge, as it is read now. UserID
	// and reportID, when not 0, name its true ids.
	Replay(ctx context.Context, id, userID, reportID int64, who string) (tasks.Job, error)
	// Discard settles an entry without more.
	Discard(ctx context.Context, id int64, who string) error
	// Backup gives a copy of the ledger as it is at one moment, and its length.
	// The caller closes it. tasks.ErrConflict when this is not the way to copy it.
	Backup(ctx context.Context, who string) (copy io.ReadCloser, size int64, err error)
}

// ErrRedisAway says that a House could not reach Redis.
var ErrRedisAway = errors.New("redis does not answer, and it has tasks to remove; ask again when it does")

const (
	adminPath  = "/v1/admin/"
	backupType = "application/vnd.sqlite3"
)

// Purge documents the body of a purge.
type Purge struct {
	Before time.Time `json:"before" doc:"What finished before this time goes; it lies in the past."`
	DryRun bool      `json:"dry_run,omitempty" doc:"Count and change nothing."`
}

// Erasure documents the body of an erasure.
type Erasure struct {
	UserID int64 `json:"user_id" minimum:"1" doc:"Whose data goes."`
	DryRun bool  `json:"dry_run,omitempty" doc:"Count and change nothing."`
}

type removedAnswer struct{ Body tasks.Removed }

// Connections counts the HTTP connections of a process.
type Connections struct {
	Open    int   `json:"open" doc:"Connections at this moment."`
	Limit   int   `json:"limit" doc:"How many there may be."`
	Refused int64 `json:"refused" doc:"Connections and requests for which there was no room."`
	Evicted int64 `json:"evicted" doc:"Connections that waited for their client and were closed to make room for others."`
	Slow    int64 `json:"slow" doc:"Connections closed because their client did not read the answer in time."`
}

type connectionsAnswer struct{ Body Connections }

func (a *API) routeAdmin() {
	if a.cfg.House == nil {
		return
	}
	const again = " The answer counts what was removed; while `done` is false there is more: ask again. Operators only; on the audit log."
	route(a, endpoint{
		id: "purge", method: http.MethodPost, path: adminPath + "purge", tag: tagAdmin,
		summary: "Remove what finished long ago",
		text:    "Jobs that finished before a time, whatever their end, with their results, history, checkpoints and tasks in Redis; then interviews that no job is left of and that have not changed since." + again,
		body:    Purge{},
		success: map[int]string{http.StatusOK: "What was removed, or would be."}, errors: []int{400, 413, 415, 422, 503},
	}, a.purge)
	route(a, endpoint{
		id: "erase", method: http.MethodPost, path: adminPath + "erase", tag: tagAdmin,
		summary: "Remove everything of one user",
		text:    "Jobs, results, history, checkpoints, interviews, and tasks in Redis. Unfinished jobs are cancelled; running ones are asked to stop, and gone once they have." + again,
		body:    Erasure{},
		success: map[int]string{http.StatusOK: "What was removed, or would be."}, errors: []int{400, 413, 415, 422, 503},
	}, a.erase)
	if a.cfg.Connections != nil {
		route(a, endpoint{
			id: "connections", method: http.MethodGet, path: adminPath + "connections", tag: tagAdmin,
			summary: "Count the connections of this process", text: "What is open now, and what was closed or refused since the process started.",
			success: map[int]string{http.StatusOK: "The counts."},
		}, func(context.Context, *struct{}) (*connectionsAnswer, error) {
			return &connectionsAnswer{a.cfg.Connections()}, nil
		})
	}
	a.routeBackfill()
	a.routeQuarantine()
	backup := endpoint{
		id: "backup", method: http.MethodPost, path: adminPath + "backup", tag: tagAdmin,
		summary: "Copy the ledger", text: "A SQLite file with the ledger as it is at one moment. One copy at a time. Operators only; on the audit log.",
		success: map[int]string{http.StatusOK: "The copy."}, errors: []int{409, 503}, usual: http.StatusOK,
	}
	route(a, backup, a.backup)
	a.huma.OpenAPI().Paths[backup.path].Post.Responses["200"].Content = map[string]*huma.MediaType{
		backupType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}
}

func (a *API) purge(ctx context.Context, _ *struct{}) (*removedAnswer, error) {
	f, err := readFields(request(ctx), "before", "dry_run")
	if err != nil {
		return nil, err
	}
	before, dry := f.time("before"), f.truth("dry_run")
	switch {
	case len(f.wrong) > 0:
	case before.IsZero():
		f.fail("before", errors.New("before: missing; give a time such as 2030-01-31T08:00:00Z"))
	case before.After(a.cfg.Now()):
		f.fail("before", errors.New("before: must lie in the past"))
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	out, err := a.cfg.House.Purge(ctx, before.UTC(), dry, a.cfg.Who(ctx))
	return &removedAnswer{out}, err
}

func (a *API) erase(ctx context.Context, _ *struct{}) (*removedAnswer, error) {
	f, err := readFields(request(ctx), "user_id", "dry_run")
	if err != nil {
		return nil, err
	}
	user, dry := f.id("user_id"), f.truth("dry_run")
	if err := f.err(); err != nil {
		return nil, err
	}
	out, err := a.cfg.House.Erase(ctx, user, dry, a.cfg.Who(ctx))
	return &removedAnswer{out}, err
}

// readFields reads a body that is an object with those fields.
func readFields(r *http.Request, known ...string) (*fields, error) {
	return readObject(r, false, known...)
}

// readOptional is readFields of a body that may be left out.
func readOptional(r *http.Request, known ...string) (*fields, error) {
	return readObject(r, true, known...)
}

func readObject(r *http.Request, optional bool, known ...string) (*fields, error) {
	data, err := readBody(r, optional)
	if err != nil {
		return nil, err
	}
	raw := map[string]json.RawMessage{}
	if data != nil {
		if raw, err = object(data, known...); err != nil {
			return nil, err
		}
	}
	return &fields{where: "body", get: func(name string) (json.RawMessage, bool) { v, ok := raw[name]; return v, ok }}, nil
}

func (a *API) backup(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	content, size, err := a.cfg.House.Backup(ctx, a.cfg.Who(ctx))
	switch {
	case errors.Is(err, tasks.ErrConflict):
		return nil, problemf(http.StatusConflict, "%s", innermost(err, tasks.ErrConflict))
	case errors.Is(err, tasks.ErrUnavailable), errors.Is(err, context.Canceled):
		return nil, err
	case err != nil:
		a.cfg.Logger.ErrorContext(ctx, "a backup could not be made", "instance", instance(ctx), "err", err)
		return nil, problemf(http.StatusServiceUnavailable, "the copy could not be made; the server's log says why under this instance")
	}
	name := "evalq-" + a.cfg.Now().UTC().Format("20060102T150405Z") + ".db"
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer content.Close()
		h.SetHeader("Content-Type", backupType)
		h.SetHeader("Content-Length", strconv.FormatInt(size, 10))
		h.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
		h.SetStatus(http.StatusOK)
		if _, err := io.Copy(h.BodyWriter(), content); err != nil {
			a.cfg.Logger.WarnContext(ctx, "a backup was cut off", "instance", instance(ctx), "err", err)
			// An answer that is shorter than announced is not taken for whole.
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// innermost is the text of the error that says itself to be one of kind, without
// what was being done around it.
func innermost(err, kind error) string {
	text := err.Error()
	for ; err != nil && err != kind; err = errors.Unwrap(err) {
		text = err.Error()
	}
	return text
}
