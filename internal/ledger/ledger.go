// Package ledger is the truth about jobs: what was accepted, each attempt, each
// result. It speaks SQL through database/sql and imports no driver; a
// subpackage for each database opens it.
//
// Every method that changes something returns after its commit. Changes move a
// job along the table in tasks and leave an event row each. A write of an
// attempt carries a tasks.Fence and is refused once another attempt has taken
// over.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"evalq/tasks"
)

// Dialect holds the few words in which the databases differ.
type Dialect struct {
	Name  string // "sqlite"
	Begin string // opens a transaction that may write
	// OneOwner is set when the database belongs to one process, so that
	// attempts found running at the start belong to a process that is gone.
	OneOwner bool
}

// Config tunes a Ledger. The zero value works.
type Config struct {
	// Build is the program's version, written into every event. Defaults to
	// "dev".
	Build string
	// Policies overrides the policy table. Defaults to tasks.PolicyFor.
	Policies func(tasks.Kind) tasks.Policy
	// InterviewWait is how long a job waits for its interview. Defaults to 24
	// hours.
	InterviewWait time.Duration
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// Jitter gives the random part of a backoff, 0 ≤ r < 1. Defaults to
	// math/rand/v2.
	Jitter func() float64
}

func (c *Config) withDefaults() (Config, error) {
	out := Config{}
	if c != nil {
		out = *c
	}
	if out.Build == "" {
		out.Build = "dev"
	}
	if out.Policies == nil {
		out.Policies = tasks.PolicyFor
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Jitter == nil {
		out.Jitter = rand.Float64
	}
	if out.InterviewWait == 0 {
		out.InterviewWait = 24 * time.Hour
	}
	if out.InterviewWait < 0 {
		return out, fmt.Errorf("ledger: InterviewWait: %s is below zero", out.InterviewWait)
	}
	return out, nil
}

// Ledger is safe for concurrent use.
type Ledger struct {
	cfg     Config
	dialect Dialect
	w       *writer
	read    *sql.DB
	id      string
	notices notices
}

// New takes a database whose schema is up to date: write is used through one
// connection, read may be a pool. The ledger gives itself an id at the first
// start. It closes neither handle.
func New(ctx context.Context, write, read *sql.DB, d Dialect, cfg *Config) (*Ledger, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Ledger{cfg: c, dialect: d, w: newWriter(write, d.Begin), read: read}
	l.notices.init()
	if err := l.identify(ctx); err != nil {
		return nil, fmt.Errorf("ledger: identify: %w", err)
	}
	return l, nil
}

// identify reads the ledger's id, or gives it one.
func (l *Ledger) identify(ctx context.Context) error {
	return l.w.do(ctx, func(t *txn) error {
		found, err := t.row([]any{&l.id}, `SELECT value FROM evalq_meta WHERE name = 'ledger_id'`)
		if err != nil || found {
			return err
		}
		l.id = tasks.NewID(l.cfg.Now())
		_, err = t.exec(`INSERT INTO evalq_meta (name, value) VALUES ('ledger_id', ?)`, l.id)
		return err
	})
}

// ID names this ledger. Tasks carry it, so that another ledger's tasks on the
// same Redis are told apart.
func (l *Ledger) ID() string { return l.id }

// Close waits for the writes under way and refuses new ones with
// tasks.ErrUnavailable. It does not close the database handles.
func (l *Ledger) Close() { l.w.close() }

// Ready reports whether the ledger can commit, by committing. It needs as much
// room on disk as any other write.
func (l *Ledger) Ready(ctx context.Context) error {
	return l.w.do(ctx, func(t *txn) error {
		now := fmt.Sprint(l.cfg.Now().UnixNano())
		res, err := t.exec(`UPDATE evalq_meta SET value = ? WHERE name = 'ready_at'`, now)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		_, err = t.exec(`INSERT INTO evalq_meta (name, value) VALUES ('ready_at', ?)`, now)
		return err
	})
}

func (l *Ledger) now() time.Time { return l.cfg.Now().UTC().Truncate(time.Millisecond) }

// ms and at convert between times and the columns' milliseconds.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

var errNoSuchJob = fmt.Errorf("job: %w", tasks.ErrNotFound)

// conflict says which state is in the way.
func conflict(doing string, s tasks.State) error {
	return fmt.Errorf("%s: the job is %s: %w", doing, s, tasks.ErrConflict)
}

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
