package api

import (
	"context"
	"errors"
	"net/http"

	"evalq/internal/view"
	"evalq/tasks"
)

const quarantinePath = adminPath + "quarantine"

// Quarantine is the answer that lists it.
type Quarantine struct {
	Entries []tasks.Quarantined `json:"entries" nullable:"false" doc:"Newest first. What was in them is not shown: it may be personal data."`
	Open    int                 `json:"open" doc:"How many nobody has dealt with."`
}

// Replay documents the body of a replay; it may be left out.
type Replay struct {
	UserID   int64 `json:"user_id,omitempty" minimum:"1" doc:"The true user, of a message whose id a float64 has changed."`
	ReportID int64 `json:"report_id,omitempty" minimum:"1" doc:"The true report, in the same way."`
}

// Discarded answers a discard.
type Discarded struct {
	ID int64 `json:"id"`
}

type (
	quarantineQuery struct {
		All   boolParam  `query:"all" doc:"true lists what was settled too."`
		Limit limitParam `query:"limit" doc:"Entries; 50 when left out."`
	}
	quarantinedPath struct {
		ID idParam `path:"id" doc:"The entry's id."`
	}
	quarantineAnswer struct{ Body Quarantine }
	discardedAnswer  struct{ Body Discarded }
)

func (a *API) routeQuarantine() {
	route(a, endpoint{
		id: "quarantine", method: http.MethodGet, path: quarantinePath, tag: tagAdmin,
		summary: "List what could not be read", text: "Tasks and messages that came in and were set aside, each with its reason.",
		success: map[int]string{http.StatusOK: "The entries."}, errors: []int{400, 422, 503},
	}, a.quarantine)
	route(a, endpoint{
		id: "replay", method: http.MethodPost, path: quarantinePath + "/{id}/replay", tag: tagAdmin,
		summary: "Try an entry again",
		text: "Reads what came over the bridge by the rules of this version, submits it and settles the entry. What still cannot be submitted stays, " +
			"and the answer is 422 with the reason. The body names the true ids of a message whose ids a float64 has changed. Operators only; on the audit log.",
		body: Replay{}, bodyOptional: true,
		success: map[int]string{http.StatusOK: "The job."}, errors: []int{400, 404, 409, 413, 415, 422, 503},
	}, a.replay)
	route(a, endpoint{
		id: "discard", method: http.MethodPost, path: quarantinePath + "/{id}/discard", tag: tagAdmin,
		summary: "Discard an entry", text: "Settles it and removes its bytes. Operators only; on the audit log.",
		success: map[int]string{http.StatusOK: "It is settled."}, errors: []int{400, 404, 422, 503},
	}, a.discard)
}

func (a *API) quarantine(ctx context.Context, q *quarantineQuery) (*quarantineAnswer, error) {
	f := fields{where: "query"}
	limit := readLimit(&f, q.Limit)
	switch q.All {
	case "", "true", "false":
	default:
		f.fail("all", errAll)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = 50
	}
	entries, open, err := a.cfg.House.Quarantine(ctx, q.All == "true", limit)
	if entries == nil {
		entries = []tasks.Quarantined{}
	}
	return &quarantineAnswer{Quarantine{entries, open}}, err
}

var errNoEntry = errors.New("there is no open entry of this id in the quarantine; it may have been settled")

// noEntry says of which thing it is that there is none.
func noEntry(err error) error {
	if errors.Is(err, tasks.ErrNotFound) {
		return errNoEntry
	}
	return err
}

// entryID reads the id in the path. What has not the form does not exist.
func entryID(p idParam) (int64, error) {
	id, err := parseID("id", string(p))
	if err != nil {
		return 0, errNoEntry
	}
	return id, nil
}

func (a *API) replay(ctx context.Context, p *quarantinedPath) (*jobAnswer, error) {
	id, err := entryID(p.ID)
	if err != nil {
		return nil, err
	}
	var user, report int64
	f, err := readOptional(request(ctx), "user_id", "report_id")
	if err != nil {
		return nil, err
	}
	for name, to := range map[string]*int64{"user_id": &user, "report_id": &report} {
		if _, given := f.get(name); given {
			*to = f.id(name)
		}
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	j, err := a.cfg.House.Replay(ctx, id, user, report, a.cfg.Who(ctx))
	if err != nil {
		return nil, noEntry(err)
	}
	return &jobAnswer{Status: http.StatusOK, Location: location(j.ID), Body: view.Of(j)}, nil
}

func (a *API) discard(ctx context.Context, p *quarantinedPath) (*discardedAnswer, error) {
	id, err := entryID(p.ID)
	if err != nil {
		return nil, err
	}
	return &discardedAnswer{Discarded{id}}, noEntry(a.cfg.House.Discard(ctx, id, a.cfg.Who(ctx)))
}
