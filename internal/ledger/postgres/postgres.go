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
	d, err := connect(ctx, url)
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
	d.Again, d.Waited, d.Answered, d.Missing, d.Outside = again, waited, answered, missing, outside
	return d
}

// unreachable keeps the reason of a failed connection and leaves out its
// settings.
func unreachable(err error) error {
	var c *pgconn.ConnectError
	if errors.As(err, &c) {
		err = c.Unwrap()
	}
	return fmt.Errorf("connect: %w", &tries{err})
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

// again: serialization_failure, deadlock_detected, lock_not_available,
// unique_violation, and a plan that a migration made stale.
func again(err error) bool {
	switch code(err) {
	case "40001", "40P01", "55P03", "23505":
		return true
	case "0A000":
		var pe *pgconn.PgError
		return errors.As(err, &pe) && pe.Routine == "RevalidateCachedQuery"
	}
	return false
}

// waited: lock_not_available.
func waited(err error) bool { return code(err) == "55P03" }

// missing: undefined_table and undefined_column.
func missing(err error) bool { return code(err) == "42P01" || code(err) == "42703" }

// outside: no_active_sql_transaction.
func outside(err error) bool { return code(err) == "25P01" }

// code is the SQLSTATE of the server's refusal. A transaction of a caller's may
// come from another driver than ours; they have this method in common.
func code(err error) string {
	var refused interface{ SQLState() string }
	if errors.As(err, &refused) {
		return refused.SQLState()
	}
	return ""
}

// answered: the server itself refused and the connection is of use. 57P01 to
// 57P03 and 25P03 say that the server ends it; 25006 that the server is a standby
// now, so another connection may find the new primary.
func answered(err error) bool {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Severity == "FATAL" || pe.Severity == "PANIC" {
		return false
	}
	switch pe.Code {
	case "57P01", "57P02", "57P03", "25P03", "25006":
		return false
	}
	return true
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
