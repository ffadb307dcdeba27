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
	"sync"
	"sync/atomic"
	"time"

	"evalq/tasks"
)

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
	// KindWait is how long a job waits for a worker that handles its kind, while
	// other workers are at work. Defaults to 24 hours.
	KindWait time.Duration
	// Now is the clock. Defaults to the database's, which all processes of a
	// ledger share; for a ledger of one process, to time.Now.
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
	if out.Jitter == nil {
		out.Jitter = rand.Float64
	}
	if out.InterviewWait == 0 {
		out.InterviewWait = 24 * time.Hour
	}
	if out.KindWait == 0 {
		out.KindWait = 24 * time.Hour
	}
	if out.KindWait < 0 {
		return out, fmt.Errorf("ledger: KindWait: %s is below zero", out.KindWait)
	}
	if out.InterviewWait < 0 {
		return out, fmt.Errorf("ledger: InterviewWait: %s is below zero", out.InterviewWait)
	}
	return out, nil
}

// Ledger is safe for concurrent use.
type Ledger struct {
	cfg      Config
	dialect  *Dialect
	clock    *dbClock
	w        *writer
	pulse    *writer // for signs of life, which depend on no other write
	read     *sql.DB
	id       string
	notices  notices
	watch    watch        // of the workers
	lease    watch        // of the relay that leads
	led      atomic.Value // the relay here that had the lease last; a leadership
	joined   sync.Map     // the workers of this process, by id
	routed   atomic.Pointer[knownRouting]
	familiar sync.Map   // kinds, and when they were known last
	rounds   kindRounds // of kinds that only some workers handle
}

// New takes a database whose schema is up to date: write is used through one
// connection, read may be a pool. The ledger gives itself an id at the first
// start. It closes neither handle.
func New(ctx context.Context, write, read *sql.DB, d Dialect, cfg *Config) (*Ledger, error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l := unnamed(write, read, d, c)
	if err := l.identify(ctx); err != nil {
		return nil, fmt.Errorf("ledger: identify: %w", err)
	}
	return l, nil
}

func unnamed(write, read *sql.DB, d Dialect, c Config) *Ledger {
	l := &Ledger{cfg: c, dialect: &d, clock: &dbClock{query: d.clock, now: time.Now}, read: read}
	if c.Now != nil {
		l.clock = &dbClock{now: c.Now}
	}
	l.w = newWriter(write, l.dialect, l.clock)
	l.w.accepts = l.acceptTogether
	if d.arrays {
		l.w.acceptsNew = l.acceptNew
		l.w.side = &lane{w: l.w}
	}
	l.pulse = l.w
	if !d.OneOwner {
		l.w.lost = l.forgetIdle
		l.pulse = newWriter(write, l.dialect, l.clock)
	}
	l.notices.init()
	return l
}

// forgetIdle closes the read connections that nobody uses. What took the writer's
// connection away may have taken theirs, and a silent one holds its reader up for
// long.
func (l *Ledger) forgetIdle() {
	most := l.read.Stats().MaxOpenConnections
	if most == 0 {
		return // somebody else's pool
	}
	l.read.SetMaxIdleConns(-1)
	l.read.SetMaxIdleConns(most)
}

// identify reads the ledger's id, or gives it one.
func (l *Ledger) identify(ctx context.Context) error {
	return l.w.do(ctx, func(t *txn) error {
		if err := t.nameQueues(); err != nil {
			return err
		}
		found, err := t.row([]any{&l.id}, `SELECT value FROM evalq_meta WHERE name = 'ledger_id'`)
		if err != nil {
			return err
		}
		if found && !tasks.ValidID(l.id) {
			return refuse(errors.New("the ledger_id in evalq_meta is not one that evalq makes"))
		}
		if found {
			return nil
		}
		l.id = tasks.NewID(l.clock.Now())
		_, err = t.exec(`INSERT INTO evalq_meta (name, value) VALUES ('ledger_id', ?)`, l.id)
		return err
	})
}

// nameQueues gives each queue its row, which a relay locks to feed it.
func (t *txn) nameQueues() error {
	for _, q := range tasks.Priorities() {
		var name string
		found, err := t.row([]any{&name}, `SELECT name FROM evalq_queues WHERE name = ?`, q)
		if err != nil {
			return err
		}
		if found {
			continue
		}
		if _, err := t.exec(`INSERT INTO evalq_queues (name, paused) VALUES (?, 0)`, q); err != nil {
			return err
		}
	}
	return nil
}

// ID names this ledger. Tasks carry it, so that another ledger's tasks on the
// same Redis are told apart.
func (l *Ledger) ID() string { return l.id }

// Close waits for the writes under way and refuses new ones with
// tasks.ErrUnavailable. It does not close the database handles.
func (l *Ledger) Close() {
	l.w.close()
	l.pulse.close()
}

// Ready reports whether the ledger can commit, by committing. It needs as much
// room on disk as any other write.
func (l *Ledger) Ready(ctx context.Context) error {
	return l.w.do(ctx, func(t *txn) error {
		return t.setMeta("ready_at", fmt.Sprint(l.clock.Now().UnixNano()))
	})
}

// Now is the time on the ledger's clock, which all its processes share.
func (l *Ledger) Now() time.Time { return l.now() }

// Exec runs one statement of the database's own kind, such as a PRAGMA, on the
// connection that writes: for experiments with a database that refuses to write.
func (l *Ledger) Exec(ctx context.Context, statement string) error {
	return l.w.do(ctx, func(t *txn) error {
		_, err := t.exec(statement)
		return err
	})
}

// setMeta keeps one named value of the ledger as a whole.
func (t *txn) setMeta(name, value string) error {
	n, err := t.changed(`UPDATE evalq_meta SET value = ? WHERE name = ?`, value, name)
	if err != nil || n > 0 {
		return err
	}
	_, err = t.exec(`INSERT INTO evalq_meta (name, value) VALUES (?, ?)`, name, value)
	return err
}

// now is the time on the ledger's clock.
func (l *Ledger) now() time.Time { return l.clock.Now().UTC().Truncate(time.Millisecond) }

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
