// Package client submits evaluations to evalq and reads what became of them.
//
//	c, err := client.Open(ctx, "http://127.0.0.1:8080", nil)
//	job, err := c.Submit(ctx, tasks.EvaluationReport{UserID: 7, ReportID: 42})
//	job, err = c.Wait(ctx, job.ID)
//
// A nil error of Submit means that the job is committed: it outlives the
// process that submitted it, evalq itself and Redis. Submitting is safe to
// repeat, since a job is known by its kind, user and report.
//
// The URL says how evalq is reached:
//
//   - http:// and https:// speak to a server of evalq, and can do everything.
//   - postgres:// and mysql:// speak to the ledger's own database, and can do
//     everything too, also while no server runs, but for Purge, Erase, Backfill
//     and Backup, which concern more than the ledger: [ErrNeedsServer]. [Client.SubmitTx] submits as a
//     part of the caller's transaction, when the ledger is in the caller's
//     database. The schema has to be there and of this version of evalq, else the
//     error is [ErrOlderLedger] or [ErrNewerLedger].
//   - redis://, rediss:// and unix:// put an Asynq task straight into Redis,
//     from where a worker takes it over into the ledger. Until then the task is
//     as durable as that Redis. Only submitting works; the other methods return
//     [ErrNeedsLedger].
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"evalq/internal/ledger/migration"
	"evalq/tasks"
)

var (
	// ErrNeedsLedger: the method needs the URL of a server or of the ledger's
	// database, because a Redis URL only reaches the tasks and not the ledger.
	ErrNeedsLedger = errors.New("this needs an http://, https://, postgres:// or mysql:// URL of evalq; a Redis URL can only submit")
	// ErrOlderLedger: the database has no ledger yet, or one of an older version
	// of evalq. A server of this version makes or updates it when it starts.
	ErrOlderLedger = migration.ErrOlder
	// ErrNewerLedger: a newer version of evalq has changed the ledger. Build this
	// program with that version.
	ErrNewerLedger = migration.ErrNewer
	// ErrUnauthorized: the server refuses the token, or the token may not do
	// this.
	ErrUnauthorized = errors.New("not authorised")
	// ErrClosed: the Client was closed. What a call that was under way then has done
	// is unknown.
	ErrClosed = errors.New("the client is closed")
)

// Client is safe for concurrent use. Make one with Open: the methods of the zero
// value return errors.
type Client struct {
	side   side    // nil with a Redis URL
	queue  *queue  // set with a Redis URL
	direct *direct // the side, with the URL of a database
	life   *life
}

// side is how a ledger is reached: through a server, or in its database.
type side interface {
	submit(ctx context.Context, r tasks.Request) (tasks.Job, error)
	submitMany(ctx context.Context, requests []tasks.Request) ([]tasks.Accepting, error)
	get(ctx context.Context, id string) (tasks.Job, error)
	find(ctx context.Context, kind tasks.Kind, userID, reportID int64) (tasks.Job, error)
	wait(ctx context.Context, id string) (tasks.Job, error)
	list(ctx context.Context, f tasks.Filter) (tasks.Page, error)
	retry(ctx context.Context, id string, how tasks.RetryOptions, why string) (tasks.Job, error)
	cancel(ctx context.Context, id, why string) (tasks.Job, error)
	attempts(ctx context.Context, id string) ([]tasks.Attempt, error)
	events(ctx context.Context, id string) ([]tasks.Event, error)
	putInterview(ctx context.Context, reportID int64, doc json.RawMessage) (changed bool, err error)
	report(ctx context.Context, reportID int64) (json.RawMessage, error)
	close() error
}

// Open reads the URL. A Redis server or a database must answer now; an HTTP
// server need not run yet, since each call waits for it. Of a database it keeps
// up to ten connections. The error never has a part of a password in it.
func Open(ctx context.Context, rawURL string, cfg *Config) (*Client, error) {
	if ctx == nil {
		return nil, fmt.Errorf("client: open: %w", errNilContext)
	}
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	scheme, _, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, errors.New("client: the URL must begin with http://, https://, postgres://, mysql://, redis://, rediss:// or unix://")
	}
	switch s := strings.ToLower(scheme); s {
	case "http", "https":
		r, err := newREST(rawURL, c)
		if err != nil {
			return nil, err
		}
		return &Client{side: r, life: newLife()}, nil
	case "redis", "rediss", "unix", "redis-socket":
		q, err := openQueue(ctx, rawURL, c)
		if err != nil {
			return nil, err
		}
		return &Client{queue: q, life: newLife()}, nil
	case "mysql", "postgres", "postgresql":
		d, err := openDirect(ctx, s, s+rawURL[len(s):], c)
		if err != nil {
			return nil, err
		}
		return &Client{side: d, direct: d, life: newLife()}, nil
	case "sqlite":
		return nil, errors.New("client: a SQLite ledger belongs to the one process that serves it: give that one's http:// URL")
	default:
		return nil, errors.New("client: the URL's scheme is not known: use http, https, postgres, mysql, redis, rediss or unix")
	}
}

// Close ends calls under way with ErrClosed, as it does all later ones, and releases
// connections. It may be called again.
func (c *Client) Close() error {
	if c == nil || c.life == nil {
		return nil
	}
	return c.life.close(func() error {
		if c.queue != nil {
			return c.queue.close()
		}
		return c.side.close()
	})
}

// ledger gives the side that can do everything, and the context of one call.
func (c *Client) ledger(ctx context.Context, doing string) (context.Context, context.CancelFunc, side, error) {
	ctx, done, err := c.begin(ctx, doing)
	if err != nil {
		return nil, nil, nil, err
	}
	if c.side == nil {
		done()
		return nil, nil, nil, fmt.Errorf("client: %s: %w", doing, ErrNeedsLedger)
	}
	return ctx, done, c.side, nil
}

// Submit asks for an evaluation and returns its job, new or existing. A dead
// job is revived; an interview that has changed since it was evaluated starts
// the next revision. Of a job that is under way the earlier time and the more
// urgent queue win, and Job.Changed names what this submission brought forward.
//
// Errors: *tasks.InvalidError for bad input, and for a kind that the ledger does not
// know unless [NewKind] is given; tasks.ErrUnavailable when nothing
// was accepted within Config.Timeout; tasks.ErrOutcomeUnknown when it may have
// been. Repeating is safe after all of them.
//
// With a Redis URL the job has no ID and revision yet: it gets them when a
// worker takes the task over. Every kind is taken: one that no worker handles waits
// in the ledger then. A task that still waits for the same kind, user,
// report and data stands for this submission too.
func (c *Client) Submit(ctx context.Context, payload tasks.Payload, opts ...Option) (tasks.Job, error) {
	ctx, done, err := c.begin(ctx, "submit")
	if err != nil {
		return tasks.Job{}, err
	}
	defer done()
	r, err := requestOf(payload, opts)
	if err != nil {
		return tasks.Job{}, fmt.Errorf("client: submit: %w", err)
	}
	if c.queue != nil {
		return c.queue.submit(ctx, r)
	}
	return c.side.submit(ctx, r)
}

// SubmitMany submits each request for itself, in pieces that a server takes,
// and answers in their order. One that is invalid does not keep the others
// back: its Err says so. The error is that of the first piece that could not be
// sent, if any; the requests of such a piece and of those after it have it as
// their Err.
func (c *Client) SubmitMany(ctx context.Context, requests []tasks.Request) ([]tasks.Accepting, error) {
	ctx, done, err := c.begin(ctx, "submit many")
	if err != nil {
		return nil, err
	}
	defer done()
	if c.queue != nil {
		return c.queue.submitMany(ctx, requests)
	}
	return c.side.submitMany(ctx, requests)
}

// Get reads a job, with its result once it has succeeded. tasks.ErrNotFound
// when there is none.
func (c *Client) Get(ctx context.Context, id string) (tasks.Job, error) {
	ctx, done, r, err := c.ledger(ctx, "get")
	if err != nil {
		return tasks.Job{}, err
	}
	defer done()
	return r.get(ctx, id)
}

// Find reads the newest revision for a kind, user and report: what a page needs
// that shows a result or how far it is. tasks.ErrNotFound when nothing was ever
// submitted.
func (c *Client) Find(ctx context.Context, kind tasks.Kind, userID, reportID int64) (tasks.Job, error) {
	ctx, done, r, err := c.ledger(ctx, "find")
	if err != nil {
		return tasks.Job{}, err
	}
	defer done()
	return r.find(ctx, kind, userID, reportID)
}

// Wait returns the job once it is finished: succeeded, skipped, dead or
// cancelled, which its State tells; a dead job is no error here. It keeps
// asking while the server restarts or cannot be reached, and ends early only
// with ctx, when there is no such job, or when it is not authorised.
func (c *Client) Wait(ctx context.Context, id string) (tasks.Job, error) {
	ctx, done, r, err := c.ledger(ctx, "wait")
	if err != nil {
		return tasks.Job{}, err
	}
	defer done()
	return r.wait(ctx, id)
}

// List reads one page of jobs, newest first, without results and without the data
// of their payloads; Get has both. A page may hold fewer jobs than f.Limit while
// Next is not empty, since its size in bytes is bounded too.
func (c *Client) List(ctx context.Context, f tasks.Filter) (tasks.Page, error) {
	ctx, done, r, err := c.ledger(ctx, "list")
	if err != nil {
		return tasks.Page{}, err
	}
	defer done()
	return r.list(ctx, f)
}

// All goes through all jobs that f selects, page by page. It ends after the
// first error.
func (c *Client) All(ctx context.Context, f tasks.Filter) iter.Seq2[tasks.Job, error] {
	return func(yield func(tasks.Job, error) bool) {
		for {
			page, err := c.List(ctx, f)
			if err != nil {
				yield(tasks.Job{}, err)
				return
			}
			for _, j := range page.Jobs {
				if !yield(j, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			f.Cursor = page.Next
		}
	}
}

// Retry runs a job again at once, with a fresh budget; what was finished is
// kept, unless DropSteps says otherwise. tasks.ErrConflict when it is running, or
// has succeeded and EvaluateAnew is not given. Why is kept with the event and may
// be empty. The job returned is the one that runs: with EvaluateAnew, the next
// revision.
func (c *Client) Retry(ctx context.Context, id, why string, opts ...RetryOption) (tasks.Job, error) {
	ctx, done, r, err := c.ledger(ctx, "retry")
	if err != nil {
		return tasks.Job{}, err
	}
	defer done()
	var how tasks.RetryOptions
	for i, o := range opts {
		if o == nil {
			return tasks.Job{}, fmt.Errorf("client: retry: %w", &tasks.InvalidError{Err: fmt.Errorf("option %d of %d is nil", i+1, len(opts))})
		}
		o(&how)
	}
	return r.retry(ctx, id, how, why)
}

// Cancel stops a job. One that runs is asked to stop, and the job returned says
// so in CancelAsk. tasks.ErrConflict when it has succeeded or is dead. Why is
// kept with the event and may be empty.
func (c *Client) Cancel(ctx context.Context, id, why string) (tasks.Job, error) {
	ctx, done, r, err := c.ledger(ctx, "cancel")
	if err != nil {
		return tasks.Job{}, err
	}
	defer done()
	return r.cancel(ctx, id, why)
}

// Attempts reads every try at a job, oldest first.
func (c *Client) Attempts(ctx context.Context, id string) ([]tasks.Attempt, error) {
	ctx, done, r, err := c.ledger(ctx, "attempts")
	if err != nil {
		return nil, err
	}
	defer done()
	return r.attempts(ctx, id)
}

// Events reads every move of a job, oldest first.
func (c *Client) Events(ctx context.Context, id string) ([]tasks.Event, error) {
	ctx, done, r, err := c.ledger(ctx, "events")
	if err != nil {
		return nil, err
	}
	defer done()
	return r.events(ctx, id)
}

// PutInterview stores an interview, a JSON document that the server's /docs
// describes; jobs that wait for it go on. Changed is false when the same was
// stored already.
func (c *Client) PutInterview(ctx context.Context, reportID int64, doc json.RawMessage) (changed bool, err error) {
	ctx, done, r, err := c.ledger(ctx, "put interview")
	if err != nil {
		return false, err
	}
	defer done()
	return r.putInterview(ctx, reportID, doc)
}

// Report reads the newest stored results of both kinds for an interview,
// together with where their jobs stand. It never starts an evaluation.
func (c *Client) Report(ctx context.Context, reportID int64) (json.RawMessage, error) {
	ctx, done, r, err := c.ledger(ctx, "report")
	if err != nil {
		return nil, err
	}
	defer done()
	return r.report(ctx, reportID)
}
