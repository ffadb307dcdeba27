// Package chaos breaks a real evalq in every way that it promises to survive,
// counts, and prints the count: what `evalq chaos` does. Servers, nodes and the
// judge are processes of their own; the counting rests on the judge's log and on
// the ledger's tables, read past evalq's own code.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"evalq/internal/sandbox"
)

// The ledgers of an experiment. On the servers the roles are processes of their
// own; on SQLite all are one process.
const (
	Postgres = "postgres"
	MySQL    = "mysql"
	SQLite   = "sqlite"
)

// Config sets an experiment up.
type Config struct {
	// Jobs is how many are submitted, 100 or more. Defaults to 5,000, or 600 for
	// a short run.
	Jobs int
	// Short breaks each thing once or twice, in about a minute. Defaults to
	// false.
	Short bool
	// Ledger is Postgres, MySQL or SQLite. Defaults to the first that is
	// installed.
	Ledger string
	// Seed decides the schedule. Defaults to a new one.
	Seed uint64
	// Keep leaves data and logs behind. Defaults to false: they stay after a
	// failure only.
	Keep bool
	// Program is the evalq whose hidden verbs are the children. Defaults to this
	// one.
	Program string
	// Version is that program's. Defaults to "dev".
	Version string
	// Tell is told what happens. Defaults to nobody.
	Tell func(format string, args ...any)
}

// ErrNoLedger is in the error of Run when no server for the ledger is installed.
var ErrNoLedger = sandbox.ErrNotInstalled

func (c *Config) withDefaults() (Config, error) {
	d := *c
	if d.Jobs == 0 {
		d.Jobs = 5000
		if d.Short {
			d.Jobs = 600
		}
	}
	if d.Jobs < 100 || d.Jobs > 1_000_000 {
		return d, fmt.Errorf("chaos: Jobs: %d is not between 100 and 1000000", d.Jobs)
	}
	d.Jobs += d.Jobs % 2 // both kinds of each report
	switch d.Ledger {
	case "", Postgres, MySQL, SQLite:
	default:
		return d, fmt.Errorf("chaos: Ledger: %q is none of %s, %s and %s", d.Ledger, Postgres, MySQL, SQLite)
	}
	if d.Seed == 0 {
		d.Seed = rand.Uint64N(1_000_000) + 1
	}
	if d.Version == "" {
		d.Version = "dev"
	}
	if d.Tell == nil {
		d.Tell = func(string, ...any) {}
	}
	if d.Program == "" {
		var err error
		if d.Program, err = os.Executable(); err != nil {
			return d, fmt.Errorf("chaos: find this program: %w", err)
		}
	}
	return d, nil
}

// Run carries the experiment out and counts. An error means that there is
// nothing to count; whether the promises were kept is in the report.
func Run(ctx context.Context, cfg *Config) (_ *Report, err error) {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	w, err := build(ctx, c)
	if err != nil {
		return nil, err
	}
	keep := c.Keep
	defer func() { err = errors.Join(err, w.close(keep)) }()
	r, err := w.experiment(ctx)
	switch {
	case err != nil && ctx.Err() != nil: // somebody has seen enough
		return nil, err
	case err != nil:
		keep = true
		return nil, fmt.Errorf("%w; data and logs are in %s", err, w.folder)
	}
	r.Took = time.Since(began).Round(time.Second).String()
	if keep = keep || !r.Kept(); keep {
		r.Folder = w.folder
	}
	return r, nil
}
