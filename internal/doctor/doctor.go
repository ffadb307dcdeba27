// Package doctor looks at what evalq rests on, a Redis, a ledger and perhaps a
// platform's database, and says for
// each thing that is not as it should be what to do. It changes nothing, but for
// the commit by which a ledger shows that it can be written, and keys that a script
// makes in Redis and removes.
package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// Level says how bad a finding is.
type Level string

// The levels, best first.
const (
	OK      Level = "ok"
	Note    Level = "note"    // worth knowing
	Warning Level = "warning" // will do harm, or does some
	Failure Level = "failure" // evalq cannot work, or can lose what it promised to keep
)

// Levels lists the levels, best first.
func Levels() []Level { return []Level{OK, Note, Warning, Failure} }

// AtLeast reports whether l is as bad as other or worse.
func (l Level) AtLeast(other Level) bool {
	return slices.Index(Levels(), l) >= slices.Index(Levels(), other)
}

// Finding is what one check has found. It has no secret and no payload in it.
type Finding struct {
	Check string `json:"check"` // the name of a check of Checks
	Level Level  `json:"level"`
	What  string `json:"what"`
	Do    string `json:"do,omitempty"` // empty when there is nothing to do
}

// Ledger is what the checks ask of a ledger; *ledger.Ledger has it.
type Ledger interface {
	ID() string
	Overview(ctx context.Context) (tasks.Overview, error)
	InQuarantine(ctx context.Context, all bool, limit int) (entries []tasks.Quarantined, open int, err error)
	Dropped(ctx context.Context) (things int, last time.Time, err error)
	Paused(ctx context.Context) (map[tasks.Priority]bool, error)
	Lease(ctx context.Context) (string, error)
	Skew(ctx context.Context) (time.Duration, error)
	Bridge(ctx context.Context) ([]tasks.BridgeChannel, error)
	Now() time.Time
}

// Database is what the checks ask of the database below a ledger. One that is a
// file may have QuickCheck(context.Context) (broken string, err error) too.
type Database interface {
	Schema(ctx context.Context) (have, want int64, err error)
	Settings(ctx context.Context) (map[string]string, error)
}

// Platform is what the checks ask of the interview platform's own database.
type Platform interface {
	// Check reports what it lacks of the tables and columns that are used.
	Check(ctx context.Context) error
}

// Why there may be nothing to look at, which is nothing wrong.
var (
	// ErrInside: the embedded engine is inside the server's process.
	ErrInside = errors.New("the queue is inside the server's process, where only that process can look at it")
	// ErrIdle: the managed engine's server does not run while evalq does not.
	ErrIdle = errors.New("the managed engine does not run; evalq starts it")
	// ErrNoLedger: there is no ledger yet.
	ErrNoLedger = errors.New("there is no ledger yet; the first `evalq serve` makes it")
	// ErrNoCommit: the server that was asked cannot commit to its ledger.
	ErrNoCommit = errors.New("it cannot commit to its ledger")
)

// Kinds of databases, as Subject.Kind has them.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
	MySQL    = "mysql" // MariaDB too
)

// Subject is what to look at. It belongs to the caller, who closes it.
type Subject struct {
	Namespace tasks.Namespace

	// Redis may be nil; RedisErr says why.
	Redis    redis.UniversalClient
	RedisErr error
	// RedisPlace is where it is, without secrets.
	RedisPlace string

	// Kind is the database's.
	Kind string
	// Database is nil when it cannot be reached; LedgerErr says why. Ledger is
	// nil then, and when the schema is not this program's.
	Database  Database
	Ledger    Ledger
	LedgerErr error
	// LedgerPlace is where it is, without secrets.
	LedgerPlace string
	// Dir is the folder of a SQLite ledger.
	Dir string
	// Ready commits something, or asks the server that owns the ledger to, which
	// may answer ErrNoCommit. Nil when nobody can.
	Ready func(context.Context) error
	// ReadyBy names the server that Ready asks, empty when it asks nobody.
	ReadyBy string
	// Stopped is set when the ledger belongs to one process and none runs.
	Stopped bool

	// Platform is nil without a platform's database, and when it cannot be used;
	// PlatformErr says why. PlatformPlace is where it is, without secrets.
	Platform      Platform
	PlatformErr   error
	PlatformPlace string

	// Open is set when a server would let everybody in who reaches it.
	Open bool
	// Tokens are the tokens that are set, by the setting's name. No finding has any
	// part of one in it.
	Tokens map[string]string
	// Plain is what is reached on other machines without TLS.
	Plain []PlainPlace
}

// PlainPlace is a server that a setting reaches on another machine without TLS.
type PlainPlace struct {
	Setting string // such as --redis-url
	Host    string
	Remedy  string
}

// Config tunes an examination.
type Config struct {
	// Deep adds the checks that take long.
	Deep bool
	// Start leaves out what a server cannot know before it runs, and what takes
	// long in a large ledger.
	Start bool
	// Patience bounds each check. Defaults to 2s.
	Patience time.Duration
	// Watch is how long a sign of life is waited for. Defaults to 5s.
	Watch time.Duration
	// Now is this machine's clock. Defaults to time.Now.
	Now func() time.Time
}

func (c *Config) withDefaults() Config {
	d := Config{}
	if c != nil {
		d = *c
	}
	if d.Patience <= 0 {
		d.Patience = 2 * time.Second
	}
	if d.Watch <= 0 {
		d.Watch = 5 * time.Second
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// Examine makes the checks and lists what they found, worst first and otherwise
// in the order of Checks. It has no error: a check that cannot be made is a
// finding. It takes as long as ctx allows at most.
func Examine(ctx context.Context, s Subject, cfg *Config) []Finding {
	v := &visit{Subject: s, cfg: cfg.withDefaults()}
	var found [groups][]Finding
	var wg sync.WaitGroup
	for g := range groups {
		wg.Go(func() { found[g] = v.group(ctx, g) })
	}
	wg.Wait()
	all := slices.Concat(found[:]...)
	slices.SortStableFunc(all, func(a, b Finding) int {
		return slices.Index(Levels(), b.Level) - slices.Index(Levels(), a.Level)
	})
	return all
}

// Worst is the level of the worst finding.
func Worst(found []Finding) Level {
	worst := OK
	for _, f := range found {
		if f.Level.AtLeast(worst) {
			worst = f.Level
		}
	}
	return worst
}

// Summary counts what is not in order, such as "1 failure, 2 warnings"; "no warnings"
// when everything is.
func Summary(found []Finding) string {
	var parts []string
	for _, l := range []Level{Failure, Warning} {
		if n := Count(found, l); n > 0 {
			parts = append(parts, amount(n, string(l)))
		}
	}
	if len(parts) == 0 {
		return "no warnings"
	}
	return strings.Join(parts, ", ")
}

// Count says how many findings have a level.
func Count(found []Finding, l Level) int {
	n := 0
	for _, f := range found {
		if f.Level == l {
			n++
		}
	}
	return n
}
