package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"evalq/tasks"
)

// Backfill documents the body of a backfill.
type Backfill struct {
	DryRun    bool   `json:"dry_run,omitempty" doc:"Count and change nothing."`
	UserID    int64  `json:"user_id,omitempty" minimum:"1" doc:"Only this user's interviews."`
	OlderThan string `json:"older_than,omitempty" default:"10m" doc:"An interview whose newest answer is younger is left to whoever is to submit it, such as 10m or 0s."`
	Limit     int    `json:"limit,omitempty" minimum:"1" doc:"The most interviews for which something is done. Without it, all that the answer looks at."`
	Cursor    string `json:"cursor,omitempty" doc:"The next of the answer before."`
}

// youngest is how old the newest answer of an interview is, unless the caller
// says otherwise.
const youngest = 10 * time.Minute

type backfilledAnswer struct{ Body tasks.Backfilled }

func (a *API) routeBackfill() {
	route(a, endpoint{
		id: "backfill", method: http.MethodPost, path: adminPath + "backfill", tag: tagAdmin,
		summary: "Submit what was answered and has no result",
		text: "Looks at one page of the interviews, in the order of their ids, for those in which something was answered and which have no result of a kind, or an empty one, and submits them with low priority. " +
			"Dead and cancelled jobs are left alone. A result that the ledger has and the platform's tables lack is written there again, and nothing is evaluated for it. " +
			"While the answer has `next`, ask again with that as the `cursor`. Operators only; what changes something is on the audit log.",
		body:    Backfill{},
		success: map[int]string{http.StatusOK: "What was found and done, or would be."}, errors: []int{400, 413, 415, 422, 503},
	}, a.backfill)
}

func (a *API) backfill(ctx context.Context, _ *struct{}) (*backfilledAnswer, error) {
	f, err := readFields(request(ctx), "dry_run", "user_id", "older_than", "limit", "cursor")
	if err != nil {
		return nil, err
	}
	ask := tasks.Backfill{DryRun: f.truth("dry_run"), OlderThan: f.span("older_than", youngest), Limit: f.count("limit"), Cursor: f.text("cursor", "the next of the answer before")}
	if _, ok := f.get("user_id"); ok {
		ask.UserID = f.id("user_id")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	out, err := a.cfg.House.Backfill(ctx, ask, a.cfg.Who(ctx))
	return &backfilledAnswer{out}, err
}

// span reads a length of time.
func (f *fields) span(name string, otherwise time.Duration) time.Duration {
	want := "a length of time such as 10m or 36h"
	s := f.text(name, want)
	if s == "" {
		return otherwise
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		f.fail(name, fmt.Errorf("%s: must be %s", name, want))
	}
	return d
}

// count reads a number of things; 0 when it is not there.
func (f *fields) count(name string) (n int) {
	if raw, ok := f.get(name); ok && (json.Unmarshal(raw, &n) != nil || n < 1) {
		f.fail(name, fmt.Errorf("%s: must be a whole number above 0", name))
	}
	return n
}
