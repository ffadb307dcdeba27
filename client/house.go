package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"evalq/tasks"
)

// ErrNeedsServer: the method needs a URL that begins with http:// or https://,
// because only a server reaches both the ledger and Redis.
var ErrNeedsServer = errors.New("this needs an http:// or https:// URL of evalq")

// server gives the side that keeps house.
func (c *Client) server(ctx context.Context, doing string) (context.Context, context.CancelFunc, *rest, error) {
	ctx, done, s, err := c.ledger(ctx, doing)
	if err != nil {
		return nil, nil, nil, err
	}
	r, ok := s.(*rest)
	if !ok {
		done()
		return nil, nil, nil, fmt.Errorf("client: %s: %w", doing, ErrNeedsServer)
	}
	return ctx, done, r, nil
}

// Purge removes what finished before then, as the server's /docs say, and comes
// back when all of it is gone or ctx ends; the counts so far come back with the
// error. With dryRun it only counts. It needs an operator's token. Repeating is
// safe.
func (c *Client) Purge(ctx context.Context, before time.Time, dryRun bool) (tasks.Removed, error) {
	ctx, done, r, err := c.server(ctx, "purge")
	if err != nil {
		return tasks.Removed{}, err
	}
	defer done()
	return r.remove(ctx, "purge", map[string]any{"before": before.UTC(), "dry_run": dryRun})
}

// Erase removes everything of a user: jobs, results, history, interviews, and
// tasks in Redis. Unfinished jobs are cancelled, and running ones waited for. It
// comes back when nothing is left or ctx ends, like Purge.
func (c *Client) Erase(ctx context.Context, userID int64, dryRun bool) (tasks.Removed, error) {
	ctx, done, r, err := c.server(ctx, "erase")
	if err != nil {
		return tasks.Removed{}, err
	}
	defer done()
	return r.remove(ctx, "erase", map[string]any{"user_id": userID, "dry_run": dryRun})
}

// Backfill submits, with low priority, the interviews in which something was
// answered and that have no result of a built-in kind, or an empty one. It goes
// through all interviews from ask.Cursor on, a page a request, and comes back at
// the end, when ask.Limit is reached, or when ctx ends; the counts so far, with
// where to go on, come back with the error. Dead and cancelled jobs are left
// alone. It needs an operator's token. Repeating is safe.
func (c *Client) Backfill(ctx context.Context, ask tasks.Backfill) (tasks.Backfilled, error) {
	ctx, done, r, err := c.server(ctx, "backfill")
	if err != nil {
		return tasks.Backfilled{}, err
	}
	defer done()
	return r.backfill(ctx, ask)
}

// Backup writes a copy of the server's ledger, a SQLite file, and answers how
// many bytes it has. The server begins to send when the copy is made, so only
// ctx bounds it. What was written before an error is of no use.
// tasks.ErrConflict when the ledger is in a database server, which is to be
// copied with its own tools, or when another copy is being made.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	ctx, done, r, err := c.server(ctx, "backup")
	if err != nil {
		return 0, err
	}
	defer done()
	if w == nil {
		return 0, fmt.Errorf("client: backup: %w", &tasks.InvalidError{Err: errors.New("the writer is nil")})
	}
	n, err := r.http.download(ctx, call{doing: "backup", method: http.MethodPost, path: "/v1/admin/backup"}, "application/vnd.sqlite3", w)
	if err != nil {
		return n, told(ctx, "backup", err)
	}
	return n, nil
}

// removeTurn is how long one answer of a removal may take. The server answers
// sooner and is asked again, but for a dry run, which has to see all.
const removeTurn = 5 * time.Minute

func (c *rest) remove(ctx context.Context, verb string, body map[string]any) (tasks.Removed, error) {
	var all tasks.Removed
	pause := firstPause
	for {
		var some tasks.Removed
		err := c.http.call(ctx, call{
			doing: verb, method: http.MethodPost, path: "/v1/admin/" + verb, repeatable: true, longer: removeTurn,
			body: body, into: &some,
		})
		if err != nil {
			return all, err
		}
		all = all.Plus(some)
		if all.Done {
			return all, nil
		}
		if !sleep(ctx, pause) {
			return all, fmt.Errorf("client: %s: it is not done: %w", verb, context.Cause(ctx))
		}
		pause = min(2*pause, longestWait)
	}
}

func (c *rest) backfill(ctx context.Context, ask tasks.Backfill) (tasks.Backfilled, error) {
	all, left := tasks.Backfilled{Next: ask.Cursor}, ask.Limit
	for {
		body := map[string]any{"dry_run": ask.DryRun, "older_than": ask.OlderThan.String()}
		if ask.UserID != 0 {
			body["user_id"] = ask.UserID
		}
		if ask.Limit != 0 {
			body["limit"] = left
		}
		if all.Next != "" {
			body["cursor"] = all.Next
		}
		var page tasks.Backfilled
		err := c.http.call(ctx, call{
			doing: "backfill", method: http.MethodPost, path: "/v1/admin/backfill", repeatable: true, longer: time.Minute,
			body: body, into: &page,
		})
		if err != nil {
			return all, err
		}
		all = all.Plus(page)
		left -= page.Interviews
		if all.Next == "" || ask.Limit != 0 && left <= 0 {
			return all, nil
		}
	}
}

// download makes one request whose answer is a file of that type.
func (t *transport) download(ctx context.Context, c call, kind string, w io.Writer) (int64, error) {
	r, err := t.request(ctx, c)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Accept", kind)
	resp, err := t.http.Do(r)
	if err != nil {
		return 0, t.unreached(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var text bytes.Buffer
		if _, err := io.CopyN(&text, resp.Body, maxProblem); err != nil && err != io.EOF {
			return 0, t.unreached(err)
		}
		return 0, refused(resp, text.Bytes())
	}
	if resp.Header.Get("Content-Type") != kind {
		return 0, fmt.Errorf("%s did not answer like a server of evalq (status %d): is the URL right?", t.base, resp.StatusCode)
	}
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return n, fmt.Errorf("after %d bytes: %w", n, err)
	}
	return n, nil
}

// maxProblem is far above what an answer with an error has.
const maxProblem = 1 << 20
