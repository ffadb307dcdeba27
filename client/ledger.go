package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"evalq/internal/evaluation"
	"evalq/internal/ledger"
	"evalq/internal/ledger/mysql"
	"evalq/internal/ledger/postgres"
	"evalq/internal/view"
	"evalq/tasks"
)

// direct speaks to the ledger's database itself.
type direct struct {
	patience
	ledger *ledger.Ledger
	db     io.Closer
	who    string
	bell   bell
}

// openDirect opens a ledger that a server has made; it never makes or changes a
// schema itself.
func openDirect(ctx context.Context, scheme, rawURL string, cfg Config) (*direct, error) {
	d := &direct{patience: newPatience(cfg), who: "client"}
	if cfg.Name != "" {
		d.who += ":" + cfg.Name
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	conf := &ledger.Config{Build: build()}
	if scheme == "mysql" {
		db, err := mysql.Open(ctx, rawURL, false, conf)
		if err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
		d.ledger, d.db = db.Ledger, db
		return d, nil
	}
	db, err := postgres.Open(ctx, rawURL, false, conf)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	d.ledger, d.db, d.bell.ring = db.Ledger, db, db.Notify
	return d, nil
}

// build is the version of evalq in this program.
func build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == "evalq" && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	return "dev"
}

func (d *direct) close() error {
	d.bell.close()
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("client: close: %w", err)
	}
	return nil
}

// call runs do until its answer is one that repeating would not change.
func (d *direct) call(ctx context.Context, e errand, do func(context.Context) error) error {
	err := d.run(ctx, e, func(ctx context.Context) error { return fromLedger(do(ctx)) })
	if err == nil && !e.reads {
		d.bell.touch()
	}
	return err
}

// fromLedger marks what may be different next time.
func fromLedger(err error) error {
	f := &failure{kind: tasks.ErrUnavailable}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tasks.ErrOutcomeUnknown):
		f.kind = tasks.ErrOutcomeUnknown
	case errors.Is(err, tasks.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
	default:
		return err
	}
	f.text, f.refused = err.Error(), errors.Is(err, syscall.ECONNREFUSED)
	return f
}

func (d *direct) submit(ctx context.Context, r tasks.Request) (job tasks.Job, err error) {
	err = d.call(ctx, errand{doing: "submit", repeatable: true}, func(ctx context.Context) (err error) {
		job, _, err = d.ledger.Submit(ctx, r, d.who)
		return err
	})
	return job, err
}

func (d *direct) submitMany(ctx context.Context, requests []tasks.Request) ([]tasks.Accepting, error) {
	out := make([]tasks.Accepting, 0, len(requests))
	var failed error
	for piece := range slices.Chunk(requests, batchRequests) {
		answers := make([]tasks.Accepting, len(piece))
		for i, r := range piece {
			if err := r.Validate(); err != nil {
				answers[i].Err = &tasks.InvalidError{Err: err}
			}
		}
		if failed == nil {
			failed = d.call(ctx, errand{doing: "submit many", repeatable: true}, func(ctx context.Context) error {
				answers = d.ledger.SubmitMany(ctx, piece, d.who)
				return unanswered(answers)
			})
		}
		for i := range answers {
			if a := &answers[i]; failed != nil && (a.Err == nil && a.Job.ID == "" || passing(fromLedger(a.Err))) {
				a.Err = failed
			}
		}
		out = append(out, answers...)
	}
	return out, failed
}

// unanswered is the error of a request that might be answered next time.
func unanswered(answers []tasks.Accepting) error {
	for _, a := range answers {
		if passing(fromLedger(a.Err)) {
			return a.Err
		}
	}
	return nil
}

// ofJob runs do for a job's id, unless no job can be called so: a database may
// have an opinion of its own about such text.
func (d *direct) ofJob(ctx context.Context, e errand, id string, do func(context.Context) error) error {
	return d.call(ctx, e, func(ctx context.Context) error {
		if !tasks.ValidID(id) {
			return errNoJob
		}
		return do(ctx)
	})
}

var errNoJob = fmt.Errorf("job: %w", tasks.ErrNotFound)

func reading(doing string) errand { return errand{doing: doing, reads: true, repeatable: true} }

func (d *direct) get(ctx context.Context, id string) (job tasks.Job, err error) {
	err = d.ofJob(ctx, reading("get"), id, func(ctx context.Context) (err error) {
		job, err = d.ledger.Get(ctx, id)
		return err
	})
	return job, err
}

func (d *direct) find(ctx context.Context, kind tasks.Kind, userID, reportID int64) (job tasks.Job, err error) {
	err = d.call(ctx, reading("find"), func(ctx context.Context) (err error) {
		if err := (tasks.Request{Payload: tasks.NewPayload(kind, userID, reportID, nil)}).Validate(); err != nil {
			return &tasks.InvalidError{Err: err}
		}
		job, err = d.ledger.Find(ctx, kind, userID, reportID)
		return err
	})
	return job, err
}

// lookEvery is the longest pause between two looks at a job that is waited for:
// the process that ends it does not tell this one.
const lookEvery = time.Second

func (d *direct) wait(ctx context.Context, id string) (tasks.Job, error) {
	return d.patience.wait(ctx, lookEvery, func(ctx context.Context) (tasks.Job, error) {
		if !tasks.ValidID(id) {
			return tasks.Job{}, errNoJob
		}
		ctx, cancel := context.WithTimeout(ctx, d.timeout)
		defer cancel()
		job, err := d.ledger.Get(ctx, id)
		return job, fromLedger(err)
	})
}

func (d *direct) list(ctx context.Context, f tasks.Filter) (page tasks.Page, err error) {
	err = d.call(ctx, reading("list"), func(ctx context.Context) (err error) {
		page, err = d.ledger.List(ctx, f)
		return err
	})
	return page, err
}

func (d *direct) retry(ctx context.Context, id string, how tasks.RetryOptions, why string) (tasks.Job, error) {
	return d.act(ctx, errand{doing: "retry", repeatable: repeatableRetry}, id, why, how.Detail(why), func(ctx context.Context) (tasks.Job, error) {
		return d.ledger.RetryWith(ctx, id, how, d.who, why)
	})
}

func (d *direct) cancel(ctx context.Context, id, why string) (tasks.Job, error) {
	return d.act(ctx, errand{doing: "cancel", repeatable: true}, id, why, why, func(ctx context.Context) (tasks.Job, error) {
		return d.ledger.Cancel(ctx, id, d.who, why)
	})
}

// act is on the audit log before it is carried out, like the same act over HTTP.
func (d *direct) act(ctx context.Context, e errand, id, why, detail string, change func(context.Context) (tasks.Job, error)) (job tasks.Job, err error) {
	err = d.ofJob(ctx, e, id, func(ctx context.Context) (err error) {
		if !utf8.ValidString(why) || strings.ContainsRune(why, 0) || utf8.RuneCountInString(why) > 500 {
			return &tasks.InvalidError{Err: errors.New("why: must be at most 500 characters, in UTF-8 and without NUL")}
		}
		if err := d.ledger.Audit(ctx, tasks.AuditEntry{Who: d.who, Action: "job." + e.doing, Target: id, Detail: detail}); err != nil {
			return err
		}
		job, err = change(ctx)
		return err
	})
	return job, err
}

func (d *direct) attempts(ctx context.Context, id string) (list []tasks.Attempt, err error) {
	err = d.ofJob(ctx, reading("attempts"), id, func(ctx context.Context) (err error) {
		list, err = d.ledger.Attempts(ctx, id)
		return err
	})
	return list, err
}

func (d *direct) events(ctx context.Context, id string) (list []tasks.Event, err error) {
	err = d.ofJob(ctx, reading("events"), id, func(ctx context.Context) (err error) {
		list, err = d.ledger.Events(ctx, id)
		return err
	})
	return list, err
}

func (d *direct) putInterview(ctx context.Context, reportID int64, doc json.RawMessage) (changed bool, err error) {
	err = d.call(ctx, errand{doing: "put interview", repeatable: true}, func(ctx context.Context) error {
		in, err := evaluation.ParseInterviewOf(reportID, doc)
		if err != nil {
			return &tasks.InvalidError{Err: err}
		}
		changed, err = d.ledger.PutInterview(ctx, in, d.who)
		return err
	})
	return changed, err
}

func (d *direct) report(ctx context.Context, reportID int64) (doc json.RawMessage, err error) {
	err = d.call(ctx, reading("report"), func(ctx context.Context) error {
		if reportID < 1 {
			return &tasks.InvalidError{Err: errors.New("report_id: must be a whole number from 1 to 9223372036854775807")}
		}
		answer, err := view.Report(ctx, d.ledger, reportID, 0, false)
		if err != nil {
			return err
		}
		doc, err = json.Marshal(answer)
		return err
	})
	return doc, err
}
