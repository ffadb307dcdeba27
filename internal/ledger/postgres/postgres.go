// Package postgres opens a ledger in a PostgreSQL database, which many processes
// may share.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3/database"

	"evalq/internal/ledger"
	"evalq/internal/ledger/migration"
)

// readers bounds the connections that read beside the one that writes.
const readers = 8

// idleFor is how long one of them is kept that nobody uses. When the server has
// gone without a word, each that is left takes a read to find out.
const idleFor = 20 * time.Second

// connectTimeout is for one host of the URL that does not say connect_timeout: of
// several, one that gives no answer must leave time for the next.
const connectTimeout = 5 * time.Second

// DB is an open ledger and its connections.
type DB struct {
	*ledger.Ledger
	Place       string // the database and where it is, without secrets
	write, read *sql.DB
}

// Open connects to a postgres:// URL, or a keyword list, as libpq has them. With
// migrate it brings the schema up to date, one process at a time; without, the
// schema must be there. The tables are named evalq_…, so the database may be
// somebody else's too. What is committed is on that server's disk before the
// answer, whatever its synchronous_commit says. No error has a password in it.
func Open(ctx context.Context, url string, migrate bool, cfg *ledger.Config) (_ *DB, err error) {
	d, err := connect(ctx, url, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("postgres: open ledger in %s: %w", d.Place, err), d.Close())
		}
	}()
	if migrate {
		err = locked(ctx, d.write, func() error { return migration.Up(ctx, d.write, database.DialectPostgres) })
	} else {
		err = migration.Check(ctx, d.write, database.DialectPostgres)
	}
	if err != nil {
		return nil, err
	}
	// The writer keeps its connection; one that idles beside it would only be
	// found broken when it is needed.
	d.write.SetMaxIdleConns(0)
	d.Ledger, err = ledger.New(ctx, d.write, d.read, dialect(), cfg)
	return d, err
}

func dialect() ledger.Dialect {
	d := ledger.Postgres()
	d.Fault = fault
	return d
}

// unreachable keeps the reason of a failed connection and leaves out its
// settings.
func unreachable(err error) error {
	f := fault(err)
	var c *pgconn.ConnectError
	if errors.As(err, &c) {
		err = c.Unwrap()
	}
	return fmt.Errorf("connect: %w", f.Explain(&tries{err}))
}

// tries is what became of each try to connect, one with TLS and one without
// perhaps, in one line in which nothing is said twice.
type tries struct{ error }

func (t *tries) Error() string {
	return strings.Join(slices.Compact(strings.Split(t.error.Error(), "\n")), "; ")
}

func (t *tries) Unwrap() error { return t.error }

// migrations is the key of the advisory lock that migrating processes take.
const migrations = 0x6576616c71 // "evalq"

// locked runs do while no other process does.
func locked(ctx context.Context, db *sql.DB, do func() error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrations)); err != nil {
		return fmt.Errorf("wait for the lock of migrations: %w", err)
	}
	err = do()
	_, uerr := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(migrations))
	return errors.Join(err, uerr)
}

// Close waits for the writes under way and closes the connections.
func (d *DB) Close() error {
	if d.Ledger != nil {
		d.Ledger.Close()
	}
	var errs []error
	for _, db := range []*sql.DB{d.read, d.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
