package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"evalq/tasks"
)

// Quarantine lists what came in and could not be read, newest first, and counts
// what nobody has dealt with; with all, it lists what was settled too. It gives 500
// entries at most.
func (c *Client) Quarantine(ctx context.Context, all bool) (entries []tasks.Quarantined, open int, err error) {
	ctx, done, r, err := c.server(ctx, "quarantine")
	if err != nil {
		return nil, 0, err
	}
	defer done()
	var answer struct {
		Entries []tasks.Quarantined `json:"entries"`
		Open    int                 `json:"open"`
	}
	q := url.Values{"limit": {"500"}, "all": {strconv.FormatBool(all)}}
	err = r.http.call(ctx, call{doing: "quarantine", path: "/v1/admin/quarantine", query: q, repeatable: true, into: &answer})
	return answer.Entries, answer.Open, err
}

// Replay submits an entry of the quarantine that came over the bridge, and settles
// it. UserID and reportID, when not 0, name the true ids of a message whose ids a
// float64 has changed. A *tasks.InvalidError says why it still cannot be submitted;
// tasks.ErrNotFound that there is no such open entry; tasks.ErrConflict that its
// sender has to send it again. It needs an operator's token.
func (c *Client) Replay(ctx context.Context, id, userID, reportID int64) (job tasks.Job, err error) {
	ctx, done, r, err := c.server(ctx, "replay")
	if err != nil {
		return tasks.Job{}, err
	}
	defer done()
	body := map[string]int64{}
	for name, n := range map[string]int64{"user_id": userID, "report_id": reportID} {
		if n != 0 {
			body[name] = n
		}
	}
	// One that was done and is then asked for again would not be found.
	err = r.http.call(ctx, call{doing: "replay", method: http.MethodPost, path: quarantinePath(id, "replay"), body: body, into: &job})
	return job, err
}

// Discard settles an entry of the quarantine and removes its bytes. It needs an
// operator's token.
func (c *Client) Discard(ctx context.Context, id int64) error {
	ctx, done, r, err := c.server(ctx, "discard")
	if err != nil {
		return err
	}
	defer done()
	var answer struct{}
	return r.http.call(ctx, call{doing: "discard", method: http.MethodPost, path: quarantinePath(id, "discard"), into: &answer})
}

func quarantinePath(id int64, verb string) string {
	return "/v1/admin/quarantine/" + decimal(id) + "/" + verb
}
